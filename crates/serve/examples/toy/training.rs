//! A training run that is none: its curves follow from the time since it began.

use std::time::{Duration, Instant};

use interfuse_serve::engine::Raster;
use interfuse_serve::training::{MetricPoint, Preview, Training, TrainingError, TrainingState, TrainingStatus};

/// A run that takes steps while it is watched.
#[derive(Debug)]
pub(crate) struct ToyTraining {
    began: Instant,
    /// Steps that were taken before it began.
    before: u64,
    steps: u64,
    pace: Duration,
}

impl ToyTraining {
    /// A run of so many steps, of which some are taken.
    pub(crate) fn new(before: u64, steps: u64, pace: Duration) -> Self {
        Self { began: Instant::now(), before, steps, pace }
    }

    fn step(&self) -> u64 {
        let since = self.began.elapsed().as_secs_f64() / self.pace.as_secs_f64().max(1e-6);
        (self.before + since as u64).min(self.steps)
    }
}

impl Training for ToyTraining {
    fn status(&self) -> Result<TrainingStatus, TrainingError> {
        let step = self.step();
        let rate = 1.0 / self.pace.as_secs_f64().max(1e-6);
        let state = if step < self.steps { TrainingState::Running } else { TrainingState::Finished };
        Ok(TrainingStatus {
            name: "toy-hills".into(),
            state,
            step,
            steps: self.steps,
            steps_per_second: Some(rate),
            seconds_left: Some((self.steps - step) as f64 / rate),
            preview_step: Some(step / 50 * 50),
        })
    }

    fn metrics(&self, after: Option<u64>) -> Result<Vec<MetricPoint>, TrainingError> {
        let mut points = vec![];
        let first = after.map_or(0, |after| after + 1);
        for step in (first..=self.step()).filter(|step| step % 10 == 0) {
            let t = step as f64;
            let jitter = ((t * 12.9898).sin() * 43758.5453).fract().abs() - 0.5;
            let values = [
                ("loss/text", 3.2 * (-t / 260.0).exp() + 0.9 + 0.16 * jitter),
                ("loss/image", 0.8 * (-t / 420.0).exp() + 0.21 + 0.03 * jitter),
                ("learning_rate", 1e-3 * (t / 100.0).min(1.0)),
                ("gradient_norm", 1.0 + 0.4 * jitter + 2.0 * (-t / 80.0).exp()),
            ];
            points.extend(values.map(|(name, value)| MetricPoint { name: name.into(), step, value }));
            if step % 100 == 0 {
                let value = 3.1 * (-t / 280.0).exp() + 1.0;
                points.push(MetricPoint { name: "validation/text".into(), step, value });
            }
        }
        Ok(points)
    }

    fn preview(&self) -> Result<Option<Preview>, TrainingError> {
        let step = self.step() / 50 * 50;
        let sharp = step as f32 / self.steps.max(1) as f32;
        let pixels = (0..96u32 * 96).flat_map(|pixel| {
            let [x, y] = [pixel % 96, pixel / 96].map(|at| at as f32 / 96.0);
            let noise = ((pixel as f32 * 78.233).sin() * 43758.547).fract().abs();
            let wave = ((x * 9.0).sin() * 0.1 + 0.5 - y).clamp(-0.5, 0.5) + 0.5;
            [0.3, 0.5, 0.7].map(|base: f32| ((base + wave * 0.4) * sharp + noise * (1.0 - sharp)) * 255.0)
        });
        let image = Raster::new(96, 96, 3, pixels.map(|value| value as u8).collect());
        let png = image.and_then(|image| image.to_png()).map_err(|error| TrainingError(error.to_string()))?;
        Ok(Some(Preview { step, png }))
    }
}
