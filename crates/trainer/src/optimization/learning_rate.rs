//! Linear warm-up, then half a cosine down to the final learning rate.

use crate::optimization::config::OptimizerConfig;

/// The learning rate of step `step` (from 0) of `steps`.
pub fn learning_rate(config: &OptimizerConfig, step: u64, steps: u64) -> f64 {
    if step < config.warmup_steps {
        return config.learning_rate * (step + 1) as f64 / config.warmup_steps as f64;
    }
    let rest = (steps.saturating_sub(config.warmup_steps)).max(1) as f64;
    let progress = ((step - config.warmup_steps) as f64 / rest).min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
    config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_linearly_then_falls_to_the_final_rate() {
        let config = OptimizerConfig {
            learning_rate: 1.0,
            final_learning_rate: 0.1,
            warmup_steps: 10,
            ..OptimizerConfig::default()
        };
        let at = |step| learning_rate(&config, step, 110);
        assert!((at(0) - 0.1).abs() < 1e-12 && (at(9) - 1.0).abs() < 1e-12 && (at(10) - 1.0).abs() < 1e-12);
        assert!((at(60) - 0.55).abs() < 1e-12, "half way down the cosine");
        assert!((at(110) - 0.1).abs() < 1e-12 && (at(500) - 0.1).abs() < 1e-12);
    }
}
