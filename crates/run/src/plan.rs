//! From settings to the parts of a run: data, tokenizer, model, trainer. Every size that follows from another is filled in
//! here, once.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use interfuse_checkpoint::{FORMAT_VERSION, MODEL_TYPE, ModelCard, Pretrained};
use interfuse_data::latents::CacheKey;
use interfuse_data::{
    DataSet, DocumentLanes, DocumentParts, Documents, ImageLatents, LatentCache, Loader, LoaderCursor, Packing, Source,
    Split, TextRows, Tokenizer,
};
use interfuse_kernels::WeightInit;
use interfuse_sequence::RowShape;
use interfuse_trainer::{Setup, Trainer, Validation, latent_range};
use interfuse_transfusion::{ModelConfig, Transfusion};
use interfuse_vae::{Codec, LatentRange};

use crate::carriers::{Carriers, code_ids, fill_in};
use crate::error::{Context as _, Result, refuse};
use crate::settings::Settings;

/// What follows from the settings and the data, before any weight is made.
pub struct Plan {
    /// The configuration.
    pub settings: Settings,
    /// The data, opened.
    pub data: DataSet,
    /// Text to ids.
    pub tokenizer: Tokenizer,
    /// The model with every size filled in, after no step.
    pub card: ModelCard,
    /// Rows of each lane of a sequence.
    pub shape: RowShape,
    /// Where the run computes.
    pub device: Device,
    /// Pixels to latents.
    pub codec: Arc<dyn Codec>,
    /// Captions that are cut, and all captions.
    pub cut_captions: (usize, usize),
    lanes: DocumentLanes,
}

impl Plan {
    /// Opens the training data, makes or loads the tokenizer, and fills in every size.
    ///
    /// # Errors
    /// When data, tokenizer, codec or device are not there, or sizes do not fit together; names the key.
    pub fn new(settings: Settings) -> Result<Self> {
        let data = interfuse_data::open(&settings.data)?;
        let tokenizer = make_tokenizer(&settings, data.train.as_ref())?;
        Self::of(settings, data, tokenizer)
    }

    /// As [`Plan::new`], with the tokenizer of a checkpoint that the run goes on from.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn with_tokenizer(settings: Settings, tokenizer: Tokenizer) -> Result<Self> {
        let data = interfuse_data::open(&settings.data)?;
        Self::of(settings, data, tokenizer)
    }

    fn of(mut settings: Settings, data: DataSet, tokenizer: Tokenizer) -> Result<Self> {
        let [height, width] = settings.data.image_size;
        let image_shape = [settings.data.channels, height, width];
        let device = crate::device::open(&settings.run.device)?;
        if !settings.train.precision.on(&device).runs_on(&device) {
            let name = &settings.run.device;
            refuse!(
                "train.precision: expected f32, since the device `{name}` has nothing that multiplies bf16 (tensor cores, \
                 AMX, or AVX-512 with BF16), found bf16"
            );
        }
        let codec = settings.codec.open(settings.data.channels, &device).context("codec")?;
        let latent_shape = codec.latent_shape(image_shape)?;
        let codes = code_ids(codec.as_ref(), &tokenizer);
        let carriers = Carriers::of(&settings.model, &settings.documents, codes.is_some())?;
        let model = fill_in(settings.model.clone(), &carriers, &tokenizer, codes, latent_shape)?;
        let Carriers { captions, images } = carriers;
        let lanes = lanes_of(&model, &captions, &images)?;
        let documents = documents(&settings, (&data.train, Split::Train), &tokenizer, &codec, lanes)?;
        let text_rows = documents.text_rows();
        let shape = row_shape(&mut settings, &model, &text_rows, lanes)?;
        let card = ModelCard {
            model_type: MODEL_TYPE.into(),
            format_version: FORMAT_VERSION,
            step: 0,
            max_text_rows: text_rows.longest(),
            model,
            codec: settings.codec.pinned(codec.as_ref()),
            image_shape,
            captions,
            images,
            codes,
            latent_range: None,
            special_tokens: tokenizer.special(),
        };
        let cut_captions = (text_rows.cut, text_rows.lengths.len());
        Ok(Self { settings, data, tokenizer, card, shape, device, codec, cut_captions, lanes })
    }

    /// Measures between what the latents of training images lie, where sampling needs that; `known` is what a checkpoint of
    /// the same run says.
    ///
    /// # Errors
    /// When none of the training images can be read.
    pub(crate) fn measure_latents(&mut self, known: Option<LatentRange>) -> Result<()> {
        self.card.latent_range = match known {
            None if latent_range::is_needed(&self.card, self.codec.as_ref()) => {
                let channels = self.card.model.latent_shape[0];
                Some(latent_range::measure(&self.documents(Split::Train)?, channels)?)
            }
            known => known,
        };
        Ok(())
    }

    /// A stream of documents over a split.
    ///
    /// # Errors
    /// When the images cannot be opened, or a latent cache is of others.
    pub fn documents(&self, split: Split) -> Result<Documents> {
        documents(&self.settings, (self.data.of(split), split), &self.tokenizer, &self.codec, self.lanes)
    }

    /// The training data, from a cursor on.
    ///
    /// # Errors
    /// As [`Plan::documents`].
    pub fn loader(&self, cursor: LoaderCursor) -> Result<Loader> {
        let per_sequence = self.settings.train.documents_per_sequence.unwrap_or(1);
        let format = self.card.model.sequence_format();
        Ok(Loader::new(Box::new(self.documents(Split::Train)?), format, self.shape.clone(), per_sequence, cursor))
    }

    /// The fraction of each lane's rows that is not padding, over so many sequences, by lane.
    ///
    /// # Errors
    /// As [`Plan::documents`], or when no document fits.
    pub fn fill(&self, sequences: usize) -> Result<Vec<f64>> {
        let packed = self.loader(LoaderCursor::default())?.next_batch(sequences)?;
        let of = |(lane, rows): (usize, &usize)| {
            let filled: usize = packed.iter().map(|sequence| sequence.lanes[lane].filled()).sum();
            filled as f64 / (rows * sequences).max(1) as f64
        };
        Ok(self.shape.capacity.iter().enumerate().map(of).collect())
    }

    /// Held-out images, for losses under fixed noise.
    ///
    /// # Errors
    /// As [`Plan::documents`].
    pub fn validation(&self) -> Result<Validation> {
        let documents = self.documents(Split::HeldOut)?;
        Ok(Validation::new(
            &documents,
            &self.settings.validation,
            &self.card.model,
            &one_document(&self.card, self.lanes),
        ))
    }

    /// A run at its beginning, its data from a cursor on.
    ///
    /// # Errors
    /// As [`Plan::documents`], or when the model's settings do not fit together.
    pub fn trainer(&self, cursor: LoaderCursor) -> Result<Trainer> {
        let (settings, device) = (&self.settings, &self.device);
        let seed = settings.run.seed;
        let mut init = WeightInit::new(seed, &device.clone().autodiff());
        let model = Transfusion::new(&self.card.model, &mut init)?;
        let setup = Setup {
            model: self.card.model.clone(),
            objective: settings.objective.clone(),
            optimizer: settings.optimizer.clone(),
            train: settings.train.clone(),
            seed,
            device: device.clone(),
        };
        Ok(Trainer::new(setup, model, self.loader(cursor)?))
    }
}

/// The held-out images of a trained model, for losses under fixed noise.
pub(crate) fn validation_of(settings: &Settings, data: &DataSet, pretrained: &Pretrained) -> Result<Validation> {
    let Pretrained { card, tokenizer, codec, .. } = pretrained;
    let lanes = lanes_of(&card.model, &card.captions, &card.images)?;
    let documents = documents(settings, (&data.held_out, Split::HeldOut), tokenizer, codec, lanes)?;
    Ok(Validation::new(&documents, &settings.validation, &card.model, &one_document(card, lanes)))
}

/// Room for the longest document by itself.
fn one_document(card: &ModelCard, lanes: DocumentLanes) -> RowShape {
    let mut capacity = vec![0; card.model.modalities.len()];
    capacity[lanes.captions] = card.max_text_rows;
    capacity[lanes.images] = card.model.sequence_format().rows_per_image();
    RowShape { capacity }
}

fn lanes_of(model: &ModelConfig, captions: &str, images: &str) -> Result<DocumentLanes> {
    let lane = |name: &str| model.lane(name).with_context(|| format!("model.modalities: expected `{name}`"));
    Ok(DocumentLanes { captions: lane(captions)?, images: lane(images)? })
}

fn documents(
    settings: &Settings,
    (source, split): (&Arc<dyn Source>, Split),
    tokenizer: &Tokenizer,
    codec: &Arc<dyn Codec>,
    lanes: DocumentLanes,
) -> Result<Documents> {
    let cache = settings.codec.vae().and_then(|vae| vae.cache.as_ref());
    let latents = match cache {
        // Held-out images are few and encoded when they are measured.
        Some(folder) if split == Split::Train => {
            let mirrored = settings.data.horizontal_flip > 0.0;
            let key = CacheKey::new(source.as_ref(), codec.as_ref(), mirrored)?;
            ImageLatents::Cached(Arc::clone(codec), LatentCache::open(folder, &key, source.as_ref())?)
        }
        _ => ImageLatents::encoded(Arc::clone(codec), source.as_ref()),
    };
    let first_code = code_ids(codec.as_ref(), tokenizer).map(|codes| codes.first as u32);
    let parts = DocumentParts { source: Arc::clone(source), tokenizer: tokenizer.clone(), latents, first_code };
    Ok(Documents::new(parts, lanes, settings.documents.clone(), settings.data.horizontal_flip, settings.run.seed))
}

fn make_tokenizer(settings: &Settings, source: &dyn Source) -> Result<Tokenizer> {
    if let Some(path) = &settings.tokenizer.path {
        return load_tokenizer(path);
    }
    let captions = (0..source.len()).flat_map(|index| source.captions(index).unwrap_or_default());
    let vocab_size = settings.tokenizer.vocab_size.unwrap_or_default();
    Ok(Tokenizer::train(captions, vocab_size)?)
}

/// Loads a `tokenizer.json`.
pub(crate) fn load_tokenizer(path: &Path) -> Result<Tokenizer> {
    Ok(Tokenizer::load(path)?)
}

/// Room for the documents of a sequence, whose number is filled in, unless the settings say otherwise.
fn row_shape(settings: &mut Settings, model: &ModelConfig, text: &TextRows, lanes: DocumentLanes) -> Result<RowShape> {
    let images = model.sequence_format().rows_per_image();
    let train = &mut settings.train;
    if let Some(shape) = &train.row_shape {
        let (expected, found) = (model.modalities.len(), shape.capacity.len());
        if expected != found {
            refuse!("train.row_shape.capacity: expected {expected} numbers, one for each modality, found {found}");
        }
        if shape.capacity[lanes.images] % images != 0 {
            let found = shape.capacity[lanes.images];
            refuse!("train.row_shape.capacity: expected a multiple of {images}, an image's rows, found {found}");
        }
        let room = (shape.capacity[lanes.images] / images).clamp(1, train.batch_size);
        let most = (1..=room).rev().find(|count| train.batch_size.is_multiple_of(*count));
        train.documents_per_sequence = train.documents_per_sequence.or(most);
        return Ok(shape.clone());
    }
    let packing = match train.documents_per_sequence {
        Some(count) => Packing::of(&text.lengths, count),
        None => Packing::choose(&text.lengths, train.batch_size),
    };
    train.documents_per_sequence = Some(packing.documents_per_sequence);
    let mut capacity = vec![0; model.modalities.len()];
    capacity[lanes.captions] = packing.text_rows;
    capacity[lanes.images] = images * packing.documents_per_sequence;
    Ok(RowShape { capacity })
}
