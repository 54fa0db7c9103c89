//! From settings to the parts of a run: data, tokenizer, model, trainer. Every size that follows from another is filled in
//! here, once.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use interfuse_checkpoint::{
    FORMAT_VERSION, LanguageModel, MODEL_TYPE, ModelCard, Pretrained, SpeechCard, UnitCodecRef, language_model,
};
use interfuse_data::mixture::Content;
use interfuse_data::{
    Collections, DataSet, DocumentStream, Documents, Loader, LoaderCursor, Packed, Packing, Split, Tokenizer,
};
use interfuse_kernels::WeightInit;
use interfuse_sequence::RowShape;
use interfuse_trainer::{Setup, TrainConfig, Trainer, Validation, freeze, latent_range};
use interfuse_transfusion::Transfusion;
use interfuse_vae::{Codec, LatentRange};

use crate::carriers::{Carriers, Coding, ExtraIds, Held, fill_in};
use crate::error::{Context as _, Result, refuse};
use crate::settings::Settings;
use crate::streams::Streams;

/// What follows from the settings and the data, before any weight is made.
pub struct Plan {
    /// The configuration.
    pub settings: Settings,
    /// The data, opened.
    pub data: Collections,
    /// Text to ids.
    pub tokenizer: Tokenizer,
    /// The model with every size filled in, after no step.
    pub card: ModelCard,
    /// Rows of each lane of a sequence; where images have several sizes, of those whose images have the first.
    pub shape: RowShape,
    /// The same of those whose images are largest.
    pub largest_shape: RowShape,
    /// Where the run computes.
    pub device: Device,
    /// Pixels to latents.
    pub codec: Arc<dyn Codec>,
    /// Captions that are cut, and all captions.
    pub cut_captions: (usize, usize),
}

impl Plan {
    /// Opens the training data, makes or loads the tokenizer, and fills in every size.
    ///
    /// # Errors
    /// When data, tokenizer, codec or device are not there, or sizes do not fit together; names the key.
    pub fn new(settings: Settings) -> Result<Self> {
        let data = Collections::open(&settings.data)?;
        let tokenizer = make_tokenizer(&settings, &data)?;
        // Only at the beginning: a checkpoint's vocabulary is the size of its weights.
        let tokenizer = if data.are_masked() { tokenizer.with_masks()? } else { tokenizer };
        Self::of(settings, data, tokenizer)
    }

    /// As [`Plan::new`], with the tokenizer of a checkpoint that the run goes on from.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn with_tokenizer(settings: Settings, tokenizer: Tokenizer) -> Result<Self> {
        let data = Collections::open(&settings.data)?;
        Self::of(settings, data, tokenizer)
    }

    fn of(settings: Settings, data: Collections, tokenizer: Tokenizer) -> Result<Self> {
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
        let card = card(&settings, &data, &tokenizer, codec.as_ref(), image_shape)?;
        if settings.documents.clean_copies && card.model.image_tower().is_none() {
            let found = if card.codes.is_some() { "images that are codes" } else { "no images" };
            refuse!("documents.clean_copies: expected false where no image is denoised, found true with {found}");
        }
        let mut plan = Self {
            settings,
            data,
            tokenizer,
            card,
            shape: RowShape { capacity: vec![] },
            largest_shape: RowShape { capacity: vec![] },
            device,
            codec,
            cut_captions: (0, 0),
        };
        let latent_shapes = latent_shapes(&plan.card, plan.codec.as_ref())?;
        let training = plan.streams().training()?;
        let documents = training.rows(&plan.card.model.sequence_format());
        plan.cut_captions = training.cut();
        let text = plan.card.model.lane(&plan.card.captions).unwrap_or_default();
        plan.card.max_text_rows = documents.iter().map(|rows| rows[text]).max().unwrap_or_default();
        plan.shape = row_shape(&mut plan.settings.train, &plan.card, &documents)?;
        let base = plan.card.model.sequence_format();
        let shapes = latent_shapes.iter().map(|&latents| plan.shape.at(&base, &base.with_latent_shape(latents)));
        plan.largest_shape =
            shapes.chain([plan.shape.clone()]).max_by_key(RowShape::rows).unwrap_or(plan.shape.clone());
        Ok(plan)
    }

    fn streams(&self) -> Streams<'_> {
        let Self { settings, data, tokenizer, codec, card, .. } = self;
        Streams { settings, data, tokenizer, codec, card }
    }

    /// The captioned images.
    ///
    /// # Errors
    /// When the data has none.
    pub fn images(&self) -> Result<&DataSet> {
        images_of(&self.data)
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
                let documents = self.documents(Split::Train)?;
                documents.map(|documents| latent_range::measure(&documents, channels)).transpose()?
            }
            known => known,
        };
        Ok(())
    }

    /// The documents of captioned images of a split, where there are images.
    ///
    /// # Errors
    /// When a latent cache is of other images.
    pub fn documents(&self, split: Split) -> Result<Option<Documents>> {
        self.streams().images(split)
    }

    /// All that is trained on, as one stream of documents.
    ///
    /// # Errors
    /// As [`Plan::documents`].
    pub fn training(&self) -> Result<Box<dyn DocumentStream>> {
        self.streams().training()
    }

    /// The training data, from a cursor on.
    ///
    /// # Errors
    /// As [`Plan::documents`].
    pub fn loader(&self, cursor: LoaderCursor) -> Result<Loader> {
        let per_sequence = self.settings.train.documents_per_sequence.unwrap_or(1);
        let format = self.card.model.sequence_format();
        let loader = Loader::new(self.training()?, format, self.shape.clone(), per_sequence, cursor);
        Ok(loader.with_sizes(&latent_shapes(&self.card, self.codec.as_ref())?))
    }

    /// The fraction of each lane's rows that is not padding, over so many sequences, by lane.
    ///
    /// # Errors
    /// As [`Plan::documents`], or when no document fits.
    pub fn fill(&self, sequences: usize) -> Result<Vec<f64>> {
        let at_once = self.settings.train.sequences().max(1);
        let packed = self.loader(LoaderCursor::default())?.next_batches(at_once, sequences.div_ceil(at_once))?;
        let of = |lane: usize| {
            let lanes = || packed.iter().flatten().map(|sequence| &sequence.lanes[lane]);
            let filled: usize = lanes().map(|lane| lane.filled()).sum();
            filled as f64 / lanes().map(|lane| lane.len()).sum::<usize>().max(1) as f64
        };
        Ok((0..self.shape.capacity.len()).map(of).collect())
    }

    /// Held-out documents, for losses under fixed noise.
    ///
    /// # Errors
    /// As [`Plan::documents`].
    pub fn validation(&self) -> Result<Validation> {
        self.streams().validation()
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
        let model = match &settings.start {
            Some(start) => LanguageModel::open(&start.language_model)?.into_model(
                model,
                &self.card.model,
                &self.card.captions,
                start.other_parts,
            )?,
            None => model,
        };
        let model = freeze(model, &settings.optimizer)?;
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

/// The latents of the sizes that images have beside the first.
///
/// # Errors
/// When a size does not fit the autoencoder or the patches, or images are codes.
fn latent_shapes(card: &ModelCard, codec: &dyn Codec) -> Result<Vec<[usize; 3]>> {
    let [channels, ..] = card.image_shape;
    if card.codes.is_some() && !card.image_sizes.is_empty() {
        refuse!("data.buckets: expected none where images are codes, found {} sizes", card.image_sizes.len());
    }
    let of = |&[height, width]: &[usize; 2]| {
        let size = format!("data.buckets, {height} × {width} pixels");
        let shape = codec.latent_shape([channels, height, width]).with_context(|| size.clone())?;
        if let Some(tower) = card.model.image_tower() {
            tower.validate(shape).with_context(|| size)?;
        }
        Ok(shape)
    };
    card.image_sizes.iter().map(of).collect()
}

/// The held-out documents of a trained model, for losses under fixed noise.
pub(crate) fn validation_of(settings: &Settings, data: &Collections, pretrained: &Pretrained) -> Result<Validation> {
    let Pretrained { card, tokenizer, codec, .. } = pretrained;
    Streams { settings, data, tokenizer, codec, card }.validation()
}

/// The captioned images of a run.
pub(crate) fn images_of(data: &Collections) -> Result<&DataSet> {
    data.images
        .as_ref()
        .context("data.mixture: expected a part of kind `images`, for this needs captioned images, found none")
}

/// What the model is, after no step; the longest text is filled in when documents are known.
fn card(
    settings: &Settings,
    data: &Collections,
    tokenizer: &Tokenizer,
    codec: &dyn Codec,
    image_shape: [usize; 3],
) -> Result<ModelCard> {
    let latent_shape = codec.latent_shape(image_shape)?;
    let coding = if codec.codes().is_some() { Coding::Codes } else { Coding::Continuous };
    let images = data.have_images().then_some(coding);
    let alphabet = data.speech().map(|(_, set)| set.alphabet).next();
    let carriers = Carriers::of(&settings.model, &settings.documents, Held { images, speech: alphabet.is_some() })?;
    let extra = ExtraIds::new(tokenizer, codec.codes().filter(|_| images.is_some()), alphabet);
    let least = settings.start.as_ref().map(|start| language_model::vocab_size(&start.language_model)).transpose()?;
    let model = fill_in(
        settings.model.clone(),
        &carriers,
        extra.needed(tokenizer.vocab_size()).max(least.unwrap_or(0)),
        extra,
        latent_shape,
    )?;
    let speech = carriers.speech.zip(extra.units).map(|(modality, ids)| SpeechCard {
        modality,
        ids,
        deduplicated: speech_settings(data).all(|(deduplicate, ..)| deduplicate),
        max_units: speech_settings(data).map(|(_, longest, _)| longest).max().unwrap_or(1),
        codec: speech_settings(data).find_map(|(.., codec)| codec),
    });
    Ok(ModelCard {
        model_type: MODEL_TYPE.into(),
        format_version: FORMAT_VERSION,
        step: 0,
        max_text_rows: 0,
        model,
        codec: settings.codec.pinned(codec),
        image_shape,
        image_sizes: settings.data.framing().sizes.to_vec(),
        image_fit: settings.data.fit,
        captions: carriers.captions,
        images: carriers.images,
        codes: extra.codes,
        speech,
        latent_range: None,
        special_tokens: tokenizer.special(),
    })
}

/// Of each collection of speech: whether it is deduplicated, its longest utterance, and its codec.
fn speech_settings(data: &Collections) -> impl Iterator<Item = (bool, usize, Option<UnitCodecRef>)> {
    data.parts.iter().filter_map(|part| match &part.content {
        Content::Images | Content::Texts(..) | Content::Conversations(..) => None,
        Content::Speech(config, set) => {
            let longest = set.train.iter().map(|utterance| utterance.units.len()).max().unwrap_or(1);
            let codec = config.codec_file().zip(set.codec.as_ref());
            let codec = codec.map(|(path, codec)| UnitCodecRef { path, sha256: codec.hash().to_string() });
            Some((config.deduplicate, longest, codec))
        }
    })
}

fn make_tokenizer(settings: &Settings, data: &Collections) -> Result<Tokenizer> {
    if let Some(path) = &settings.tokenizer.path {
        return load_tokenizer(path);
    }
    if let Some(start) = &settings.start {
        return Ok(Tokenizer::load_with_markers(&start.language_model.join("tokenizer.json"))?);
    }
    Ok(Tokenizer::train(data.texts(), settings.tokenizer.vocab_size.unwrap_or_default())?)
}

/// Loads a `tokenizer.json`.
pub(crate) fn load_tokenizer(path: &Path) -> Result<Tokenizer> {
    Ok(Tokenizer::load(path)?)
}

/// Room for the documents of a sequence, whose number is filled in, unless the settings say otherwise.
fn row_shape(train: &mut TrainConfig, card: &ModelCard, documents: &[Vec<usize>]) -> Result<RowShape> {
    let model = &card.model;
    let rows_per_image = model.sequence_format().rows_per_image();
    let images = card.images.as_ref().and_then(|images| model.lane(images));
    let multiples: Vec<usize> =
        (0..model.modalities.len()).map(|lane| if images == Some(lane) { rows_per_image } else { 1 }).collect();
    if let Some(shape) = &train.row_shape {
        let (expected, found) = (model.modalities.len(), shape.capacity.len());
        if expected != found {
            refuse!("train.row_shape.capacity: expected {expected} numbers, one for each modality, found {found}");
        }
        if let Some((multiple, found)) =
            multiples.iter().zip(&shape.capacity).find(|(multiple, rows)| *rows % *multiple != 0)
        {
            refuse!("train.row_shape.capacity: expected a multiple of {multiple}, an image's rows, found {found}");
        }
        let room = room_of(shape, &multiples, images, documents).clamp(1, train.batch_size);
        let most = (1..=room).rev().find(|count| train.batch_size.is_multiple_of(*count));
        train.documents_per_sequence = train.documents_per_sequence.or(most);
        return Ok(shape.clone());
    }
    let packed = Packed { documents, multiples: &multiples };
    let packing = match train.documents_per_sequence {
        Some(count) => Packing::of(packed, count),
        None => Packing::choose(packed, train.batch_size),
    };
    train.documents_per_sequence = Some(packing.documents_per_sequence);
    Ok(RowShape { capacity: packing.rows })
}

/// How many documents a sequence has room for: as many as images, or where there are none as average documents.
fn room_of(shape: &RowShape, multiples: &[usize], images: Option<usize>, documents: &[Vec<usize>]) -> usize {
    if let Some(lane) = images.filter(|&lane| documents.iter().all(|rows| rows[lane] > 0)) {
        return shape.capacity[lane] / multiples[lane].max(1);
    }
    let room = |(lane, &rows): (usize, &usize)| {
        let needed: usize = documents.iter().map(|document| document[lane]).sum();
        (needed > 0).then(|| (rows as f64 / (needed as f64 / documents.len() as f64)) as usize)
    };
    shape.capacity.iter().enumerate().filter_map(room).min().unwrap_or(1)
}
