//! Images on the host.

mod framing;
mod grid;
mod pixels;
mod resize;

pub use framing::{Fit, Framing};
pub use grid::grid;
pub use pixels::{Image, ImageShape};
