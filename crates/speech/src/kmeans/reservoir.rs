//! An even choice of the frames of a stream whose length is not known (Vitter 1985, algorithm R).

use ndarray::{Array2, ArrayView2};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::error::SpeechError;

/// Keeps `capacity` frames of all that it has seen, each with the same chance.
pub struct Reservoir {
    capacity: usize,
    dim: usize,
    seen: u64,
    /// `[kept, dim]`
    frames: Vec<f32>,
    rng: ChaCha8Rng,
}

impl Reservoir {
    /// For frames of `dim` numbers.
    pub fn new(capacity: usize, dim: usize, seed: u64) -> Self {
        Self { capacity, dim, seen: 0, frames: vec![], rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Sees more frames.
    ///
    /// # Shapes
    /// - `frames`: `[count, dim]`
    pub fn add(&mut self, frames: ArrayView2<'_, f32>) {
        debug_assert_eq!(frames.ncols(), self.dim);
        for frame in frames.outer_iter() {
            self.seen += 1;
            if self.seen <= self.capacity as u64 {
                self.frames.extend(frame);
                continue;
            }
            let place = (self.rng.next_u64() % self.seen) as usize;
            if place < self.capacity {
                let kept = &mut self.frames[place * self.dim..(place + 1) * self.dim];
                kept.iter_mut().zip(frame).for_each(|(kept, &new)| *kept = new);
            }
        }
    }

    /// How many were seen.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// What was kept, `[kept, dim]`.
    ///
    /// # Errors
    /// When frames of another length were seen.
    pub fn into_frames(self) -> Result<Array2<f32>, SpeechError> {
        let kept = self.frames.len() / self.dim.max(1);
        Array2::from_shape_vec((kept, self.dim), self.frames)
            .map_err(|error| SpeechError::malformed("reservoir", "frames of one length", error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(count: usize, capacity: usize, seed: u64) -> Vec<f32> {
        let mut reservoir = Reservoir::new(capacity, 1, seed);
        // Frames come in pieces of any size.
        let all = Array2::from_shape_fn((count, 1), |(row, _)| row as f32);
        for piece in all.axis_chunks_iter(ndarray::Axis(0), 7) {
            reservoir.add(piece);
        }
        assert_eq!(reservoir.seen(), count as u64);
        reservoir.into_frames().unwrap().into_raw_vec_and_offset().0
    }

    #[test]
    fn all_frames_are_kept_while_there_is_room() {
        assert_eq!(kept(5, 5, 0), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert!(kept(0, 5, 0).is_empty());
    }

    #[test]
    fn each_frame_has_the_same_chance() {
        // 10 of 40 in 2000 streams: each is kept 500 times, with a deviation of 19.4.
        let mut counts = [0; 40];
        for seed in 0..2000 {
            kept(40, 10, seed).iter().for_each(|&frame| counts[frame as usize] += 1);
        }
        assert!(counts.iter().all(|count| (420..580).contains(count)), "{counts:?}");
        assert_eq!(kept(40, 10, 3), kept(40, 10, 3));
    }
}
