//! Images on the host.

mod grid;
mod pixels;
mod resize;

pub use grid::grid;
pub use pixels::{Image, ImageShape};
