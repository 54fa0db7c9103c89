//! What an image was when it was encoded, and what its latents were when they were written.

use interfuse_parameters::{TensorFile, WeightsError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::key::CacheKey;
use crate::sources::{Source, Stamp};

/// The content of an image that was encoded; all absent where an image cannot change under its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    stamp: Option<Stamp>,
    sha256: Option<String>,
    /// Of the latents, in the order of [`CacheKey::all_tensor_names`]; empty in older caches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) digests: Vec<u64>,
}

/// Of the numbers of a tensor: the first eight bytes of their SHA-256.
pub(super) fn digest(values: &[f32]) -> u64 {
    let mut hasher = Sha256::new();
    values.iter().for_each(|value| hasher.update(value.to_le_bytes()));
    hasher.finalize().iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte))
}

impl Content {
    pub(super) fn of(source: &dyn Source, index: usize) -> Self {
        // The time comes first: an image that changes in between is encoded once too often, not once too seldom.
        let stamp = source.stamp(index).ok().flatten();
        Self { stamp, sha256: stamp.and_then(|_| source.sha256(index).ok().flatten()), digests: vec![] }
    }

    /// Whether an image still is what was encoded. One that cannot be read any more is not.
    pub(super) fn is_still_that_of(&self, source: &dyn Source, index: usize) -> bool {
        match (source.stamp(index), self.stamp) {
            (Ok(None), before) => before.is_none(),
            (Ok(Some(now)), Some(before)) if now == before && now.modified.is_some() => true,
            (Ok(Some(now)), Some(before)) if now.bytes == before.bytes => {
                self.sha256.is_some() && source.sha256(index).is_ok_and(|now| now == self.sha256)
            }
            _ => false,
        }
    }

    /// Whether the latents at a place of a shard are what was written.
    pub(super) fn is_intact(&self, key: &CacheKey, file: &TensorFile, place: usize) -> bool {
        let mut written = key.all_tensor_names().zip(&self.digests);
        written.all(|(name, written)| file.row(name, place).is_ok_and(|row| digest(&row.values) == *written))
    }

    /// Notes what is written at a place of a shard.
    pub(super) fn note(&mut self, key: &CacheKey, file: &TensorFile, place: usize) -> Result<(), WeightsError> {
        let rows = key.all_tensor_names().map(|name| file.row(name, place));
        self.digests = rows.map(|row| row.map(|row| digest(&row.values))).collect::<Result<_, _>>()?;
        Ok(())
    }
}
