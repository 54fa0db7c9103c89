//! Images on the host.

mod buckets;
pub(crate) mod covering;
mod framing;
mod grid;
mod pixels;
mod resize;

pub use buckets::BucketsConfig;
pub use covering::Covering;
pub use framing::{Fit, Framing};
pub use grid::grid;
pub use pixels::{Image, ImageShape};
