//! An order for images that lie in blocks which are read from front to back.
//!
//! An epoch shuffles the blocks, opens a few at a time and passes them in windows, each of which is shuffled: the order of
//! `interfuse_shards::stream::order`. It is computed from the lengths of the blocks, so any place of the stream is found without
//! the places before it, and memory holds the numbers of one window and of the blocks.

use std::ops::Range;

use interfuse_shards::stream::order::{self, WindowPlace};

/// How the images of a source lie in blocks, and how an epoch goes through them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Images of each block, in the order of their numbers; none is empty.
    pub lengths: Vec<u32>,
    /// Blocks that are open at the same time and mixed, at least one.
    pub interleave: usize,
    /// Images that are shuffled together, at least one.
    pub window: usize,
}

/// An endless stream of the numbers of images.
#[derive(Debug)]
pub(crate) struct BlockOrder {
    blocks: Blocks,
    /// The first image of each block, and how many images there are.
    starts: Vec<u64>,
    seed: u64,
    epoch: Option<Epoch>,
    /// The window that was asked for last, and the one that follows it.
    windows: Option<[Window; 2]>,
}

/// The blocks in the order of an epoch.
#[derive(Debug)]
struct Epoch {
    number: u64,
    shuffled: Vec<u32>,
    /// The place of the epoch at which each group of blocks begins.
    groups: Vec<u64>,
}

/// Images that are shuffled together.
#[derive(Debug)]
struct Window {
    /// Places of the stream.
    places: Range<u64>,
    images: Vec<usize>,
}

/// The images of the window that is entered, and of the one that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected<'a> {
    pub(super) now: &'a [usize],
    pub(super) next: &'a [usize],
}

impl BlockOrder {
    /// Of the images of some blocks, at least one.
    pub(super) fn new(blocks: Blocks, seed: u64) -> Self {
        let mut starts = vec![0];
        let mut images = 0;
        for &length in &blocks.lengths {
            images += u64::from(length);
            starts.push(images);
        }
        Self { blocks, starts, seed, epoch: None, windows: None }
    }

    fn images(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0).max(1)
    }

    /// The image at a place of the stream; and where another window is entered with it, what comes up now and next.
    pub(super) fn index_of(&mut self, number: u64) -> (usize, Option<Expected<'_>>) {
        let (windows, entered) = match self.windows.take() {
            Some(windows) if windows[0].places.contains(&number) => (windows, false),
            Some([_, next]) if next.places.contains(&number) => (self.followed(next), true),
            _ => {
                let window = self.window_at(number);
                (self.followed(window), true)
            }
        };
        let [now, next] = self.windows.insert(windows);
        let index = now.images[(number - now.places.start) as usize];
        (index, entered.then_some(Expected { now: &now.images, next: &next.images }))
    }

    fn followed(&mut self, window: Window) -> [Window; 2] {
        let next = self.window_at(window.places.end);
        [window, next]
    }

    fn window_at(&mut self, number: u64) -> Window {
        let (number, place) = (number / self.images(), number % self.images());
        let epoch = match self.epoch.take() {
            Some(epoch) if epoch.number == number => epoch,
            _ => self.epoch_of(number),
        };
        let group = epoch.groups.partition_point(|&start| start <= place) as u64 - 1;
        let blocks = order::group(&epoch.shuffled, self.blocks.interleave, group);
        let rows: Vec<u64> = blocks.iter().map(|&block| u64::from(self.blocks.lengths[block as usize])).collect();
        let first = epoch.groups[group as usize];
        let window = window_of(&rows, place - first, self.blocks.window);
        let at = WindowPlace { seed: self.seed, epoch: number, group, window };
        let image = |(slot, row): (usize, u64)| (self.starts[blocks[slot] as usize] + row) as usize;
        let images: Vec<usize> = order::window(&rows, at, self.blocks.window).into_iter().map(image).collect();
        let start = number * self.images() + first + order::before(&rows, window, self.blocks.window);
        self.epoch = Some(epoch);
        Window { places: start..start + images.len() as u64, images }
    }

    fn epoch_of(&self, number: u64) -> Epoch {
        let shuffled = order::shuffled(self.seed, number, self.blocks.lengths.len());
        let mut place = 0;
        let starts = (0..order::groups(shuffled.len(), self.blocks.interleave)).map(|group| {
            let blocks = order::group(&shuffled, self.blocks.interleave, group);
            let start = place;
            place += blocks.iter().map(|&block| u64::from(self.blocks.lengths[block as usize])).sum::<u64>();
            start
        });
        Epoch { number, groups: starts.collect(), shuffled }
    }
}

/// The window of a group that holds a place of it: the last that begins there or before, for those before it may be empty.
fn window_of(rows: &[u64], place: u64, size: usize) -> u64 {
    let (mut low, mut high) = (0, order::windows(rows, size));
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if order::before(rows, middle, size) <= place {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(lengths: &[u32], interleave: usize, window: usize) -> BlockOrder {
        BlockOrder::new(Blocks { lengths: lengths.to_vec(), interleave, window }, 5)
    }

    fn images(order: &mut BlockOrder, places: Range<u64>) -> Vec<usize> {
        places.map(|place| order.index_of(place).0).collect()
    }

    #[test]
    fn an_epoch_has_every_image_once_whatever_the_blocks() {
        for lengths in [vec![1], vec![1, 1, 1, 1, 1], vec![7, 1, 30, 2, 5, 11], vec![100, 3]] {
            let all: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
            for (interleave, window) in [(1, 1), (2, 3), (3, 1000), (100, 16)] {
                let mut order = order(&lengths, interleave, window);
                let mut orders = vec![];
                for epoch in 0..3 {
                    let seen = images(&mut order, epoch * all..(epoch + 1) * all);
                    let mut sorted = seen.clone();
                    sorted.sort_unstable();
                    assert_eq!(sorted, (0..all as usize).collect::<Vec<_>>(), "{lengths:?} {interleave} {window}");
                    orders.push(seen);
                }
                // One block at a time and one image at a time, two blocks come up in the same order half of the time.
                let is_shuffled = all >= 5 && (window > 1 || lengths.len() > 2);
                assert!(!is_shuffled || orders[0] != orders[1], "{lengths:?} {interleave} {window}");
            }
        }
    }

    #[test]
    fn any_place_is_found_without_those_before_it() {
        let lengths = [7, 1, 30, 2, 5, 11];
        let expected = images(&mut order(&lengths, 3, 8), 0..200);
        for place in (0..200).rev().step_by(7) {
            assert_eq!(order(&lengths, 3, 8).index_of(place).0, expected[place as usize], "place {place}");
        }
        // Going back and forth is as good as going on.
        let mut back = order(&lengths, 3, 8);
        let found: Vec<usize> = (0..200).map(|place| back.index_of(place * 67 % 200).0).collect();
        assert!((0..200).all(|place| found[place] == expected[place * 67 % 200]));
    }

    #[test]
    fn few_blocks_are_open_and_each_is_passed_from_front_to_back() {
        let (block, window) = (50, 20);
        let mut order = order(&[block; 12], 3, window);
        let mut reached = [0; 12];
        let (mut passed, mut announced) = (vec![], vec![]);
        for place in 0..600 {
            let (_, entered) = order.index_of(place);
            let Some(Expected { now: entered, next }) = entered else { continue };
            assert!(announced.is_empty() || announced == entered, "what was announced comes up");
            announced = next.to_vec();
            assert!(entered.len() <= window + 3);
            let mut here: Vec<usize> = entered.to_vec();
            here.sort_unstable();
            let blocks: std::collections::BTreeSet<usize> = here.iter().map(|image| image / block as usize).collect();
            assert!(blocks.len() <= 3, "{blocks:?}");
            for image in here {
                let (block, row) = (image / block as usize, image % block as usize);
                assert_eq!(reached[block], row, "a window leaves no gap and never goes back");
                reached[block] += 1;
            }
            passed.extend(blocks);
        }
        assert_eq!(reached, [50; 12]);
        passed.dedup();
        assert!(!passed.is_sorted(), "blocks come up in an order of their own");
    }
}
