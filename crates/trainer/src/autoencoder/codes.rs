//! Codes that nobody uses are put where the encoder's vectors are.

use interfuse_vae::CodeUsage;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Counts of a step ago weigh this much.
const DECAY: f64 = 0.99;
/// A code is dead when it is used less than this often a step.
const DEAD_BELOW: f64 = 1e-2;

/// How the codes are used.
#[derive(Clone, Debug)]
pub struct CodeWatch {
    usage: CodeUsage,
}

/// What is told of the codes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodeReport {
    /// Fraction of the codes that are in use, from 0 to 1.
    pub used: f64,
    /// As many codes used equally often would say as much.
    pub perplexity: f64,
    /// Codes that were put elsewhere after this step.
    pub revived: usize,
}

/// Codes that are put elsewhere, in the weights and in their moving average alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Revived {
    /// Ids of the codes.
    pub places: Vec<usize>,
    /// As many rows of numbers.
    pub vectors: Vec<f32>,
}

impl CodeWatch {
    /// Over `codes` codes that nobody has used yet.
    pub fn new(codes: usize) -> Self {
        Self { usage: CodeUsage::new(codes, DECAY) }
    }

    /// Takes in the ids of a step.
    pub fn add(&mut self, ids: &[u32]) {
        self.usage.add(ids);
    }

    /// What there is to tell.
    pub fn report(&self, revived: usize) -> CodeReport {
        CodeReport { used: self.usage.fraction(DEAD_BELOW), perplexity: self.usage.perplexity(), revived }
    }

    /// Finds dead codes and for each a vector to be put there, sampled from `vectors`, rows of `dim` numbers; at most one code a
    /// vector. They count as used from now on.
    pub fn revive(&mut self, vectors: &[f32], dim: usize, rng: &mut ChaCha8Rng) -> Revived {
        let mut places = self.usage.dead(DEAD_BELOW);
        let mut rows: Vec<&[f32]> = vectors.chunks_exact(dim.max(1)).collect();
        // Of more dead codes than vectors, some wait for another time.
        places.shuffle(rng);
        places.truncate(rows.len());
        let (sampled, _) = rows.partial_shuffle(rng, places.len());
        let vectors: Vec<f32> = sampled.iter().flat_map(|row| row.iter().copied()).collect();
        self.usage.give_time(&places, 1.0);
        Revived { places, vectors }
    }

    /// The counts, for a checkpoint.
    pub fn counts(&self) -> &[f64] {
        self.usage.counts()
    }

    /// Restores the counts of a checkpoint.
    pub fn restore(&mut self, counts: Vec<f64>) {
        self.usage.restore(counts);
    }
}
