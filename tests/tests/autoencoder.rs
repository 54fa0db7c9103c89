//! Training an autoencoder: it learns, micro-batches are one batch, a resume is bitwise, codes are revived.

use burn::tensor::{Device, Tensor, TensorData};
use interfuse_data::{ImageCursor, ImageStream, Source};
use interfuse_parameters::{HostTensors, export_weights};
use interfuse_trainer::autoencoder::{
    ArchitectureConfig, AutoencoderLossConfig, AutoencoderSetup, AutoencoderTrainConfig, AutoencoderTrainer,
    CodebookConfig, DiscriminatorConfig, checkpoint,
};
use interfuse_trainer::{Learner as _, OptimizerConfig};
use interfuse_vae::loss::ReconstructionLoss;
use interfuse_vae::{Vae, VaeConfig, folder};

struct Run {
    codebook: Option<CodebookConfig>,
    loss: AutoencoderLossConfig,
    images: usize,
    accumulation: usize,
}

impl Run {
    fn new() -> Self {
        Self { codebook: None, loss: AutoencoderLossConfig::default(), images: 4, accumulation: 1 }
    }

    fn with_codes(revive_every: u64) -> Self {
        let codebook = CodebookConfig { codes: 16, dim: 4, commitment: 0.25, revive_every };
        Self { codebook: Some(codebook), ..Self::new() }
    }

    fn source() -> std::sync::Arc<dyn Source> {
        let data = interfuse_data::DataConfig {
            image_size: [16, 16],
            channels: 3,
            horizontal_flip: 0.5,
            source: toml::from_str("kind = \"emoji\"\ngroups = [\"flags\"]").expect("a source"),
            ..Default::default()
        };
        interfuse_data::open(&data).expect("flags").train
    }

    fn config(&self) -> VaeConfig {
        let architecture = ArchitectureConfig {
            latent_channels: 4,
            block_out_channels: vec![8, 8],
            layers_per_block: 1,
            norm_num_groups: 4,
            mid_block_add_attention: true,
            codebook: self.codebook.clone(),
        };
        architecture.vae_config(3).expect("valid")
    }

    fn trainer(&self, cursor: ImageCursor) -> AutoencoderTrainer {
        let train = AutoencoderTrainConfig {
            steps: 1000,
            batch_size: self.images,
            gradient_accumulation: self.accumulation,
            most_bad_steps: 3,
        };
        let setup = AutoencoderSetup {
            vae: self.config(),
            codebook: self.codebook.clone(),
            loss: self.loss.clone(),
            optimizer: OptimizerConfig { learning_rate: 3e-3, warmup_steps: 5, ..OptimizerConfig::default() },
            train,
            seed: 7,
            device: Device::flex(),
        };
        let stream = ImageStream::new(Self::source(), 0.5, 7, cursor);
        AutoencoderTrainer::new(setup, stream).expect("no files are needed")
    }
}

fn weights(trainer: &AutoencoderTrainer) -> Vec<HostTensors> {
    let discriminator = trainer.discriminator.as_ref().map(|discriminator| export_weights(&discriminator.model));
    [export_weights(&trainer.vae), export_weights(&trainer.ema_model())].into_iter().chain(discriminator).collect()
}

fn bits(weights: &[HostTensors]) -> Vec<u32> {
    weights.iter().flat_map(|all| all.values()).flat_map(|tensor| &tensor.values).map(|x| x.to_bits()).collect()
}

fn step(trainer: &mut AutoencoderTrainer, steps: usize) -> Vec<(&'static str, f64)> {
    let mut losses = vec![];
    for _ in 0..steps {
        losses = trainer.step().expect("a step").losses;
    }
    losses
}

fn loss(losses: &[(&'static str, f64)], name: &str) -> f64 {
    losses.iter().find(|(found, _)| *found == name).unwrap_or_else(|| panic!("{name} in {losses:?}")).1
}

#[test]
fn reconstructions_become_like_their_images() {
    for (run, regulariser) in [(Run::new(), "divergence"), (Run::with_codes(10), "commitment")] {
        let mut trainer = run.trainer(ImageCursor::default());
        let first = step(&mut trainer, 1);
        let last = step(&mut trainer, 60);
        let (before, after) = (loss(&first, "reconstruction"), loss(&last, "reconstruction"));
        assert!(after < 0.6 * before, "{before} → {after}");
        assert!(loss(&last, "perceptual") < 0.6 * loss(&first, "perceptual") && loss(&last, regulariser) > 0.0);
    }
}

#[test]
fn micro_batches_count_as_one_batch() {
    // Codes draw no noise, which belongs to a micro-batch.
    let after_a_step = |images, accumulation| {
        let mut trainer = Run { images, accumulation, ..Run::with_codes(0) }.trainer(ImageCursor::default());
        let report = trainer.step().expect("a step");
        (report.gradient_norm, loss(&report.losses, "reconstruction"), report.images)
    };
    let (whole, parts) = (after_a_step(4, 1), after_a_step(2, 2));
    assert!((whole.0 / parts.0 - 1.0).abs() < 1e-4, "{whole:?} {parts:?}");
    assert!((whole.1 / parts.1 - 1.0).abs() < 1e-5 && whole.2 == parts.2, "{whole:?} {parts:?}");
}

#[test]
fn a_resume_is_bitwise() {
    let judged = AutoencoderLossConfig {
        reconstruction: ReconstructionLoss::L2,
        discriminator: Some(DiscriminatorConfig { from_step: 2, weight: 0.5, width: 8, halvings: 1 }),
        ..AutoencoderLossConfig::default()
    };
    let runs = [Run { loss: judged, accumulation: 2, images: 2, ..Run::new() }, Run::with_codes(2)];
    for run in runs {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("step-000003");
        let mut whole = run.trainer(ImageCursor::default());
        step(&mut whole, 3);
        checkpoint::save(&whole, &folder).expect("saved");
        step(&mut whole, 3);

        let resumed = checkpoint::open(&folder, &run.config(), 7).expect("a checkpoint");
        let mut again = run.trainer(resumed.state.cursor);
        resumed.restore(&mut again).expect("restored");
        step(&mut again, 3);
        assert!(bits(&weights(&whole)) == bits(&weights(&again)), "other weights after a resume");

        let message = |found: Result<checkpoint::Resumed, interfuse_trainer::TrainError>| {
            found.err().map(|error| error.to_string())
        };
        let other_seed = message(checkpoint::open(&folder, &run.config(), 8)).expect("refused");
        assert!(other_seed.contains("seed 8"), "{other_seed}");
        let other = ArchitectureConfig {
            latent_channels: 8,
            block_out_channels: vec![8, 8],
            layers_per_block: 1,
            norm_num_groups: 4,
            mid_block_add_attention: true,
            codebook: run.codebook.clone(),
        };
        let other = message(checkpoint::open(&folder, &other.vae_config(3).expect("valid"), 7)).expect("refused");
        assert!(other.contains("config.json"), "{other}");
    }
}

#[test]
fn the_discriminator_starts_when_it_should() {
    let discriminator = Some(DiscriminatorConfig { from_step: 2, weight: 0.5, width: 8, halvings: 1 });
    let run = Run { loss: AutoencoderLossConfig { discriminator, ..AutoencoderLossConfig::default() }, ..Run::new() };
    let mut trainer = run.trainer(ImageCursor::default());
    let of_discriminator =
        |trainer: &AutoencoderTrainer| export_weights(&trainer.discriminator.as_ref().expect("a discriminator").model);
    let fresh = of_discriminator(&trainer);
    let names = |losses: &[(&'static str, f64)]| losses.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let before = step(&mut trainer, 2);
    assert_eq!(names(&before), ["reconstruction", "perceptual", "divergence"]);
    assert!(of_discriminator(&trainer) == fresh);
    let after = step(&mut trainer, 1);
    assert!(of_discriminator(&trainer) != fresh);
    let weight = loss(&after, "adaptive_weight");
    assert!(weight > 0.0 && weight <= 1e4, "{weight}");
    // Untrained, it judges about 0, so that both hinges are about 1.
    assert!((0.3..3.0).contains(&loss(&after, "discriminator_loss")), "{after:?}");
}

#[test]
fn dead_codes_are_put_where_the_vectors_are() {
    let mut trainer = Run::with_codes(5).trainer(ImageCursor::default());
    let mut reports = (0..40).map(|_| trainer.step().expect("a step").codes.expect("codes")).collect::<Vec<_>>();
    assert!(reports.iter().any(|codes| codes.revived > 0), "{reports:?}");
    assert!(reports.iter().enumerate().all(|(step, codes)| codes.revived == 0 || (step + 1) % 5 == 0));
    let last = reports.pop().expect("forty");
    assert!(last.used > 0.5 && last.perplexity > 2.0, "{last:?}");
}

/// The codebook, `[16, 4]`, of the weights or of their average.
fn codes(vae: &Vae) -> Vec<Vec<f32>> {
    let values = export_weights(vae).remove("quantize.embedding.weight").expect("codes").values;
    values.chunks_exact(4).map(<[f32]>::to_vec).collect()
}

#[test]
fn a_revived_code_is_revived_in_the_average_that_is_exported() {
    let mut trainer = Run::with_codes(5).trainer(ImageCursor::default());
    let mut revived = 0;
    for _ in 0..20 {
        let before = codes(&trainer.vae);
        let report = trainer.step().expect("a step").codes.expect("codes");
        let (after, average) = (codes(&trainer.vae), codes(&trainer.ema_model()));
        // A step of the optimizer moves a code by about the learning rate; what moves further was put elsewhere.
        let moved = |code: usize| before[code].iter().zip(&after[code]).any(|(a, b)| (a - b).abs() > 0.05);
        let elsewhere: Vec<usize> = (0..16).filter(|&code| moved(code)).collect();
        revived += elsewhere.len();
        assert!(elsewhere.len() <= report.revived);
        assert!(elsewhere.iter().all(|&code| after[code] == average[code]), "step {}", trainer.step);
    }
    assert!(revived > 0);
}

#[test]
fn weight_decay_leaves_codes_alone() {
    let after = |weight_decay: f64| {
        let mut trainer = Run::with_codes(0).trainer(ImageCursor::default());
        trainer.setup.optimizer.weight_decay = weight_decay;
        trainer.setup.optimizer.warmup_steps = 1;
        step(&mut trainer, 1);
        (codes(&trainer.vae), export_weights(&trainer.vae))
    };
    let (plain, decayed) = (after(0.0), after(10.0));
    assert_eq!(plain.0, decayed.0);
    assert!(plain.1 != decayed.1, "the convolutions decay");
}

#[test]
fn the_scale_that_is_written_brings_latents_to_unit_standard_deviation() {
    let mut trainer = Run::new().trainer(ImageCursor::default());
    step(&mut trainer, 5);
    let parent = tempfile::tempdir().expect("a folder");
    let path = parent.path().join("vae");
    checkpoint::export(&trainer, &path).expect("written");
    let opened = folder::open(&path, &Device::flex()).expect("a folder");
    let (VaeConfig::AutoencoderKL(config), Vae::Kl(vae)) = (opened.config, opened.vae) else { panic!("latents") };
    let source = Run::source();
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
    for index in 0..source.len() {
        let pixels = source.image(index).expect("an image").to_unit_range().into_raw_vec_and_offset().0;
        let posterior = vae.encode(Tensor::from_data(TensorData::new(pixels, [1, 3, 16, 16]), &Device::flex()));
        let variances: Vec<f32> = posterior.log_variance.exp().into_data().try_to_vec().expect("numbers");
        let means: Vec<f32> = posterior.mean.into_data().try_to_vec().expect("numbers");
        let (slope, offset) = config.scale.line(0);
        for (mean, variance) in means.into_iter().zip(variances) {
            let scaled = f64::from(mean * slope + offset);
            sum += scaled;
            squares += scaled * scaled + f64::from(variance * slope * slope);
            count += 1.0;
        }
    }
    let (mean, variance) = (sum / count, squares / count - (sum / count) * (sum / count));
    assert!(mean.abs() < 1e-3 && (variance - 1.0).abs() < 1e-3, "mean {mean}, variance {variance}");
}
