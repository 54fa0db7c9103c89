//! What a mixed-modal sequence is.
//!
//! ```text
//! Sample (segments) ──► SequenceLayout (host, plain Vecs) ──► Batch (device tensors)
//! ```
//!
//! A *document* is what one sample becomes: tokens and images in reading order. A *sequence* is one packed line of a
//! batch; it holds one or more documents that do not see one another. A *row* is one token or one image patch.
//!
//! Rows lie modality by modality, not in reading order: each modality owns a *lane* of fixed capacity. Reading order
//! survives as four integers a row, and those decide who may see whom ([`visibility`]).
//!
//! This crate has no weight and opens no file.

pub mod batch;
pub mod builder;
pub mod drawing;
pub mod error;
pub mod format;
pub mod layout;
pub mod modality;
pub mod sample;
pub mod visibility;

pub use batch::{Batch, LaneBatch, LaneRows, LatentRows, RowGeometry, TokenRows};
pub use builder::LayoutBuilder;
pub use error::SequenceError;
pub use format::{PositionScheme, SequenceFormat};
pub use layout::{LaneContent, LaneLayout, RowShape, SequenceLayout, Span};
pub use modality::{Modality, Objective};
pub use sample::{Attention, Content, LatentImage, Sample, Segment};
