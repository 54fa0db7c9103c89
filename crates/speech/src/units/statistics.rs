//! What a language model has to say of units: how many there are a second, and how many bits each is.
//!
//! ```text
//! H(u) = −Σ_u p(u) log₂ p(u);   H(v | u) = −Σ_uv p(u, v) log₂ (p(u, v)/p(u))
//! ```
//!
//! Symbols: `p` fractions of what was counted. From few units both come out too low.

use std::collections::BTreeMap;

use serde::Serialize;

use super::sequence::UnitSequence;

/// Counts over deduplicated sequences.
#[derive(Clone, Debug, Default)]
pub struct UnitStatistics {
    runs: BTreeMap<u32, u64>,
    pairs: BTreeMap<(u32, u32), u64>,
    duration: u64,
}

/// Numbers over deduplicated sequences.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct UnitSummary {
    /// Units that occur.
    pub used: usize,
    /// Part of the units that deduplication leaves.
    pub left_after_deduplication: f64,
    /// Units a second that deduplication leaves.
    pub units_per_second: f64,
    /// `H(u)`, in bits.
    pub entropy: f64,
    /// `H(v | u)` of the next unit, in bits.
    pub conditional_entropy: f64,
    /// `units_per_second · conditional_entropy`
    pub bits_per_second: f64,
}

impl UnitStatistics {
    /// Takes in one sequence; nothing is counted from one to the next.
    pub fn add(&mut self, sequence: &UnitSequence) {
        let runs = sequence.deduplicated();
        self.duration += runs.duration();
        for &unit in runs.units() {
            *self.runs.entry(unit).or_default() += 1;
        }
        for pair in runs.units().windows(2) {
            *self.pairs.entry((pair[0], pair[1])).or_default() += 1;
        }
    }

    /// The numbers of all that was taken in; zeros where that is nothing. `unit_rate` is of units before deduplication.
    pub fn summary(&self, unit_rate: u32) -> UnitSummary {
        let runs: u64 = self.runs.values().sum();
        if runs == 0 {
            return UnitSummary::default();
        }
        let mut firsts: BTreeMap<u32, u64> = BTreeMap::new();
        for (&(first, _), count) in &self.pairs {
            *firsts.entry(first).or_default() += count;
        }
        let left = runs as f64 / self.duration as f64;
        let units_per_second = left * f64::from(unit_rate);
        // H(v | u) = H(u, v) − H(u), of the units that have a next one.
        let conditional_entropy = entropy(self.pairs.values()) - entropy(firsts.values());
        UnitSummary {
            used: self.runs.len(),
            left_after_deduplication: left,
            units_per_second,
            entropy: entropy(self.runs.values()),
            conditional_entropy,
            bits_per_second: units_per_second * conditional_entropy,
        }
    }
}

/// In bits, of counts.
fn entropy<'a>(counts: impl Iterator<Item = &'a u64> + Clone) -> f64 {
    let total = counts.clone().sum::<u64>() as f64;
    counts.map(|&count| count as f64 / total).map(|part| -part * part.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_has_no_surprise_and_a_fair_choice_one_bit() {
        let mut cycle = UnitStatistics::default();
        cycle.add(&UnitSequence::new([0, 0, 1, 1, 2, 2, 3, 3].repeat(5)));
        let found = cycle.summary(50);
        assert_eq!((found.used, found.left_after_deduplication, found.units_per_second), (4, 0.5, 25.0));
        assert!((found.entropy - 2.0).abs() < 1e-12 && found.conditional_entropy.abs() < 1e-12, "{found:?}");
        let mut choice = UnitStatistics::default();
        for sequence in [[0, 1], [0, 2]] {
            choice.add(&UnitSequence::new(sequence.to_vec()));
        }
        let found = choice.summary(50);
        assert!((found.conditional_entropy - 1.0).abs() < 1e-12 && (found.bits_per_second - 50.0).abs() < 1e-9);
        assert_eq!(UnitStatistics::default().summary(50), UnitSummary::default());
    }
}
