//! Seconds of a step that was not measured, from some that were.

/// A step that was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// Floating-point operations of the step by the model's arithmetic.
    pub flops: f64,
    /// Seconds that it took.
    pub seconds: f64,
}

/// Seconds of a step as a line: what every step takes, and what its arithmetic takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Seconds of a step without any arithmetic, from 0.
    pub fixed: f64,
    /// Operations in a second beyond that, above 0.
    pub flops_per_second: f64,
}

impl Speed {
    /// The line through a small and a large step. Where it falls, or starts below 0, it is the one through the origin and the slower
    /// of the two: what was measured is then noise.
    pub fn through(small: Timing, large: Timing) -> Self {
        let more = Timing { flops: large.flops - small.flops, seconds: large.seconds - small.seconds };
        let flops_per_second = more.flops / more.seconds;
        let fixed = small.seconds - small.flops / flops_per_second;
        if more.flops > 0.0 && more.seconds > 0.0 && fixed >= 0.0 {
            return Self { fixed, flops_per_second };
        }
        let rate = |timing: Timing| timing.flops / timing.seconds.max(1e-9);
        Self { fixed: 0.0, flops_per_second: rate(small).min(rate(large)).max(1.0) }
    }

    /// The same speed, if a step took other seconds than were predicted.
    #[must_use]
    pub fn corrected(self, predicted: f64, found: f64) -> Self {
        let factor = (found / predicted).clamp(0.1, 10.0);
        Self { fixed: self.fixed * factor, flops_per_second: self.flops_per_second / factor }
    }

    /// Seconds of a step of so many operations.
    pub fn seconds(&self, flops: f64) -> f64 {
        self.fixed + flops / self.flops_per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(flops: f64, seconds: f64) -> Timing {
        Timing { flops, seconds }
    }

    #[test]
    fn two_steps_make_a_line() {
        let speed = Speed::through(timing(1e9, 0.03), timing(3e9, 0.05));
        assert!((speed.seconds(1e9) - 0.03).abs() < 1e-12 && (speed.seconds(5e9) - 0.07).abs() < 1e-12);
        assert!((speed.fixed - 0.02).abs() < 1e-12);
        let slower = speed.corrected(0.05, 0.1);
        assert!((slower.seconds(3e9) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn noise_makes_no_negative_seconds() {
        for (small, large) in [
            (timing(1e9, 0.05), timing(3e9, 0.04)),
            (timing(1e9, 0.01), timing(2e9, 0.05)),
            (timing(1e9, 0.05), timing(1e9, 0.05)),
        ] {
            let speed = Speed::through(small, large);
            assert_eq!(speed.fixed, 0.0);
            assert!(speed.seconds(1.0) > 0.0 && speed.flops_per_second.is_finite(), "{speed:?}");
            assert!(speed.seconds(small.flops) >= small.seconds && speed.seconds(large.flops) >= large.seconds);
        }
    }
}
