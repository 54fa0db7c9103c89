//! The data of a run, opened once and shared by all who read it.

use std::sync::Arc;

use interfuse_data::{DataConfig, DataSet, Source, Split};

use crate::error::Result;

/// Training images and held-out images.
pub struct DataSets(DataSet);

impl DataSets {
    /// Opens both.
    ///
    /// # Errors
    /// When there is no such data, or nothing in it can be used.
    pub fn open(config: &DataConfig) -> Result<Self> {
        Ok(Self(interfuse_data::open(config)?))
    }

    /// What the model learns from.
    pub fn train(&self) -> &Arc<dyn Source> {
        &self.0.train
    }

    /// What the model is measured on.
    pub fn held_out(&self) -> &Arc<dyn Source> {
        &self.0.held_out
    }

    /// Either.
    pub fn of(&self, split: Split) -> &Arc<dyn Source> {
        self.0.of(split)
    }
}
