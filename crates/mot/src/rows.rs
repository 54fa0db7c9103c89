//! Where rows stand and what they see, made once for all layers.

use burn::tensor::Tensor;
use interfuse_kernels::{Dropout, RopeTable, VisibleRanges};

use crate::adaptive::StreamCondition;

/// What all layers share: where the rows stand and what they see.
#[derive(Clone, Debug)]
pub struct Rows {
    /// By part; `None` for a part without rows.
    pub streams: Vec<Option<StreamRows>>,
    /// By part.
    pub conditions: Vec<Option<StreamCondition>>,
}

/// The rows of one stream.
#[derive(Clone, Debug)]
pub struct StreamRows {
    /// Their angles.
    pub rope: RopeTable,
    /// Their ranges over the cache's keys and those of all streams side by side.
    pub visible: VisibleRanges,
    /// 1 for a row, 0 for padding, which sees nothing, not even itself. `[B, S]`
    pub filled: Tensor<2>,
    /// What is left out of what sub-layers add to them; `None` outside training.
    pub dropout: Option<Dropout>,
}
