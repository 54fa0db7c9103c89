//! `y = c x^p`, by least squares in logarithms.

use serde::{Deserialize, Serialize};

use crate::error::ScalingError;

/// A straight line in a log-log plot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerLaw {
    /// c, above 0.
    pub coefficient: f64,
    /// p.
    pub exponent: f64,
}

impl PowerLaw {
    /// Through points (x, y), all above 0, of two different x at least.
    ///
    /// # Errors
    /// There are fewer.
    pub fn fit(points: &[(f64, f64)]) -> Result<Self, ScalingError> {
        let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
        let count = logs.len() as f64;
        let (x, y) = logs.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0 / count, sum.1 + point.1 / count));
        let spread: f64 = logs.iter().map(|point| (point.0 - x).powi(2)).sum();
        if spread.is_nan() || spread <= 0.0 {
            return Err(ScalingError::too_few("different points of a power law", 2, logs.len().min(1)));
        }
        let exponent = logs.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
        Ok(Self { coefficient: (y - exponent * x).exp(), exponent })
    }

    /// y at `x`.
    pub fn at(&self, x: f64) -> f64 {
        self.coefficient * x.powf(self.exponent)
    }
}
