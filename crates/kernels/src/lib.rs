//! The few differentiable operations that the model is made of.
//!
//! An operation is a folder: `mod.rs` is the public function, `reference.rs` the same in Burn primitives, which runs on every
//! device and is differentiated by Burn's autodiff, `cpu.rs` the kernel of the CPU and `gpu.rs` that of GPUs, each with its node
//! on the gradient tape; a kernel of several files is a folder of that name. All are tested against their references, and
//! `place.rs` decides which of them a tensor gets. `cpu/` and `gpu/` beside the operations are what these share. Nothing here
//! knows a model, a token or an image.
//!
//! | operation | file |
//! |---|---|
//! | attention over ranges of reading order | [`attention`] |
//! | rotary position embedding | [`rope`] |
//! | root-mean-square norm | [`mod@rms_norm`] |
//! | SwiGLU, the activation of the feed-forward | [`mod@swiglu`] |
//! | softmax cross-entropy with z-loss | [`mod@cross_entropy`] |
//! | convolution of images | [`mod@conv2d`] |
//! | group norm, with SiLU behind it | [`mod@group_norm`] |
//! | AdamW, Muon and the moving average of weights | [`optimizer`] |
//! | dropout by a key | [`dropout`] |
//! | rows of a table by their numbers | [`embedding`] |
//! | linear maps of groups of rows | [`grouped_linear`] |
//! | rows of several tensors side by side | [`join`] |
//! | the order of elements by size | [`ranking`] |
//! | the type that matrix products are computed in | [`precision`] |
//! | activations that are computed again instead of kept | [`checkpointing`] |
//! | batches side by side on the cores | [`workers`] |
//! | how long each operation takes | [`timing`] |
//! | a linear map and its initial weights | [`linear`], [`init`] |

pub mod attention;
pub mod checkpointing;
pub mod conv2d;
mod cpu;
pub mod cross_entropy;
pub mod dropout;
pub mod embedding;
#[cfg(feature = "gpu")]
mod gpu;
pub mod group_norm;
pub mod grouped_linear;
pub mod init;
pub mod join;
pub mod linear;
pub mod optimizer;
mod place;
pub mod precision;
pub mod ranking;
pub mod rms_norm;
pub mod rope;
pub mod swiglu;
mod tape;
pub mod timing;
pub mod workers;

pub use attention::{VisibleRanges, ranged_attention};
pub use checkpointing::{AnyTensor, checkpointed, checkpoints_activations, with_activation_checkpointing};
pub use conv2d::{Conv2d, ConvSteps, conv2d};
pub use cross_entropy::{CrossEntropy, cross_entropy};
pub use dropout::Dropout;
pub use group_norm::{GroupNorm, GroupNormSteps, group_norm};
pub use grouped_linear::{GroupedLinear, RowGroups, grouped_product};
pub use init::WeightInit;
pub use join::join_rows;
pub use linear::{Linear, linear_maps};
pub use optimizer::{
    AdamWState, AdamWStep, AdamWUpdate, MuonStep, MuonUpdate, accumulate, adamw, moving_averages, muon, squared_norms,
};
pub use place::with_reference;
pub use precision::{Precision, add_rows, with_precision};
pub use ranking::descending_order;
pub use rms_norm::{rms_norm, sum_norm};
pub use rope::{RopeTable, norm_rotate, rotate};
pub use swiglu::swiglu;
pub use workers::Workers;
