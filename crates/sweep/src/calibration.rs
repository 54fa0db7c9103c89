//! How fast this machine trains models of several sizes, measured once.
//!
//! A `calibration.json` is
//!
//! ```json
//! {
//!   "machine": "2 cores of …",
//!   "threads": 1,
//!   "rates": [{ "params": 8064, "flops_per_second": 1.1e9 }],
//!   "tokens_per_document": { "text": 21.4 }
//! }
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::dial::{Shape, dial};
use crate::durable::{read_json, write_json};
use crate::error::{Result, SweepError};

/// The speed of training at one size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// N, above 0.
    pub params: f64,
    /// Training FLOPs a second as [`TrainingFlops`](crate::flops::TrainingFlops) counts them, above 0.
    pub flops_per_second: f64,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Where.
    #[serde(default)]
    pub machine: String,
    /// Threads of one run, where that was fixed.
    #[serde(default)]
    pub threads: Option<usize>,
    /// By size, at least one, in rising order.
    pub rates: Vec<Rate>,
    /// Mean tokens of a document by group, for groups whose settings do not say it.
    #[serde(default)]
    pub tokens_per_document: BTreeMap<String, f64>,
}

impl Calibration {
    /// Measures some sizes; `measure` trains a few steps of a shape and returns FLOPs a second.
    ///
    /// # Errors
    /// `measure` fails, a size is off the dial, or a rate is not finite and positive.
    pub fn measure(sizes: &[f64], mut measure: impl FnMut(&Shape) -> Result<f64>) -> Result<Self> {
        let rate = |&size: &f64| {
            let shape = dial(size)?;
            Ok(Rate { params: shape.params(), flops_per_second: measure(&shape)? })
        };
        let mut rates: Vec<Rate> = sizes.iter().map(rate).collect::<Result<_>>()?;
        rates.sort_by(|a, b| a.params.total_cmp(&b.params));
        let calibration = Self { rates, ..Self::default() };
        calibration.validate("calibration")?;
        Ok(calibration)
    }

    /// Reads `calibration.json`.
    ///
    /// # Errors
    /// It cannot be read, has an unknown key, or a number is out of its range; names it.
    pub fn load(path: &Path) -> Result<Self> {
        let calibration: Self =
            read_json(path)?.ok_or_else(|| SweepError::file("read", path)(std::io::ErrorKind::NotFound.into()))?;
        calibration.validate(&path.display().to_string())?;
        Ok(calibration)
    }

    /// Writes `calibration.json`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_json(path, self)
    }

    fn validate(&self, place: &str) -> Result<()> {
        let positive = |key: String, number: f64| match number.is_finite() && number > 0.0 {
            true => Ok(()),
            false => Err(SweepError::value(format!("{place}: {key}"), "a finite number above 0", number)),
        };
        if self.rates.is_empty() {
            return Err(SweepError::value(format!("{place}: rates"), "at least one size", "none"));
        }
        for (at, rate) in self.rates.iter().enumerate() {
            positive(format!("rates[{at}].params"), rate.params)?;
            positive(format!("rates[{at}].flops_per_second"), rate.flops_per_second)?;
        }
        if let Some(at) = self.rates.windows(2).position(|pair| pair[0].params >= pair[1].params) {
            let found = self.rates[at + 1].params;
            return Err(SweepError::value(
                format!("{place}: rates[{}].params", at + 1),
                "sizes in rising order",
                found,
            ));
        }
        self.tokens_per_document
            .iter()
            .try_for_each(|(group, tokens)| positive(format!("tokens_per_document.{group}"), *tokens))
    }

    /// FLOPs a second at a size: on a line in ln N and ln rate between two that were measured, level outside.
    pub fn flops_per_second(&self, params: f64) -> f64 {
        let after = self.rates.partition_point(|rate| rate.params < params);
        let nearest = || self.rates[after.min(self.rates.len() - 1)].flops_per_second;
        let (Some(high), Some(low)) = (self.rates.get(after), after.checked_sub(1).and_then(|at| self.rates.get(at)))
        else {
            return if self.rates.is_empty() { f64::NAN } else { nearest() };
        };
        let part = (params / low.params).ln() / (high.params / low.params).ln();
        low.flops_per_second * (high.flops_per_second / low.flops_per_second).powf(part)
    }

    /// Whether a size lies between those that were measured.
    pub fn covers(&self, params: f64) -> bool {
        let ends = self.rates.first().zip(self.rates.last());
        ends.is_some_and(|(first, last)| (0.9 * first.params..=1.1 * last.params).contains(&params))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_lie_on_a_line_between_sizes() {
        let calibration = Calibration::measure(&[1e6, 1e4], |shape| Ok(shape.params().sqrt())).unwrap();
        for params in [2e4, 1e5, 9e5] {
            assert!((calibration.flops_per_second(params) / f64::sqrt(params) - 1.0).abs() < 1e-9);
        }
        assert_eq!(calibration.flops_per_second(1.0), calibration.rates[0].flops_per_second);
        assert_eq!(calibration.flops_per_second(1e9), calibration.rates[1].flops_per_second);
        assert!(calibration.covers(1e5) && !calibration.covers(1e9));
    }

    #[test]
    fn a_file_is_checked_key_by_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calibration.json");
        let refused = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Calibration::load(&path).unwrap_err().to_string()
        };
        for (text, part) in [
            (r#"{"rates": []}"#, "rates: expected at least one size"),
            (r#"{"rates": [{"params": 0, "flops_per_second": 1}]}"#, "rates[0].params"),
            (r#"{"rates": [{"params": 2, "flops_per_second": -1}]}"#, "rates[0].flops_per_second"),
            (r#"{"rates": [{"params": 2, "flops_per_second": 1}, {"params": 2, "flops_per_second": 1}]}"#, "rising"),
            (r#"{"rates": [{"params": 2, "flops_per_second": 1}], "tokens_per_document": {"text": 0}}"#, ".text"),
            (r#"{"rate": []}"#, "unknown field `rate`"),
            ("{", "calibration.json"),
        ] {
            let message = refused(text);
            assert!(message.contains(part), "{message}");
        }
        assert!(Calibration::load(&folder.path().join("none")).unwrap_err().to_string().starts_with("cannot read"));
        assert!(Calibration::measure(&[1e6], |_| Ok(f64::NAN)).is_err());
        assert!(Calibration::measure(&[1.0], |_| Ok(1.0)).is_err());
    }
}
