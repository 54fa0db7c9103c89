//! Units in order, and how long each lasts.

use crate::error::SpeechError;

/// Units of one clip with their durations.
///
/// As a codec encodes them all durations are 1; deduplicated, equal neighbors are one unit that lasts as long as they did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitSequence {
    /// Each below the codec's alphabet. `[units]`
    units: Vec<u32>,
    /// How often each is repeated, from 1 up. `[units]`
    durations: Vec<u32>,
}

impl UnitSequence {
    /// Units that last 1 each.
    pub fn new(units: Vec<u32>) -> Self {
        Self { durations: vec![1; units.len()], units }
    }

    /// Units with durations.
    ///
    /// # Errors
    /// When there are not as many durations as units, or one is 0.
    pub fn with_durations(units: Vec<u32>, durations: Vec<u32>) -> Result<Self, SpeechError> {
        if durations.len() != units.len() {
            let expected = format!("{} numbers, one for each unit", units.len());
            return Err(SpeechError::malformed("durations", expected, durations.len()));
        }
        match durations.iter().position(|&duration| duration == 0) {
            None => Ok(Self { units, durations }),
            Some(place) => {
                let found = format!("0 for unit {} of them", place + 1);
                Err(SpeechError::malformed("durations", "numbers from 1 up", found))
            }
        }
    }

    /// `[units]`
    pub fn units(&self) -> &[u32] {
        &self.units
    }

    /// `[units]`
    pub fn durations(&self) -> &[u32] {
        &self.durations
    }

    /// The sum of all durations.
    pub fn duration(&self) -> u64 {
        self.durations.iter().map(|&duration| u64::from(duration)).sum()
    }

    /// Equal neighbors as one unit that lasts as long as they did.
    #[must_use]
    pub fn deduplicated(&self) -> Self {
        let mut runs = Self::default();
        for (&unit, &duration) in self.units.iter().zip(&self.durations) {
            match runs.durations.last_mut().filter(|_| runs.units.last() == Some(&unit)) {
                Some(last) => *last = last.saturating_add(duration),
                None => {
                    runs.units.push(unit);
                    runs.durations.push(duration);
                }
            }
        }
        runs
    }

    /// Every unit as often as it lasts: `[duration]` units.
    pub fn repeated(&self) -> impl Iterator<Item = u32> + '_ {
        let runs = self.units.iter().zip(&self.durations);
        runs.flat_map(|(&unit, &duration)| std::iter::repeat_n(unit, duration as usize))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_belong_to_their_units() {
        let runs = UnitSequence::new(vec![4, 4, 4, 9, 4]).deduplicated();
        assert_eq!((runs.units(), runs.durations()), ([4, 9, 4].as_slice(), [3, 1, 1].as_slice()));
        let message = |durations| UnitSequence::with_durations(vec![1, 2], durations).unwrap_err().to_string();
        assert!(message(vec![1]).contains("expected 2 numbers") && message(vec![1, 0]).contains("unit 2"));
    }

    proptest! {
        #[test]
        fn deduplication_loses_nothing(units in prop::collection::vec(0u32..3, 0..40)) {
            let runs = UnitSequence::new(units.clone()).deduplicated();
            prop_assert!(runs.units().windows(2).all(|pair| pair[0] != pair[1]));
            prop_assert_eq!(runs.duration(), units.len() as u64);
            prop_assert_eq!(&runs.deduplicated(), &runs);
            prop_assert_eq!(runs.repeated().collect::<Vec<_>>(), units);
        }
    }
}
