//! The backbone: parts under shared attention (Mixture-of-Transformers, 2411.04996).
//!
//! An architecture is a partition of the modalities: `[["text"], ["image"]]` is MoT, `[["text", "image"]]` is the dense
//! baseline, and both are this code. Each part owns all weights of its rows; only [`attention`] lets rows see one another.
//! The backbone has no embedding and no head.

pub mod adaptive;
pub mod attention;
pub mod backbone;
pub mod cache;
mod checkpointing;
pub mod config;
pub mod feed_forward;
pub mod layer;
pub mod norm;
pub mod part;
pub mod partition;
pub mod rows;
pub mod stream;
pub mod weights;

pub use adaptive::StreamCondition;
pub use backbone::{Backbone, BackboneInput, BackboneOutput};
pub use cache::{CacheUse, KvCache, LayerCache};
pub use config::{BackboneConfig, BackboneError, NormPlacement, PartConfig, RopeScaling, WeightKind};
pub use feed_forward::config::{BalanceScope, FeedForwardConfig, MoeConfig, Routing};
pub use feed_forward::router::{RouterLosses, RouterOutput};
pub use feed_forward::{FeedForward, FeedForwardOutput};
pub use layer::{Layer, LayerOutput};
pub use norm::RmsNorm;
pub use part::{PartDimensions, PartLayer};
pub use partition::{Partition, Streams};
pub use rows::{Rows, StreamRows};
pub use stream::Stream;
pub use weights::{PartSettings, PartWeights};
