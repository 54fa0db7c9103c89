//! The order in which images come up: every epoch has each once, in an order of its own. It is one over all images, or where a
//! source says in which blocks they lie one of blocks (`blocks.rs`).

mod blocks;

use std::sync::Arc;

use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

pub use self::blocks::Blocks;
use self::blocks::{BlockOrder, Expected};
use crate::sources::Source;

/// An endless stream of the numbers of images, a function of the seed alone.
pub(crate) enum EpochOrder {
    /// Each as likely at any place as another.
    Rows(RowOrder),
    /// Block by block; the source hears what comes up next.
    Blocks(BlockOrder, Arc<dyn Source>),
}

impl EpochOrder {
    /// Of `images` images, at least one.
    pub(crate) fn new(images: usize, seed: u64) -> Self {
        Self::Rows(RowOrder { images, seed, epoch: None })
    }

    /// Of a source's images, in the order that it asks for.
    pub(crate) fn of(source: &Arc<dyn Source>, seed: u64) -> Self {
        match source.blocks() {
            Some(blocks) => Self::Blocks(BlockOrder::new(blocks, seed), Arc::clone(source)),
            None => Self::new(source.len(), seed),
        }
    }

    /// The image at a place of the stream.
    pub(crate) fn index_of(&mut self, number: u64) -> usize {
        match self {
            Self::Rows(order) => order.index_of(number),
            Self::Blocks(order, source) => {
                let (index, entered) = order.index_of(number);
                if let Some(Expected { now, next }) = entered {
                    source.expect(now, next);
                }
                index
            }
        }
    }
}

/// Every epoch a permutation of all images.
#[derive(Debug)]
pub(crate) struct RowOrder {
    images: usize,
    seed: u64,
    /// The order of the epoch that was asked for last.
    epoch: Option<(u64, Vec<u32>)>,
}

impl RowOrder {
    fn index_of(&mut self, number: u64) -> usize {
        let images = self.images as u64;
        let (epoch, place) = (number / images, (number % images) as usize);
        let order = match self.epoch.take() {
            Some((found, order)) if found == epoch => order,
            _ => {
                let mut order: Vec<u32> = (0..self.images as u32).collect();
                order.shuffle(&mut generator(self.seed, epoch, Stream::Order));
                order
            }
        };
        let index = order[place] as usize;
        self.epoch = Some((epoch, order));
        index
    }
}

/// What a generator is for; none disturbs another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    /// The choices that make a document.
    Document,
    /// An epoch's order.
    Order,
    /// The draw of latents from their posterior.
    Latents,
}

/// The generator of the document or epoch of a number.
pub(crate) fn generator(seed: u64, number: u64, stream: Stream) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, value) in key.chunks_exact_mut(8).zip([seed, number, stream as u64, 0x646f_6375_6d65_6e74]) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// A number below `count`, each as likely as another; 0 where there is none.
pub(crate) fn below(count: usize, rng: &mut ChaCha8Rng) -> usize {
    // The bias of the remainder is below 2^-40 for any count that fits in memory.
    (rng.next_u64() % count.max(1) as u64) as usize
}

/// True with a probability.
pub(crate) fn chance(probability: f64, rng: &mut ChaCha8Rng) -> bool {
    uniform(rng) < probability
}

/// A number in [0, 1) with 53 random bits.
pub(crate) fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}
