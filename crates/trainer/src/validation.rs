//! Held-out losses: the same images, the same noise, at fixed noise levels, so that two numbers differ only by the model.
//!
//! Documents are measured in both orders. With the caption first: how well are captions predicted, and how well are images
//! denoised, given their caption? With the image first, clean: how well are captions predicted, given their image?

use burn::tensor::Device;
use interfuse_data::{Documents, evenly};
use interfuse_image_tower::{NoiseKey, TimestepChoice};
use interfuse_mot::CacheUse;
use interfuse_sequence::{LayoutBuilder, Objective, RowShape, Sample, SequenceLayout};
use interfuse_transfusion::{ModelConfig, Normalizer, ObjectiveConfig, TrainBatch, Transfusion, hybrid_loss};
use serde::Serialize;

use crate::config::ValidationConfig;
use crate::error::TrainError;

/// The step under which held-out noise is sampled; training never gets there.
const HELD_OUT_STEP: u64 = u64::MAX - 2;

/// Documents laid out once, ready to be measured.
#[derive(Debug)]
pub struct Validation {
    caption_first: Vec<SequenceLayout>,
    image_first: Vec<SequenceLayout>,
    /// Of all captions, in UTF-8.
    caption_bytes: usize,
    /// The modality of captions.
    captions: usize,
    /// The modality of images.
    images: usize,
    config: ValidationConfig,
    /// Whether these are training images, because nothing could be held out.
    is_train: bool,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValidationReport {
    /// Step of the model.
    pub step: u64,
    /// Each next-token modality of documents whose caption comes first: `p(caption)`.
    pub text: Vec<TextLoss>,
    /// Each next-token modality of documents whose image comes first, without noise: `p(caption | image)`.
    pub text_given_image: Vec<TextLoss>,
    /// Time t of each level, and the mean denoising loss there, of images behind their caption.
    pub image: Vec<(f32, f64)>,
    /// Whether these are training images under fixed noise.
    pub is_train: bool,
}

/// The loss of a next-token modality.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TextLoss {
    /// Its name.
    pub modality: String,
    /// Mean over tokens with a target, in nats; its exponential is the perplexity.
    pub loss: f64,
    /// Bits that the captions' documents take, markers included, a byte of the captions: what models with different tokenizers
    /// can be compared by. Only of the modality that carries captions.
    pub bits_per_byte: Option<f64>,
}

impl TextLoss {
    /// Among how many tokens the model is uncertain, on average.
    pub fn perplexity(&self) -> f64 {
        self.loss.exp()
    }
}

impl ValidationReport {
    /// The mean of the levels.
    pub fn image_mean(&self) -> f64 {
        self.image.iter().map(|(_, loss)| loss).sum::<f64>() / self.image.len().max(1) as f64
    }

    /// The losses in a line: `text 1.204  text | image 0.321  image t=0.1: 0.0024  t=0.3: 0.0043`.
    pub fn line(&self) -> String {
        let of = |losses: &[TextLoss], given: &str| {
            losses.iter().map(|loss| format!("{}{given} {:.4}", loss.modality, loss.loss)).collect::<Vec<_>>()
        };
        let levels = self.image.iter().map(|(t, loss)| format!("t={t}: {loss:.4}")).collect::<Vec<_>>().join("  ");
        let image = (!self.image.is_empty()).then(|| format!("image {levels}"));
        [of(&self.text, ""), of(&self.text_given_image, " | image"), image.into_iter().collect()].concat().join("  ")
    }

    /// All numbers by name, for curves: `text_loss`, `text_given_image_loss`, `image_loss`, `image_loss.t=0.1`.
    pub fn numbers(&self) -> Vec<(String, f64)> {
        let mut numbers = vec![];
        for (losses, given) in [(&self.text, ""), (&self.text_given_image, "_given_image")] {
            for loss in losses {
                let name = format!("{}{given}", loss.modality);
                numbers.push((format!("{name}_loss"), loss.loss));
                numbers.push((format!("{name}_perplexity"), loss.perplexity()));
                numbers.extend(loss.bits_per_byte.map(|bits| (format!("{name}_bits_per_byte"), bits)));
            }
        }
        if !self.image.is_empty() {
            numbers.push(("image_loss".into(), self.image_mean()));
        }
        numbers.extend(self.image.iter().map(|(level, loss)| (format!("image_loss.t={level}"), *loss)));
        numbers
    }
}

/// Sums over all sequences, and what they are sums over, by lane.
type Sums = Vec<(f64, usize)>;

impl Validation {
    /// Lays out images of a source in plain documents, spread evenly, for sources are often sorted by what is on the images.
    /// Those that do not fit the row shape are left out.
    pub fn new(documents: &Documents, config: &ValidationConfig, model: &ModelConfig, shape: &RowShape) -> Self {
        let format = model.sequence_format();
        let lay_out = |sample: &Sample| {
            let mut builder = LayoutBuilder::new(format.clone());
            builder.push_sample(sample, shape).ok().map(|()| builder.finish(shape))
        };
        let (mut caption_first, mut image_first, mut caption_bytes) = (vec![], vec![], 0);
        for index in evenly(config.images, documents.source().len()) {
            let order = |image_first| documents.plain_document(index, image_first).ok().as_ref().and_then(lay_out);
            if let (Some(one), Some(other)) = (order(false), order(true)) {
                caption_first.push(one);
                image_first.push(other);
                caption_bytes += documents.source().caption(index).map_or(0, |caption| caption.len());
            }
        }
        Self {
            caption_first,
            image_first,
            caption_bytes,
            captions: documents.lanes().captions,
            images: documents.lanes().images,
            config: config.clone(),
            is_train: documents.source().held_out_is_train(),
        }
    }

    /// Whether there is anything to measure.
    pub fn is_empty(&self) -> bool {
        self.caption_first.is_empty() || self.config.levels.is_empty()
    }

    /// Measures a model that is off the gradient tape, in batches of `sequences`. `run` is the seed of the run and the step of
    /// the model.
    ///
    /// # Errors
    /// When the device failed.
    pub fn measure(
        &self,
        model: &Transfusion,
        config: &ModelConfig,
        run: (u64, u64),
        sequences: usize,
        device: &Device,
    ) -> Result<ValidationReport, TrainError> {
        let (seed, step) = run;
        let key = NoiseKey { seed, step: HELD_OUT_STEP };
        let pass = |layouts: &[SequenceLayout], t: f32| -> Result<Sums, TrainError> {
            let mut sums = vec![(0.0, 0); config.modalities.len()];
            for layouts in layouts.chunks(sequences.max(1)) {
                let batch = TrainBatch::new(layouts, config, key, TimestepChoice::At(t), device);
                add_losses(model, &batch, &mut sums)?;
            }
            Ok(sums)
        };
        // What stands before an image does not see it: the text is the same at every level but for EOI and EOS.
        let by_level = self.config.levels.iter().map(|&t| Ok((t, pass(&self.caption_first, t)?)));
        let by_level: Vec<(f32, Sums)> = by_level.collect::<Result<_, TrainError>>()?;
        let first = by_level.first().map(|(_, sums)| sums.clone()).unwrap_or_default();
        let mut given_image = pass(&self.image_first, 0.0)?;
        // Codes of an image that comes first are given nothing.
        given_image[self.images] = (0.0, 0);
        let denoised = config.modalities.values().position(|modality| modality.objective() == Objective::Denoise);
        let image = denoised.map_or(vec![], |lane| by_level.iter().map(|(t, sums)| (*t, mean(sums[lane]))).collect());
        Ok(ValidationReport {
            step,
            text: self.text_losses(config, &first),
            text_given_image: self.text_losses(config, &given_image),
            image,
            is_train: self.is_train,
        })
    }

    fn text_losses(&self, config: &ModelConfig, sums: &Sums) -> Vec<TextLoss> {
        let lanes = config.modalities().into_iter().zip(sums).enumerate();
        lanes
            .filter(|(_, (modality, (_, count)))| modality.objective == Objective::NextToken && *count > 0)
            .map(|(lane, (modality, &sum))| TextLoss {
                modality: modality.name,
                loss: mean(sum),
                bits_per_byte: (lane == self.captions)
                    .then(|| sum.0 / std::f64::consts::LN_2 / self.caption_bytes.max(1) as f64),
            })
            .collect()
    }
}

fn add_losses(model: &Transfusion, batch: &TrainBatch, sums: &mut Sums) -> Result<(), TrainError> {
    let predictions = model.forward(batch.input(), CacheUse::None);
    let loss = hybrid_loss(model, &predictions, batch, &ObjectiveConfig::default(), &Normalizer::of(batch));
    let present: Vec<_> = loss.modalities.iter().flatten().map(|modality| modality.sum.clone()).collect();
    if present.is_empty() {
        return Ok(());
    }
    let mut numbers = crate::optimization::gradients::read_numbers(present)?.into_iter();
    for (sum, modality) in sums.iter_mut().zip(&loss.modalities) {
        if let Some(modality) = modality {
            let number = f64::from(numbers.next().unwrap_or(f32::NAN));
            *sum = (sum.0 + number, sum.1 + modality.count);
        }
    }
    Ok(())
}

fn mean((sum, count): (f64, usize)) -> f64 {
    sum / count.max(1) as f64
}
