//! Which examples training does not see, by their keys alone: the choice stays the same when shards are added or reordered.

use serde::{Deserialize, Serialize};

/// Which part of the examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// What the model learns from.
    #[default]
    Train,
    /// What the model is measured on.
    HeldOut,
}

impl Split {
    /// Whether an example of a key belongs to it, if `fraction` of the keys are held out.
    pub fn has(self, key: &str, fraction: f64) -> bool {
        (place(key) < fraction) == (self == Split::HeldOut)
    }
}

/// The place of a key in [0, 1): uniform over keys and fixed for each. Keys whose place is below a fraction are held out.
pub fn place(key: &str) -> f64 {
    // FNV-1a alone leaves short keys close together; the last steps of SplitMix64 spread them.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    // The upper 53 bits are what an f64 holds exactly.
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_one_split_and_the_share_is_met() {
        let keys: Vec<String> = (0..4000).map(|number| format!("{number:09}")).collect();
        for fraction in [0.0, 0.1, 0.5] {
            let held = keys.iter().filter(|key| Split::HeldOut.has(key, fraction)).count();
            let train = keys.iter().filter(|key| Split::Train.has(key, fraction)).count();
            assert_eq!(held + train, 4000);
            assert!((held as f64 - 4000.0 * fraction).abs() <= 4.0 * (4000.0 * fraction * (1.0 - fraction)).sqrt());
        }
        // The very values are part of the promise: a change would leak held-out examples into resumed runs.
        assert_eq!((place("000000.png") * 1e6) as u64, 637_484);
    }
}
