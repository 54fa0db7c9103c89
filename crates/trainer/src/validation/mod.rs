//! Held-out losses: the same documents, the same noise, at fixed noise levels, so that two numbers differ only by the model.
//!
//! Captioned images are measured in both orders. With the caption first: how well are captions predicted, and how well are
//! images denoised, given their caption? With the image first, clean: how well are captions predicted, given their image?
//! Documents of other collections, such as speech and its transcripts, are measured by [`HeldOutDocuments`], which say what of
//! them is a loss. `cosines.rs` compares the gradients of the modalities.

mod cosines;
mod report;

use std::sync::Arc;

use burn::tensor::Device;
use interfuse_data::{DocumentLanes, Documents, evenly};
use interfuse_image_tower::{NoiseKey, TimestepChoice};
use interfuse_mot::CacheUse;
use interfuse_sequence::{LayoutBuilder, Objective, RowShape, Sample, SequenceLayout};
use interfuse_transfusion::{ModelConfig, Normalizer, ObjectiveConfig, TrainBatch, Transfusion, hybrid_loss};

use self::cosines::gradient_cosines;
pub use self::report::{TextLoss, ValidationReport};
use crate::config::ValidationConfig;
use crate::error::TrainError;

/// The step under which held-out noise is sampled; training never gets there.
const HELD_OUT_STEP: u64 = u64::MAX - 2;

/// Documents laid out once, ready to be measured.
#[derive(Debug)]
pub struct Validation {
    images: Option<CaptionedImages>,
    collections: Vec<LaidOut>,
    config: ValidationConfig,
    /// Whether these are training documents, because nothing could be held out.
    is_train: bool,
}

/// Captioned images, each in both orders.
#[derive(Debug)]
struct CaptionedImages {
    caption_first: Vec<SequenceLayout>,
    image_first: Vec<SequenceLayout>,
    /// Of all captions, in UTF-8.
    caption_bytes: usize,
    /// The modality of captions.
    captions: usize,
    /// The modality of images.
    images: usize,
}

/// Documents of another collection than the captioned images, and what of them is a loss. Images to be denoised are measured
/// at every level, and their loss is the mean of the levels.
#[derive(Clone, Debug)]
pub struct HeldOutDocuments {
    /// The documents.
    pub samples: Vec<Sample>,
    /// The name of the loss of each lane that has one: `voices.speech_given_text`.
    pub losses: Vec<(usize, String)>,
    /// The lane of texts, and how many bytes of UTF-8 they have.
    pub texts: Option<(usize, usize)>,
}

/// The same, laid out.
#[derive(Debug)]
struct LaidOut {
    layouts: Vec<SequenceLayout>,
    losses: Vec<(usize, String)>,
    texts: Option<(usize, usize)>,
}

/// Sums over all sequences, and what they are sums over, by lane.
type Sums = Vec<(f64, usize)>;

impl Validation {
    /// Nothing to measure yet. `is_train` says whether all that follows are training documents.
    pub fn new(config: &ValidationConfig, is_train: bool) -> Self {
        Self { images: None, collections: vec![], config: config.clone(), is_train }
    }

    /// Lays out images of a source in plain documents, spread evenly, for sources are often sorted by what is on the images.
    /// Those that do not fit the row shape are left out.
    #[must_use]
    pub fn with_images(mut self, documents: &Documents, model: &ModelConfig, shape: &RowShape) -> Self {
        let (mut caption_first, mut image_first, mut caption_bytes) = (vec![], vec![], 0);
        for index in evenly(self.config.images, documents.source().len()) {
            let order = |image_first| {
                let sample = documents.plain_document(index, image_first).ok()?;
                lay_out(&sample, model, shape)
            };
            if let (Some(one), Some(other)) = (order(false), order(true)) {
                caption_first.push(one);
                image_first.push(other);
                caption_bytes += documents.source().caption(index).map_or(0, |caption| caption.len());
            }
        }
        let DocumentLanes { captions, images } = documents.lanes();
        self.images = (!caption_first.is_empty()).then_some(CaptionedImages {
            caption_first: by_size(caption_first),
            image_first: by_size(image_first),
            caption_bytes,
            captions,
            images,
        });
        self
    }

    /// Lays out documents of another collection.
    #[must_use]
    pub fn with(mut self, documents: HeldOutDocuments, model: &ModelConfig) -> Self {
        let HeldOutDocuments { samples, losses, texts } = documents;
        let format = model.sequence_format();
        let mut capacity = vec![0; model.modalities.len()];
        for rows in samples.iter().map(|sample| format.rows_of(sample)) {
            capacity.iter_mut().zip(rows).for_each(|(most, rows)| *most = rows.max(*most));
        }
        let shape = RowShape { capacity };
        let layouts = by_size(samples.iter().filter_map(|sample| lay_out(sample, model, &shape)).collect());
        if !layouts.is_empty() {
            self.collections.push(LaidOut { layouts, losses, texts });
        }
        self
    }

    /// Whether there is anything to measure.
    pub fn is_empty(&self) -> bool {
        (self.images.is_none() || self.config.levels.is_empty()) && self.collections.is_empty()
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
        let pass = Pass { model, config, key: NoiseKey { seed, step: HELD_OUT_STEP }, sequences, device };
        let mut report = ValidationReport { step, is_train: self.is_train, ..Default::default() };
        if let Some(images) = self.images.as_ref().filter(|_| !self.config.levels.is_empty()) {
            images.measure(&pass, &self.config.levels, &mut report)?;
            if self.config.gradient_cosines {
                report.gradient_cosines = gradient_cosines(&pass, &images.caption_first)?;
            }
        }
        for documents in &self.collections {
            let sums = documents.sums(&pass, &self.config.levels)?;
            report.collections.extend(documents.losses(&sums));
        }
        Ok(report)
    }
}

/// A sample in a row shape that is of images of the model's size; where its own have another, in one with room for as many.
/// `None` where it does not fit.
pub fn lay_out(sample: &Sample, model: &ModelConfig, shape: &RowShape) -> Option<SequenceLayout> {
    let base = model.sequence_format();
    let format = base.with_latent_shape(sample.latent_shape().unwrap_or(base.latent_shape));
    let shape = shape.at(&base, &format);
    let mut builder = LayoutBuilder::new(Arc::new(format));
    builder.push_sample(sample, &shape).ok().map(|()| builder.finish(&shape))
}

/// Puts sequences with images of one size side by side.
fn by_size(mut layouts: Vec<SequenceLayout>) -> Vec<SequenceLayout> {
    layouts.sort_by_key(SequenceLayout::latent_shape);
    layouts
}

/// What all forward passes have in common.
struct Pass<'a> {
    model: &'a Transfusion,
    config: &'a ModelConfig,
    key: NoiseKey,
    sequences: usize,
    device: &'a Device,
}

impl Pass<'_> {
    /// Over all sequences, with images noised to time `t`.
    fn sums(&self, layouts: &[SequenceLayout], t: f32) -> Result<Sums, TrainError> {
        let mut sums = vec![(0.0, 0); self.config.modalities.len()];
        let of_one_size = layouts.chunk_by(|one, next| one.latent_shape() == next.latent_shape());
        for layouts in of_one_size.flat_map(|layouts| layouts.chunks(self.sequences.max(1))) {
            let batch = TrainBatch::new(layouts, self.config, self.key, TimestepChoice::At(t), self.device);
            add_losses(self.model, &batch, &mut sums)?;
        }
        Ok(sums)
    }
}

impl CaptionedImages {
    fn measure(&self, pass: &Pass<'_>, levels: &[f32], report: &mut ValidationReport) -> Result<(), TrainError> {
        // What stands before an image does not see it: the text is the same at every level but for EOI and EOS.
        let by_level = levels.iter().map(|&t| Ok((t, pass.sums(&self.caption_first, t)?)));
        let by_level: Vec<(f32, Sums)> = by_level.collect::<Result<_, TrainError>>()?;
        let first = by_level.first().map(|(_, sums)| sums.clone()).unwrap_or_default();
        let mut given_image = pass.sums(&self.image_first, 0.0)?;
        // Codes of an image that comes first are given nothing.
        let alone = std::mem::take(&mut given_image[self.images]);
        report.codes = self.code_losses(pass.config, &first, alone);
        let modalities = &pass.config.modalities;
        let denoised = modalities.values().position(|modality| modality.objective() == Objective::Denoise);
        report.text = self.text_losses(pass.config, &first);
        report.text_given_image = self.text_losses(pass.config, &given_image);
        report.image =
            denoised.map_or(vec![], |lane| by_level.iter().map(|(t, sums)| (*t, mean(sums[lane]))).collect());
        Ok(())
    }

    /// Of images of codes: the loss of codes that nothing stands before, and that of all tokens of a document together.
    fn code_losses(&self, config: &ModelConfig, first: &Sums, alone: (f64, usize)) -> Vec<TextLoss> {
        let modalities = config.modalities();
        let (images, captions) = (&modalities[self.images], &modalities[self.captions]);
        if images.objective != Objective::NextToken || alone.1 == 0 {
            return vec![];
        }
        let [codes, words] = [self.images, self.captions].map(|lane| first[lane]);
        let both = (codes.0 + words.0, codes.1 + words.1);
        let of = |modality, sum| TextLoss { modality, loss: mean(sum), bits_per_byte: None };
        vec![of(format!("{}_alone", images.name), alone), of(format!("{}_{}", images.name, captions.name), both)]
    }

    fn text_losses(&self, config: &ModelConfig, sums: &Sums) -> Vec<TextLoss> {
        let lanes = config.modalities().into_iter().zip(sums).enumerate();
        lanes
            .filter(|(_, (modality, (_, count)))| modality.objective == Objective::NextToken && *count > 0)
            .map(|(lane, (modality, &sum))| TextLoss {
                modality: modality.name,
                loss: mean(sum),
                bits_per_byte: (lane == self.captions).then(|| bits_per_byte(sum, self.caption_bytes)),
            })
            .collect()
    }
}

impl LaidOut {
    /// The sums of tokens, where images are clean, and of images, over all levels.
    fn sums(&self, pass: &Pass<'_>, levels: &[f32]) -> Result<Sums, TrainError> {
        let modalities = pass.config.modalities();
        let denoised = |lane: usize| modalities[lane].objective == Objective::Denoise;
        let mut sums = pass.sums(&self.layouts, 0.0)?;
        if !self.losses.iter().any(|(lane, _)| denoised(*lane)) {
            return Ok(sums);
        }
        for &level in levels {
            let at_level = pass.sums(&self.layouts, level)?;
            for (lane, (sum, count)) in at_level.into_iter().enumerate().filter(|(lane, _)| denoised(*lane)) {
                sums[lane] = (sums[lane].0 + sum, sums[lane].1 + count);
            }
        }
        Ok(sums)
    }

    fn losses(&self, sums: &Sums) -> impl Iterator<Item = TextLoss> {
        let with_targets = self.losses.iter().filter(|(lane, _)| sums[*lane].1 > 0);
        with_targets.map(|(lane, name)| TextLoss {
            modality: name.clone(),
            loss: mean(sums[*lane]),
            bits_per_byte: self
                .texts
                .filter(|(texts, _)| texts == lane)
                .map(|(_, bytes)| bits_per_byte(sums[*lane], bytes)),
        })
    }
}

fn bits_per_byte((nats, _): (f64, usize), bytes: usize) -> f64 {
    nats / std::f64::consts::LN_2 / bytes.max(1) as f64
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
