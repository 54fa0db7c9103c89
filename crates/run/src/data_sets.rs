//! The data of a run, opened once and shared by all who read it.

use std::sync::{Arc, OnceLock};

use interfuse_data::{DataConfig, Source, Split};

use crate::error::Result;

/// Training images and held-out images.
pub struct DataSets {
    config: DataConfig,
    train: Arc<dyn Source>,
    held_out: OnceLock<Arc<dyn Source>>,
}

impl DataSets {
    /// Opens the training images; the held-out ones are opened when they are asked for.
    ///
    /// # Errors
    /// When there is no such data, or nothing in it can be used.
    pub fn open(config: &DataConfig) -> Result<Self> {
        let train = interfuse_data::open(config, Split::Train)?.into();
        Ok(Self { config: config.clone(), train, held_out: OnceLock::new() })
    }

    /// What the model learns from.
    pub fn train(&self) -> &Arc<dyn Source> {
        &self.train
    }

    /// What the model is measured on.
    ///
    /// # Errors
    /// As [`DataSets::open`].
    pub fn held_out(&self) -> Result<&Arc<dyn Source>> {
        if let Some(source) = self.held_out.get() {
            return Ok(source);
        }
        let source: Arc<dyn Source> = interfuse_data::open(&self.config, Split::HeldOut)?.into();
        Ok(self.held_out.get_or_init(|| source))
    }

    /// Either.
    ///
    /// # Errors
    /// As [`DataSets::open`].
    pub fn of(&self, split: Split) -> Result<&Arc<dyn Source>> {
        match split {
            Split::Train => Ok(&self.train),
            Split::HeldOut => self.held_out(),
        }
    }
}
