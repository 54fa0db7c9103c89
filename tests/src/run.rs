//! A small run that trains in a second or two.

use std::path::Path;

use burn::tensor::Device;
use interfuse_checkpoint::{FORMAT_VERSION, MODEL_TYPE, ModelCard};
use interfuse_data::{
    DataConfig, DocumentConfig, DocumentLanes, DocumentParts, Documents, ImageLatents, Loader, LoaderCursor, Tokenizer,
};
use interfuse_image_tower::{PredictionTarget, TimestepConditioning};
use interfuse_kernels::WeightInit;
use interfuse_sequence::RowShape;
use interfuse_trainer::{OptimizerConfig, Setup, TrainConfig, Trainer, checkpoint};
use interfuse_transfusion::{ModalityConfig, ModelConfig, ObjectiveConfig, Transfusion};
use interfuse_vae::CodecConfig;

use crate::{IMAGE, TEXT, image_tower, mot_config};

/// Eight colours with names, as a folder of images.
pub const COLOURS: [(&str, [u8; 3]); 8] = [
    ("red", [220, 30, 30]),
    ("green", [30, 180, 40]),
    ("blue", [30, 40, 220]),
    ("yellow", [240, 220, 40]),
    ("black", [0, 0, 0]),
    ("white", [255, 255, 255]),
    ("pink", [250, 150, 190]),
    ("cyan", [40, 220, 230]),
];

/// A folder with one 8 × 8 image of each colour, the lower half black.
fn colours() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut metadata = String::new();
    for (name, colour) in COLOURS {
        let pixels = ndarray::Array3::from_shape_fn((3, 8, 8), |(c, y, _)| if y < 5 { colour[c] } else { 0 });
        let image = interfuse_data::Image::new(pixels).expect("an image");
        image.save_png(&folder.path().join(format!("{name}.png"))).expect("written");
        metadata.push_str(&format!("{{\"file_name\": \"{name}.png\", \"text\": \"{name}\"}}\n"));
    }
    std::fs::write(folder.path().join("metadata.jsonl"), metadata).expect("written");
    folder
}

/// A small run on the colours, whose settings a test may change before it makes a trainer.
pub struct Run {
    /// The images.
    pub folder: tempfile::TempDir,
    /// Of the model.
    pub config: ModelConfig,
    /// Of the names of the colours.
    pub tokenizer: Tokenizer,
    /// Steps and batches.
    pub train: TrainConfig,
    /// Of 200 steps.
    pub optimizer: OptimizerConfig,
    /// Captions first, all of them kept.
    pub documents: DocumentConfig,
}

#[allow(clippy::new_without_default)] // A folder is made: that is no default.
impl Run {
    /// Eight colours, a Mixture-of-Transformers, batches of eight.
    pub fn new() -> Self {
        let folder = colours();
        let tokenizer = Tokenizer::train(COLOURS.iter().map(|(name, _)| *name), 270).expect("a tokenizer");
        let mut config = mot_config();
        config.latent_shape = [3, 8, 8];
        config.backbone.d_model = 32;
        config.backbone.qk_norm = true;
        let tower = image_tower(&mut config);
        tower.patch_size = 4;
        tower.prediction = PredictionTarget::Clean;
        tower.timestep_conditioning = TimestepConditioning::AdaLn;
        if let Some(ModalityConfig::NextToken(text)) = config.modalities.get_mut("text") {
            text.vocab_size = tokenizer.vocab_size();
        }
        let train = TrainConfig {
            steps: 200,
            batch_size: 8,
            gradient_accumulation: 1,
            documents_per_sequence: Some(1),
            row_shape: None,
            precision: Default::default(),
            activation_checkpointing: false,
            most_bad_steps: 3,
        };
        let optimizer = OptimizerConfig {
            learning_rate: 5e-3,
            final_learning_rate: 1e-4,
            warmup_steps: 10,
            ema_decay: 0.9,
            ..OptimizerConfig::default()
        };
        let documents = DocumentConfig { image_first: 0.0, caption_dropout: 0.0, ..Default::default() };
        Self { folder, config, tokenizer, train, optimizer, documents }
    }

    /// The documents, from their beginning.
    pub fn documents(&self) -> Documents {
        let source = format!("kind = \"folder\"\npath = {:?}\nheld_out = 0.0", self.folder.path());
        let source = toml_source(&source);
        let data = DataConfig { image_size: [8, 8], channels: 3, horizontal_flip: 0.0, source, ..Default::default() };
        let source = interfuse_data::open(&data).expect("eight images").train;
        let codec = CodecConfig::Pixels.open(3, &Device::flex()).expect("the pixel codec");
        let latents = ImageLatents::encoded(codec, source.as_ref());
        let parts = DocumentParts { source, tokenizer: self.tokenizer.clone(), latents, first_code: None };
        let lanes = DocumentLanes { captions: TEXT, images: IMAGE };
        Documents::new(parts, lanes, self.documents.clone(), 0.0, 1)
    }

    /// A trainer with weights of seed 1.
    pub fn trainer(&self, cursor: LoaderCursor) -> Trainer {
        let (device, documents) = (Device::flex(), self.documents());
        let count = self.train.documents_per_sequence.unwrap_or(1);
        let shape = RowShape { capacity: vec![4 * count, documents.text_rows().longest() * count] };
        let format = self.config.sequence_format();
        let loader = Loader::new(Box::new(documents), format, shape, count, cursor);
        let model = Transfusion::new(&self.config, &mut WeightInit::new(1, &device.clone().autodiff())).expect("valid");
        let setup = Setup {
            model: self.config.clone(),
            objective: ObjectiveConfig::default(),
            optimizer: self.optimizer.clone(),
            train: self.train.clone(),
            seed: 1,
            device,
        };
        Trainer::new(setup, model, loader)
    }

    /// What a checkpoint says of the model.
    pub fn card(&self) -> ModelCard {
        ModelCard { max_text_rows: 16, ..model_card(&self.config, &self.tokenizer, [3, 8, 8]) }
    }

    /// Leaves a checkpoint.
    pub fn save(&self, trainer: &Trainer, folder: &Path) {
        checkpoint::save(trainer, &self.card(), &self.tokenizer.to_bytes().expect("bytes"), folder).expect("saved");
    }

    /// A trainer that goes on from a checkpoint.
    pub fn resumed(&self, folder: &Path) -> Trainer {
        let resumed = checkpoint::open(folder, &self.card(), 1).expect("a checkpoint");
        let mut trainer = self.trainer(resumed.state.cursor.clone());
        resumed.restore(&mut trainer).expect("restored");
        trainer
    }
}

/// The card of an untrained model that draws in pixels.
pub fn model_card(config: &ModelConfig, tokenizer: &Tokenizer, image_shape: [usize; 3]) -> ModelCard {
    ModelCard {
        model_type: MODEL_TYPE.into(),
        format_version: FORMAT_VERSION,
        step: 0,
        model: config.clone(),
        codec: CodecConfig::Pixels,
        image_shape,
        image_sizes: vec![],
        image_fit: Default::default(),
        max_text_rows: 48,
        captions: "text".into(),
        images: Some("image".into()),
        codes: None,
        speech: None,
        latent_range: None,
        special_tokens: tokenizer.special(),
    }
}

/// Settings of a source as a user writes them.
pub fn toml_source(text: &str) -> interfuse_data::SourceConfig {
    toml::from_str(text).expect("a source")
}
