//! What training a paper's model costs: parameters, FLOPs, memory of a GPU, and days on so many of them.

use interfuse_mot::FeedForwardConfig;
use interfuse_transfusion::counts::backbone_parameters;
use interfuse_transfusion::sizes::{Architecture, PaperSetting, PaperSize, SEQUENCE};
use interfuse_transfusion::{FlopsPerToken, ModalityConfig, ModelConfig};
use serde::Serialize;

use crate::error::{Result, require};

/// Bytes of a parameter while it is trained: weight, gradient, two moments and the moving average, in f32.
const BYTES_PER_PARAMETER: f64 = 20.0;
/// Numbers that the backbone keeps of a row and layer for the backward pass: ten of its width, three of the feed-forward's.
const WIDTHS_KEPT: (usize, usize) = (10, 3);
/// Bytes of a number that is kept, in bf16.
const BYTES_KEPT: f64 = 2.0;
const SECONDS_PER_DAY: f64 = 86_400.0;

/// What a model is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Machines {
    /// How many GPUs.
    pub gpus: usize,
    /// Operations that one can do in a second at most, in 10¹²; 989 of an H100 in bf16.
    pub tflops: f64,
    /// What fraction of them it does, from 0 to 1, as measured.
    pub utilisation: f64,
}

/// How much a model is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Rows of an optimizer step.
    pub rows_per_step: usize,
    /// Optimizer steps.
    pub steps: usize,
}

/// What training a model costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// The model.
    pub size: &'static str,
    /// Parameters of the backbone that a row meets, on average.
    pub activated_backbone: usize,
    /// Parameters of the backbone, all parts and experts.
    pub stored_backbone: usize,
    /// Embedding and head of the vocabulary.
    pub vocabulary: usize,
    /// FLOPs of the mean row, forward and backward, in sequences of 4,096 rows, as many of each modality.
    pub flops_per_row: f64,
    /// Rows of an optimizer step.
    pub rows_per_step: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// FLOPs of the whole training.
    pub flops: f64,
    /// Bytes of weights, gradients, moments and average on every GPU, of which none is shared among GPUs.
    pub parameter_bytes: f64,
    /// Bytes that the backward pass needs of one sequence.
    pub sequence_bytes: f64,
    /// Days on the machines.
    pub days: f64,
}

impl Machines {
    /// Checks the numbers.
    ///
    /// # Errors
    /// Names the number, what was expected and what was found.
    pub fn validate(&self) -> Result<()> {
        let Self { gpus, tflops, utilisation } = self;
        require!(*gpus > 0, "--gpus: expected at least 1, found 0");
        require!(*tflops > 0.0 && tflops.is_finite(), "--tflops: expected a number above 0, found {tflops}");
        require!(
            *utilisation > 0.0 && *utilisation <= 1.0,
            "--utilisation: expected a fraction above 0, to 1, found {utilisation}"
        );
        Ok(())
    }

    /// Operations that all of them do in a day.
    fn flops_per_day(&self) -> f64 {
        self.gpus as f64 * self.tflops * 1e12 * self.utilisation * SECONDS_PER_DAY
    }
}

impl Cost {
    /// Of a paper's model.
    ///
    /// # Errors
    /// When a number of the machines is out of its range.
    pub fn of(size: &PaperSize, setting: PaperSetting, architecture: Architecture, machines: Machines) -> Result<Self> {
        let work = Work { rows_per_step: size.rows_per_step(), steps: size.steps };
        Self::of_model(size.name, &size.model(setting, architecture), work, machines)
    }

    /// Of a model of any architecture that is trained so much, called `name`.
    ///
    /// # Errors
    /// When the model's settings do not fit together, or a number of the machines is out of its range.
    pub fn of_model(name: &'static str, model: &ModelConfig, work: Work, machines: Machines) -> Result<Self> {
        machines.validate()?;
        let stored_backbone = backbone_parameters(model)?;
        let vocabulary = vocabulary(model);
        let flops_per_row = mean_flops(model);
        let flops = flops_per_row * work.rows_per_step as f64 * work.steps as f64;
        let (widths, feed_forwards) = WIDTHS_KEPT;
        let backbone = &model.backbone;
        let kept = backbone.n_layers * (widths * backbone.d_model + feed_forwards * backbone.d_ff());
        Ok(Self {
            size: name,
            activated_backbone: activated(model)?,
            stored_backbone,
            vocabulary,
            flops_per_row,
            rows_per_step: work.rows_per_step,
            steps: work.steps,
            flops,
            parameter_bytes: BYTES_PER_PARAMETER * (stored_backbone + vocabulary) as f64,
            sequence_bytes: BYTES_KEPT * (SEQUENCE * kept) as f64,
            days: flops / machines.flops_per_day(),
        })
    }
}

/// The dense backbone, and what a row meets of routers.
fn activated(model: &ModelConfig) -> Result<usize> {
    let mut dense = model.clone();
    dense.partition = vec![model.modalities.keys().cloned().collect()];
    dense.backbone.feed_forward = FeedForwardConfig::default();
    dense.backbone.parts.clear();
    let (d, f) = (model.backbone.d_model, model.backbone.d_ff());
    let more = model.backbone.feed_forward.activated(d, f) - (3 * d * f) as f64;
    Ok(backbone_parameters(&dense)? + (model.backbone.n_layers as f64 * more) as usize)
}

fn vocabulary(model: &ModelConfig) -> usize {
    let of = |modality: &ModalityConfig| match modality {
        ModalityConfig::NextToken(text) => 2 * text.vocab_size * model.backbone.d_model,
        ModalityConfig::Denoise(_) => 0,
    };
    model.modalities.values().map(of).sum()
}

fn mean_flops(model: &ModelConfig) -> f64 {
    let flops = FlopsPerToken::of(model, SEQUENCE);
    let of_lanes: f64 = flops.matrices.iter().chain(&flops.towers).sum();
    flops.causal_attention + of_lanes / model.modalities.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_H100: Machines = Machines { gpus: 1, tflops: 989.0, utilisation: 0.4 };

    fn cost(name: &str, architecture: Architecture) -> Cost {
        let setting = PaperSetting::Transfusion;
        let size = setting.sizes().iter().find(|size| size.name == name).unwrap();
        Cost::of(size, setting, architecture, ONE_H100).unwrap()
    }

    #[test]
    fn architectures_activate_the_same_and_store_more() {
        let [dense, mot, moe] = [Architecture::Dense, Architecture::Mot, Architecture::Moe4x].map(|a| cost("760m", a));
        assert_eq!((dense.activated_backbone, dense.stored_backbone), (679_552_512, 679_552_512));
        assert_eq!((mot.activated_backbone, mot.stored_backbone), (679_552_512, 1_359_105_024));
        assert_eq!(dense.flops, mot.flops);
        let router = 24 * 4 * 1536;
        assert_eq!(moe.activated_backbone, 679_552_512 + router);
        assert_eq!(moe.stored_backbone, 679_552_512 + router + 24 * 3 * 3 * 1536 * 4096);
        // "Half the FLOPs": the backbone's matrices of 760m are 0.551 of those of 1.4b.
        let ratio = dense.activated_backbone as f64 / cost("1.4b", Architecture::Dense).activated_backbone as f64;
        assert!((ratio - 0.551).abs() < 1e-3, "{ratio}");
    }

    #[test]
    fn twice_the_machines_take_half_the_days() {
        let setting = PaperSetting::Chameleon;
        let size = &setting.sizes()[0];
        let days = |machines| Cost::of(size, setting, Architecture::Mot, machines).unwrap().days;
        let one = days(ONE_H100);
        assert_eq!(days(Machines { gpus: 2, ..ONE_H100 }), one / 2.0);
        assert_eq!(days(Machines { utilisation: 0.2, ..ONE_H100 }), one * 2.0);
        let refused = |machines: Machines| machines.validate().unwrap_err().to_string();
        assert!(refused(Machines { gpus: 0, ..ONE_H100 }).contains("--gpus"));
        assert!(refused(Machines { tflops: f64::NAN, ..ONE_H100 }).contains("--tflops"));
        assert!(refused(Machines { utilisation: 1.5, ..ONE_H100 }).contains("--utilisation"));
    }
}
