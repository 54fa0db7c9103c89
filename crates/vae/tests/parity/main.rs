//! Our networks against the reference implementations, on small weights that lie beside the scripts that made them.

mod diffusers;
mod lpips;
