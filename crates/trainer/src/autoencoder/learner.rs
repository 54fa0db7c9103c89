//! One optimizer step of an autoencoder, and everything that survives a resume.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use interfuse_data::{DataError, ImageCursor, ImageStream, Source};
use interfuse_image_tower::standard_normal;
use interfuse_kernels::{WeightInit, Workers};
use interfuse_vae::loss::{Lpips, PatchDiscriminator};
use interfuse_vae::{Quantizer, Vae, VaeConfig, quantizer};
use ndarray::Array4;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::codes::{CodeReport, CodeWatch, Revived};
use super::config::{AutoencoderLossConfig, AutoencoderTrainConfig, CodebookConfig, PerceptualConfig};
use super::pass::{ImageBatch, Objective, Pass, pass};
use crate::error::TrainError;
use crate::optimization::learning_rate::learning_rate;
use crate::optimization::step::{self, Stepper};
use crate::optimization::{Ema, FlatGradients, Optimizer, OptimizerConfig, SkippedSteps};
use crate::training_loop::Learner;

/// What a run is made of.
pub struct AutoencoderSetup {
    /// The networks.
    pub vae: VaeConfig,
    /// How codes are treated, where there are codes.
    pub codebook: Option<CodebookConfig>,
    /// What is minimised.
    pub loss: AutoencoderLossConfig,
    /// The optimizer, of the discriminator as well.
    pub optimizer: OptimizerConfig,
    /// How much is trained.
    pub train: AutoencoderTrainConfig,
    /// Of the weights, the data and the noise.
    pub seed: u64,
    /// A device without autodiff; the trainer turns it on.
    pub device: Device,
}

/// The patch discriminator and its optimizer.
pub struct Adversary {
    /// The weights.
    pub model: PatchDiscriminator,
    /// The optimizer's memory.
    pub optimizer: Optimizer,
}

/// A run in progress.
pub struct AutoencoderTrainer {
    /// What the run is made of.
    pub setup: AutoencoderSetup,
    /// The weights, on the gradient tape.
    pub vae: Vae,
    /// Their moving average.
    pub ema: Ema,
    /// The optimizer's memory.
    pub optimizer: Optimizer,
    /// The discriminator, if the settings ask for one.
    pub discriminator: Option<Adversary>,
    /// How codes are used, where there are codes.
    pub codes: Option<CodeWatch>,
    lpips: Option<Lpips>,
    stream: ImageStream,
    ahead: Option<Ahead>,
    workers: Workers,
    /// Steps taken.
    pub step: u64,
    /// Steps skipped because something was not finite.
    pub skipped: SkippedSteps,
}

/// The images of the next step, made while their predecessors are trained on.
struct Ahead {
    batches: Result<Vec<Array4<f32>>, DataError>,
    /// Where the stream stood before them: for everyone else, it still stands there.
    before: ImageCursor,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoencoderReport {
    /// Steps taken, this one included.
    pub step: u64,
    /// Losses by name, before they are weighed: means over the step's images.
    pub losses: Vec<(&'static str, f64)>,
    /// Norm of the autoencoder's gradient before clipping.
    pub gradient_norm: f64,
    /// The same of the discriminator's.
    pub discriminator_gradient_norm: Option<f64>,
    /// Learning rate.
    pub learning_rate: f64,
    /// Images.
    pub images: usize,
    /// Duration.
    pub seconds: f64,
    /// How codes are used.
    pub codes: Option<CodeReport>,
    /// What was not finite, if the step was skipped.
    pub skipped: Option<String>,
}

/// What a step computed, before it is decided what to do with it.
pub(crate) struct Computed {
    gradients: FlatGradients,
    discriminator_gradients: Option<FlatGradients>,
    passes: Vec<Pass>,
}

impl AutoencoderTrainer {
    /// A run at its beginning with fresh weights.
    ///
    /// # Errors
    /// When the files of the perceptual loss cannot be loaded.
    pub fn new(setup: AutoencoderSetup, stream: ImageStream) -> Result<Self, TrainError> {
        let device = setup.device.clone().autodiff();
        let mut init = WeightInit::new(setup.seed, &device);
        let vae = Vae::new(&setup.vae, &mut init);
        let discriminator = setup.loss.discriminator.as_ref().map(|config| {
            let channels = setup.vae.network().out_channels;
            let model = PatchDiscriminator::new(channels, config.width, config.halvings, &mut init);
            Adversary { model, optimizer: Optimizer::default() }
        });
        let lpips = match &setup.loss.perceptual {
            PerceptualConfig::Lpips { vgg, heads, .. } => Some(Lpips::load(vgg, heads, &device)?),
            _ => None,
        };
        Ok(Self {
            ema: Ema::new(&vae),
            codes: setup.codebook.as_ref().map(|codebook| CodeWatch::new(codebook.codes)),
            workers: Workers::on(&setup.device, setup.train.gradient_accumulation),
            optimizer: Optimizer::default(),
            ahead: None,
            step: 0,
            skipped: SkippedSteps::default(),
            setup,
            vae,
            discriminator,
            lpips,
            stream,
        })
    }

    /// The moving average as an autoencoder, off the gradient tape.
    pub fn ema_model(&self) -> Vae {
        self.ema.model(&self.vae)
    }

    /// The weights as they are, off the gradient tape.
    pub fn plain_model(&self) -> Vae {
        self.vae.valid()
    }

    /// The images.
    pub fn source(&self) -> &dyn Source {
        self.stream.source()
    }

    /// What is wrong with the first bad image that has not been named before.
    pub fn take_warning(&mut self) -> Option<String> {
        self.stream.take_warning()
    }

    /// Where the data stands: after the images that were trained on.
    pub fn cursor(&self) -> ImageCursor {
        self.ahead.as_ref().map_or_else(|| self.stream.cursor(), |ahead| ahead.before)
    }

    fn next_images(&mut self) -> Result<Vec<Array4<f32>>, TrainError> {
        let Ahead { batches, .. } = match self.ahead.take() {
            Some(ahead) => ahead,
            None => make_ahead(&mut self.stream, &self.setup.train),
        };
        Ok(batches?)
    }

    /// Forward and backward of all micro-batches, while a thread beside them makes the next step's images.
    fn compute_and_prepare(&mut self, images: Vec<Array4<f32>>) -> Computed {
        let Self { setup, vae, discriminator, lpips, stream, ahead, workers, step, .. } = self;
        let starts = setup.loss.discriminator.as_ref().is_some_and(|config| *step >= config.from_step);
        let objective = Objective {
            config: &setup.loss,
            commitment: setup.codebook.as_ref().map_or(0.0, |codebook| codebook.commitment),
            lpips: lpips.as_ref(),
            discriminator: discriminator.as_ref().filter(|_| starts).map(|discriminator| &discriminator.model),
            fraction: 1.0 / images.len() as f64,
        };
        let goes_on = *step + 1 < setup.train.steps;
        let work: Vec<(usize, Array4<f32>)> = images.into_iter().enumerate().collect();
        let prepare = goes_on.then_some(|| *ahead = Some(make_ahead(stream, &setup.train)));
        let of_one =
            |(number, images): &(usize, Array4<f32>)| pass(vae, &to_batch(setup, *step, *number, images), &objective);
        let (computed, _) = step::beside(prepare, || gather(workers.map(&work, of_one)));
        computed
    }

    /// Counts the codes of a step, and moves dead ones when it is time: in the weights, and as what the caller puts into their
    /// average.
    fn watch_codes(&mut self, passes: &[Pass]) -> Option<(CodeReport, Revived)> {
        let (Some(watch), Some(codebook)) = (&mut self.codes, &self.setup.codebook) else { return None };
        let codes: Vec<_> = passes.iter().filter_map(|pass| pass.codes.as_ref()).collect();
        let ids: Vec<u32> =
            codes.iter().flat_map(|codes| codes.ids.to_data().iter::<u32>().collect::<Vec<_>>()).collect();
        watch.add(&ids);
        let due = codebook.revive_every > 0 && (self.step + 1).is_multiple_of(codebook.revive_every);
        let mut revived = Revived::default();
        if let (true, Vae::Vq(vae)) = (due, &mut self.vae) {
            let rows = |vectors: &Tensor<4>| -> Vec<f32> {
                vectors.clone().permute([0, 2, 3, 1]).into_data().try_to_vec().unwrap_or_default()
            };
            let vectors: Vec<f32> = codes.iter().flat_map(|codes| rows(&codes.vectors)).collect();
            let mut rng = generator(self.setup.seed, self.step, u64::MAX);
            revived = watch.revive(&vectors, codebook.dim, &mut rng);
            if !revived.places.is_empty() {
                vae.quantize = vae.quantize.clone().revive(&revived.places, &revived.vectors);
            }
        }
        Some((watch.report(revived.places.len()), revived))
    }

    /// A revived code has no past: its average is where it is itself.
    fn revive_average(&mut self, Revived { places, vectors }: &Revived) {
        if let (false, Vae::Vq(vae)) = (places.is_empty(), &self.vae) {
            let codes = vae.quantize.codes();
            self.ema.change(Quantizer::CODES, |average| {
                let [numbers] = average.dims();
                quantizer::put(average.reshape([codes, numbers / codes]), places, vectors).reshape([numbers])
            });
        }
    }
}

impl Stepper for AutoencoderTrainer {
    type Computed = Computed;
    type Report = AutoencoderReport;

    fn compute(&mut self) -> Result<Computed, TrainError> {
        let images = self.next_images()?;
        Ok(self.compute_and_prepare(images))
    }

    fn measure(&self, computed: &Computed) -> Result<AutoencoderReport, TrainError> {
        let losses = computed.passes.iter().flat_map(|pass| pass.losses.iter().map(|(_, loss)| loss.clone()));
        let gradients = [Some(&computed.gradients), computed.discriminator_gradients.as_ref()];
        let (numbers, squared) = step::read(losses.collect(), gradients)?;
        let norm = |which: usize| Some(gradients[which]?.norms(&squared[which], 0).1);

        let names = computed.passes.first().map_or(&[][..], |pass| &pass.losses);
        let passes = computed.passes.len();
        let mean = |index: usize| {
            let values = (0..passes).map(|pass| numbers.get(pass * names.len() + index).copied().unwrap_or(f64::NAN));
            values.sum::<f64>() / passes as f64
        };
        let losses: Vec<_> = names.iter().enumerate().map(|(index, (name, _))| (*name, mean(index))).collect();
        let (gradient_norm, discriminator_gradient_norm) = (norm(0).unwrap_or_default(), norm(1));
        let norms = [("gradient", Some(gradient_norm)), ("gradient of the discriminator", discriminator_gradient_norm)];
        let norms = norms.into_iter().filter_map(|(name, norm)| Some((name, norm?)));
        let all = losses.iter().copied().chain(norms).map(|(name, value)| (name.to_string(), value));
        Ok(AutoencoderReport {
            step: self.step,
            skipped: step::non_finite(all),
            losses,
            gradient_norm,
            discriminator_gradient_norm,
            learning_rate: learning_rate(&self.setup.optimizer, self.step, self.setup.train.steps),
            images: self.setup.train.batch_size * passes,
            seconds: 0.0,
            codes: None,
        })
    }

    fn update(&mut self, computed: Computed, report: &mut AutoencoderReport) -> Result<(), TrainError> {
        let Computed { gradients, discriminator_gradients, passes } = computed;
        let (config, rate) = (&self.setup.optimizer, report.learning_rate);
        self.optimizer.apply(&mut self.vae, gradients, report.gradient_norm, config, rate);
        let judged = self.discriminator.as_mut().zip(discriminator_gradients).zip(report.discriminator_gradient_norm);
        if let Some(((Adversary { model, optimizer }, gradients), norm)) = judged {
            optimizer.apply(model, gradients, norm, config, rate);
        }
        let watched = self.watch_codes(&passes);
        self.ema.update(&self.vae, self.setup.optimizer.ema_decay, self.step);
        if let Some((codes, revived)) = watched {
            self.revive_average(&revived);
            report.codes = Some(codes);
        }
        Ok(())
    }

    fn count(&mut self) -> (&mut u64, &mut SkippedSteps, u64) {
        (&mut self.step, &mut self.skipped, self.setup.train.most_bad_steps)
    }
}

impl step::Report for AutoencoderReport {
    fn skipped(&self) -> Option<&str> {
        self.skipped.as_deref()
    }

    fn taken(&mut self, step: u64, seconds: f64) {
        (self.step, self.seconds) = (step, seconds);
    }
}

impl Learner for AutoencoderTrainer {
    type Report = AutoencoderReport;

    fn steps_taken(&self) -> u64 {
        self.step
    }

    fn steps(&self) -> u64 {
        self.setup.train.steps
    }

    fn is_non_finite(&self) -> bool {
        self.skipped.in_a_row > 0
    }

    /// Takes one optimizer step of the autoencoder, and one of the discriminator once it has started.
    ///
    /// A loss or gradient that is not finite skips the update and is counted.
    ///
    /// # Errors
    /// When the data runs dry, or too many steps in a row are skipped.
    fn step(&mut self) -> Result<AutoencoderReport, TrainError> {
        step::take(self)
    }
}

fn make_ahead(stream: &mut ImageStream, train: &AutoencoderTrainConfig) -> Ahead {
    let before = stream.cursor();
    let batches = (0..train.gradient_accumulation).map(|_| stream.next_batch(train.batch_size)).collect();
    Ahead { batches, before }
}

/// Brings images to the device, with the noise of their latents.
fn to_batch(setup: &AutoencoderSetup, step: u64, number: usize, images: &Array4<f32>) -> ImageBatch {
    let device = setup.device.clone().autodiff();
    let (batch, channels, height, width) = images.dim();
    let network = setup.vae.network();
    let factor = network.downsampling();
    let latents = match setup.vae {
        VaeConfig::AutoencoderKL(_) => [batch, network.latent_channels, height / factor, width / factor],
        VaeConfig::VQModel(_) => [0; 4],
    };
    let mut rng = generator(setup.seed, step, number as u64);
    let noise = standard_normal(latents.iter().product(), &mut rng);
    let pixels = TensorData::new(images.iter().copied().collect(), [batch, channels, height, width]);
    ImageBatch {
        pixels: Tensor::from_data(pixels, &device),
        noise: Tensor::from_data(TensorData::new(noise, latents), &device),
    }
}

/// Adds up the gradients of all micro-batches.
fn gather(mut passes: Vec<Pass>) -> Computed {
    let mut gradients = FlatGradients::default();
    let mut discriminator_gradients: Option<FlatGradients> = None;
    for pass in &mut passes {
        gradients.add(std::mem::take(&mut pass.gradients));
        if let Some(part) = pass.discriminator_gradients.take() {
            discriminator_gradients.get_or_insert_default().add(part);
        }
    }
    Computed { gradients, discriminator_gradients, passes }
}

/// The generator of a micro-batch's noise, or of a step's revived codes.
fn generator(seed: u64, step: u64, number: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, value) in key.chunks_exact_mut(8).zip([seed, step, number, 0x6175_746f_656e_636f]) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}
