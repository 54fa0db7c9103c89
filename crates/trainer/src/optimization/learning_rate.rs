//! Linear warm-up, then a schedule down to the final learning rate.

use serde::{Deserialize, Serialize};

use crate::optimization::config::OptimizerConfig;

/// How the learning rate gets from its peak to its final value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Half a cosine over all steps after the warm-up (Loshchilov and Hutter, 1608.03983).
    #[default]
    Cosine,
    /// A straight line over all steps after the warm-up.
    Linear,
    /// It stays at its peak; the final learning rate says nothing.
    Constant,
    /// Warm-up, stable, decay: at its peak up to the last `decay_fraction` of the steps, over which it falls by the root of what
    /// has passed of them (Hägele et al., 2405.18392, 1-sqrt). A checkpoint from before the decay can be trained on for longer.
    Wsd,
}

impl Schedule {
    /// The share of the way from the final learning rate up to the peak, when `passed` of `rest` steps after the warm-up are.
    fn height(self, passed: f64, rest: f64, decay: f64) -> f64 {
        let progress = (passed / rest).min(1.0);
        match self {
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
            Self::Linear => 1.0 - progress,
            Self::Constant => 1.0,
            Self::Wsd => 1.0 - ((passed - (rest - decay)).max(0.0) / decay).min(1.0).sqrt(),
        }
    }
}

/// The learning rate of step `step` (from 0) of `steps`.
pub fn learning_rate(config: &OptimizerConfig, step: u64, steps: u64) -> f64 {
    if step < config.warmup_steps {
        return config.learning_rate * (step + 1) as f64 / config.warmup_steps as f64;
    }
    let rest = steps.saturating_sub(config.warmup_steps).max(1) as f64;
    let decay = (config.decay_fraction * steps as f64).clamp(1.0, rest);
    let height = config.schedule.height((step - config.warmup_steps) as f64, rest, decay);
    config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * height
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(schedule: Schedule) -> OptimizerConfig {
        OptimizerConfig {
            learning_rate: 1.0,
            final_learning_rate: 0.1,
            warmup_steps: 10,
            schedule,
            decay_fraction: 0.5,
            ..OptimizerConfig::default()
        }
    }

    fn assert_rates(schedule: Schedule, expected: &[(u64, f64)]) {
        for &(step, rate) in expected {
            let found = learning_rate(&config(schedule), step, 110);
            assert!((found - rate).abs() < 1e-12, "{schedule:?}, step {step}: {found} instead of {rate}");
        }
    }

    #[test]
    fn every_schedule_rises_linearly_first() {
        for schedule in [Schedule::Cosine, Schedule::Linear, Schedule::Constant, Schedule::Wsd] {
            assert_rates(schedule, &[(0, 0.1), (9, 1.0), (10, 1.0)]);
        }
    }

    #[test]
    fn they_fall_to_the_final_rate_and_stay_there() {
        assert_rates(Schedule::Cosine, &[(60, 0.55), (110, 0.1), (500, 0.1)]);
        assert_rates(Schedule::Linear, &[(60, 0.55), (85, 0.325), (110, 0.1), (500, 0.1)]);
        assert_rates(Schedule::Constant, &[(60, 1.0), (500, 1.0)]);
        // The last 55 of 110 steps decay.
        assert_rates(Schedule::Wsd, &[(54, 1.0), (55, 1.0), (110, 0.1), (500, 0.1)]);
        assert_rates(Schedule::Wsd, &[(55 + 11, 0.1 + 0.9 * (1.0 - 0.2f64.sqrt()))]);
    }

    #[test]
    fn a_decay_is_never_longer_than_what_follows_the_warm_up() {
        let config = OptimizerConfig { decay_fraction: 1.0, ..config(Schedule::Wsd) };
        assert!((learning_rate(&config, 10, 20) - 1.0).abs() < 1e-12);
        assert!((learning_rate(&config, 20, 20) - 0.1).abs() < 1e-12);
    }
}
