//! Tokens seen so far, and how many of them were unique.
//!
//! | key of `metrics.jsonl` | what it is |
//! |---|---|
//! | `NAME_seen_tokens` | tokens with a target so far |
//! | `NAME_unique_tokens` | those of them whose document came up for the first time |
//! | `NAME_seen_images`, `NAME_unique_images` | the same of images that are denoised |
//! | `epochs.COLLECTION` | how often all of a collection has come up |
//!
//! The loader counts, and a checkpoint keeps its counts with its place. A run that an earlier version began does not know the
//! first of them, and says nothing.

use interfuse_data::{Loader, LoaderCursor};
use interfuse_sequence::Objective;

use crate::plan::Plan;

/// The numbers of a loader, by name.
pub(super) fn numbers(plan: &Plan, loader: &Loader) -> Vec<(String, f64)> {
    let LoaderCursor { seen, unique, .. } = loader.cursor();
    let modalities = plan.card.model.modalities();
    let learned = modalities.iter().zip(seen.iter().zip(unique)).filter(|(_, (seen, _))| **seen > 0);
    let learned = learned.flat_map(|(modality, (seen, unique))| {
        let what = match modality.objective {
            Objective::NextToken => "tokens",
            Objective::Denoise => "images",
        };
        let name = |which: &str| format!("{}_{which}_{what}", modality.name);
        [(name("seen"), *seen as f64), (name("unique"), *unique as f64)]
    });
    let epochs = plan.data.parts.iter().zip(loader.epochs());
    learned.chain(epochs.map(|(part, epochs)| (format!("epochs.{}", part.name), epochs))).collect()
}
