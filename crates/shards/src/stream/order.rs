//! The order in which the examples of all shards come up: a function of the seed, the epoch, and how many rows shards have.
//!
//! 1. An epoch shuffles the shards and parts them into groups of `interleave`, which are open at the same time.
//! 2. A group is passed in windows of about `window` rows. Window k of K takes of every shard the rows from `L·k/K` to
//!    `L·(k+1)/K`, where L is its number of rows: all shards of a group end together, and none is read twice.
//! 3. The rows of a window are permuted.
//!
//! So every example comes up once in an epoch, far from its neighbours, and where the order stands is told by three numbers:
//! epoch, group and window. Rows are numbered as they come up, and rank r of R takes those whose number leaves r when it is
//! divided by R; the numbers do not depend on R.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::error::ShardError;

/// How examples are ordered, split and read ahead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrderConfig {
    /// Rows that are permuted together, 1 to 10,000,000. Of shards that cannot seek, which are Parquet and what is compressed,
    /// so many examples are in memory at once, divided by the ranks; of others, a few.
    pub window: usize,
    /// Shards that are open at the same time and mixed, 1 to 1024.
    pub interleave: usize,
    /// Fraction of the keys that are held out, from 0 to below 1.
    pub held_out: f64,
    /// Threads that work on examples ahead of time, 1 to 256; one more reads.
    pub threads: usize,
    /// Examples that are ready or worked on ahead of time, 1 to 1,000,000.
    pub ahead: usize,
}

impl Default for OrderConfig {
    fn default() -> Self {
        Self { window: 2048, interleave: 4, held_out: 0.0, threads: 2, ahead: 256 }
    }
}

impl OrderConfig {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// The first key whose value is out of its range.
    pub fn validate(&self) -> Result<(), ShardError> {
        for (key, value, most) in [
            ("window", self.window, 10_000_000),
            ("interleave", self.interleave, 1024),
            ("threads", self.threads, 256),
            ("ahead", self.ahead, 1_000_000),
        ] {
            if !(1..=most).contains(&value) {
                return Err(ShardError::setting(key, format!("1 to {most}"), value));
            }
        }
        match (0.0..1.0).contains(&self.held_out) {
            true => Ok(()),
            false => Err(ShardError::setting("held_out", "a fraction from 0 to below 1", self.held_out)),
        }
    }
}

/// What a generator is for; none disturbs another.
#[derive(Clone, Copy)]
enum Purpose {
    Shards,
    Window,
}

/// The generator of an epoch, or of one of its windows.
fn generator(seed: u64, epoch: u64, place: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut key = [0; 32];
    let purpose = 0x7368_6172_6473_0000 | purpose as u64;
    for (bytes, value) in key.chunks_exact_mut(8).zip([seed, epoch, place, purpose]) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// How many groups the shards are parted into.
pub fn groups(shards: usize, interleave: usize) -> u64 {
    shards.div_ceil(interleave) as u64
}

/// The shards in the order of an epoch.
pub fn shuffled(seed: u64, epoch: u64, shards: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..shards as u32).collect();
    order.shuffle(&mut generator(seed, epoch, 0, Purpose::Shards));
    order
}

/// The shards of a group, in the order of their epoch: at most `interleave`; groups differ by one shard at most.
pub fn group(shuffled: &[u32], interleave: usize, group: u64) -> &[u32] {
    let groups = groups(shuffled.len(), interleave);
    let bound = |group: u64| share(shuffled.len() as u64, group, groups) as usize;
    &shuffled[bound(group)..bound(group + 1)]
}

/// How many windows a group of shards of so many rows is passed in.
pub fn windows(rows: &[u64], window: usize) -> u64 {
    rows.iter().sum::<u64>().div_ceil(window as u64)
}

/// How many rows of a group come up before a window.
pub fn before(rows: &[u64], number: u64, window: usize) -> u64 {
    let windows = windows(rows, window);
    rows.iter().map(|&length| share(length, number, windows)).sum()
}

/// The rows of a window as (place in the group, row), in the order in which they come up.
pub fn window(rows: &[u64], place: WindowPlace, window: usize) -> Vec<(usize, u64)> {
    let windows = windows(rows, window);
    let mut taken: Vec<(usize, u64)> = vec![];
    for (slot, &length) in rows.iter().enumerate() {
        let bound = |window| share(length, window, windows);
        taken.extend((bound(place.window)..bound(place.window + 1)).map(|row| (slot, row)));
    }
    let number = (place.group << 32) ^ place.window;
    taken.shuffle(&mut generator(place.seed, place.epoch, number, Purpose::Window));
    taken
}

/// Which window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowPlace {
    /// What the order is a function of.
    pub seed: u64,
    /// Passes over all shards before this one.
    pub epoch: u64,
    /// Group of the epoch.
    pub group: u64,
    /// Window of the group.
    pub window: u64,
}

/// `all · part / parts`, rounded down.
fn share(all: u64, part: u64, parts: u64) -> u64 {
    (u128::from(all) * u128::from(part) / u128::from(parts.max(1))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(seed: u64, window: u64) -> WindowPlace {
        WindowPlace { seed, epoch: 3, group: 2, window }
    }

    proptest! {
        #[test]
        fn windows_hold_every_row_once(rows in prop::collection::vec(0_u64..200, 1..6), size in 1_usize..70, seed: u64) {
            let mut all = vec![];
            for k in 0..windows(&rows, size) {
                let taken = window(&rows, place(seed, k), size);
                prop_assert_eq!(before(&rows, k, size), all.len() as u64);
                prop_assert!(taken.len() <= size + rows.len());
                all.extend(taken);
            }
            all.sort_unstable();
            let expected: Vec<(usize, u64)> =
                rows.iter().enumerate().flat_map(|(slot, &length)| (0..length).map(move |row| (slot, row))).collect();
            prop_assert_eq!(all, expected);
        }

        #[test]
        fn groups_hold_every_shard_once(shards in 1_usize..40, interleave in 1_usize..9, seed: u64, epoch: u64) {
            let order = shuffled(seed, epoch, shards);
            let groups: Vec<&[u32]> =
                (0..groups(shards, interleave)).map(|number| group(&order, interleave, number)).collect();
            prop_assert!(groups.iter().all(|group| (1..=interleave).contains(&group.len())));
            let mut all = groups.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..shards as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn epochs_and_seeds_have_orders_of_their_own_that_stay() {
        let order = |seed, epoch| group(&shuffled(seed, epoch, 8), 8, 0).to_vec();
        assert_ne!(order(1, 0), order(1, 1));
        assert_ne!(order(1, 0), order(2, 0));
        // The very values are part of the promise: a change would break every cursor.
        assert_eq!(order(1, 0), FIRST_ORDER);
        assert_eq!(window(&[3, 3], place(1, 0), 6), FIRST_WINDOW);
    }

    const FIRST_ORDER: [u32; 8] = [2, 0, 5, 7, 6, 1, 3, 4];
    const FIRST_WINDOW: [(usize, u64); 6] = [(1, 1), (0, 0), (1, 2), (0, 2), (1, 0), (0, 1)];

    #[test]
    fn settings_out_of_range_are_named() {
        let with = |change: fn(&mut OrderConfig)| {
            let mut config = OrderConfig::default();
            change(&mut config);
            config.validate().map_err(|error| error.to_string())
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert!(with(|config| config.window = 0).unwrap_err().contains("`window`"));
        assert!(with(|config| config.interleave = 2000).unwrap_err().contains("1 to 1024"));
        assert!(with(|config| config.held_out = 1.0).unwrap_err().contains("`held_out`"));
        assert!(with(|config| config.held_out = f64::NAN).unwrap_err().contains("NaN"));
    }
}
