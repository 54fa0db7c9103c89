//! The trunk: experts under shared attention (Mixture-of-Transformers, 2411.04996).
//!
//! An architecture is a partition of the modalities: `[["text"], ["image"]]` is MoT, `[["text", "image"]]` is the dense
//! baseline, and both are this code. Each expert owns all weights of its rows; only [`attention`] lets rows see one another.
//! The trunk has no embedding and no head.

pub mod adaptive;
pub mod attention;
pub mod cache;
pub mod config;
pub mod expert;
pub mod layer;
pub mod norm;
pub mod partition;
pub mod trunk;

pub use adaptive::StreamCondition;
pub use cache::{CacheUse, KvCache, LayerCache};
pub use config::{NormPlacement, TrunkConfig, TrunkError};
pub use expert::{ExpertDimensions, ExpertLayer};
pub use layer::{Layer, Rows, StreamRows};
pub use norm::RmsNorm;
pub use partition::{Partition, Streams};
pub use trunk::{Trunk, TrunkInput};
