//! What lies on the disk, one reader for each kind of file. Training and evaluation find images, read captions and decode
//! with the same code; what they make of transparency and EXIF is their own matter.
//!
//! | file | reader |
//! |---|---|
//! | a folder of images, at any depth | [`Listing`] |
//! | `metadata.jsonl`, `metadata.csv`, `cat.txt` beside `cat.jpg` | [`captioned_images`] |
//! | a WebDataset, `.tar` | [`webdataset`] |
//! | captions as bytes | [`caption_lines`] |
//! | one image as bytes | [`decode`] |

pub mod decode;
mod image_folder;
mod jpeg;
mod listing;
mod metadata;
mod text;
pub mod webdataset;

pub use image_folder::{CaptionedImage, CaptionedImages, captioned_images};
pub use listing::{IMAGES, Listing, PassedOver, images_below, is_image};
pub use text::caption_lines;
