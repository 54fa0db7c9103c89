//! The model: towers on a backbone.
//!
//! ```text
//! ids    ─► text tower  ┐                                            ┌► text tower  ─► logits
//! x_t, t ─► image tower ┴► streams ─► backbone ─► streams ─► lanes ──┴► image tower ─► prediction
//! ```

use burn::module::Module;
use burn::tensor::Tensor;
use interfuse_image_tower::{ImageContext, ImageTower};
use interfuse_kernels::WeightInit;
use interfuse_mot::{Backbone, BackboneInput, CacheUse, Partition, RouterOutput, StreamCondition};
use interfuse_parameters::Named;
use interfuse_sequence::Modality;
use interfuse_text_tower::TextTower;

use crate::config::{ConfigError, ModalityConfig, ModelConfig};
use crate::input::{LaneInput, ModelInput};

/// The model.
#[derive(Module, Debug)]
pub struct Transfusion {
    /// Parts under shared attention.
    pub backbone: Backbone,
    /// By the modality that owns them; several next-token lanes may share one.
    pub towers: Named<Tower>,
    #[module(skip)]
    modalities: Vec<Modality>,
    #[module(skip)]
    partition: Partition,
}

/// The two ends of a vocabulary or of an image format.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // There are as many towers as modalities.
pub enum Tower {
    /// Of next-token modalities.
    NextToken(TextTower),
    /// Of a denoise modality.
    Denoise(ImageTower),
}

/// What the model predicts for every lane.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// By lane; `None` for a lane without rows.
    pub lanes: Vec<Option<LanePrediction>>,
    /// By layer and part; `None` where there is no router, or where it had no row.
    pub routers: Vec<Vec<Option<RouterOutput>>>,
}

/// What the model predicts for the rows of a lane.
#[derive(Clone, Debug)]
pub enum LanePrediction {
    /// Logits of the next token. `[B, S, V]`
    NextToken(Tensor<3>),
    /// What the image tower's prediction target names. `[B, N, C, H, W]`
    Denoise(Tensor<5>),
}

/// A lane on its way into the backbone.
struct EmbeddedLane {
    rows: Tensor<3>,
    /// What goes around the backbone; nothing for tokens.
    context: ImageContext,
}

impl Transfusion {
    /// Fresh weights of a valid configuration.
    ///
    /// # Errors
    /// When the configuration is not valid.
    pub fn new(config: &ModelConfig, init: &mut WeightInit) -> Result<Self, ConfigError> {
        config.validate()?;
        let partition = config.partition()?;
        let d_model = config.backbone.d_model;
        let tower = |modality: &ModalityConfig, init: &mut WeightInit| match modality {
            ModalityConfig::NextToken(text) => Tower::NextToken(TextTower::new(text, d_model, init)),
            ModalityConfig::Denoise(image) => {
                Tower::Denoise(ImageTower::new(image, config.latent_shape, d_model, init))
            }
        };
        let towers = config.towers().map(|(name, modality)| (name.clone(), tower(modality, init))).collect();
        let backbone = Backbone::new(&config.backbone, config.positions, &config.part_settings()?, init);
        Ok(Self { backbone, towers, modalities: config.modalities(), partition })
    }

    /// The architecture.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The modalities, by lane.
    pub fn modalities(&self) -> &[Modality] {
        &self.modalities
    }

    /// The tower of a lane.
    pub fn tower(&self, lane: usize) -> &Tower {
        &self.towers[self.modalities[lane].tower]
    }

    /// Embeds every lane, runs the backbone, and asks every tower's head.
    pub fn forward(&self, input: ModelInput, cache: CacheUse<'_>) -> Predictions {
        let inputs = input.lanes.into_iter().enumerate();
        let embedded: Vec<Option<EmbeddedLane>> =
            inputs.map(|(lane, content)| self.tower(lane).embed(content?)).collect();
        let rows: Vec<usize> =
            embedded.iter().map(|lane| lane.as_ref().map_or(0, |lane| lane.rows.dims()[1])).collect();
        let lanes: Vec<Option<Tensor<3>>> = embedded.iter().map(|lane| Some(lane.as_ref()?.rows.clone())).collect();
        let contexts: Vec<ImageContext> =
            embedded.into_iter().map(|lane| lane.map(|lane| lane.context).unwrap_or_default()).collect();
        let geometry: Vec<_> = input.geometry.iter().map(Option::as_ref).collect();
        let backbone_input = BackboneInput {
            streams: self.partition.join(&lanes),
            geometry: self.partition.join_geometry(&geometry),
            conditions: self.stream_conditions(&rows, &contexts),
            dropout: input.dropout,
        };
        let output = self.backbone.forward(backbone_input, cache);
        let lanes = self.partition.split(output.streams, &rows).into_iter().zip(contexts).enumerate();
        Predictions {
            lanes: lanes.map(|(lane, (rows, context))| Some(self.tower(lane).predict(rows?, context))).collect(),
            routers: output.routers,
        }
    }

    fn stream_conditions(&self, rows: &[usize], contexts: &[ImageContext]) -> Vec<Option<StreamCondition>> {
        let of_part = |owned: &Vec<usize>| {
            let lanes: Vec<_> = owned
                .iter()
                .filter(|&&lane| rows[lane] > 0)
                .map(|&lane| (rows[lane], contexts[lane].condition.clone()))
                .collect();
            lanes.iter().any(|(_, condition)| condition.is_some()).then_some(StreamCondition { lanes })
        };
        self.partition.parts().iter().map(of_part).collect()
    }
}

impl Tower {
    /// `None` if the content is of the other objective, which one configuration for towers and lanes rules out.
    fn embed(&self, content: LaneInput) -> Option<EmbeddedLane> {
        match (self, content) {
            (Self::NextToken(tower), LaneInput::NextToken(ids)) => {
                Some(EmbeddedLane { rows: tower.embed(ids), context: ImageContext::default() })
            }
            (Self::Denoise(tower), LaneInput::Denoise { x_t, t }) => {
                let images = tower.embed(x_t, t);
                Some(EmbeddedLane { rows: images.rows, context: images.context })
            }
            _ => None,
        }
    }

    fn predict(&self, rows: Tensor<3>, context: ImageContext) -> LanePrediction {
        match self {
            Self::NextToken(tower) => LanePrediction::NextToken(tower.logits(rows)),
            Self::Denoise(tower) => LanePrediction::Denoise(tower.predict(rows, context)),
        }
    }
}

impl Predictions {
    /// The logits of a lane. `[B, S, V]`
    pub fn logits(&self, lane: usize) -> Option<Tensor<3>> {
        match self.lanes.get(lane)?.as_ref()? {
            LanePrediction::NextToken(logits) => Some(logits.clone()),
            LanePrediction::Denoise(_) => None,
        }
    }

    /// The image predictions of a lane. `[B, N, C, H, W]`
    pub fn images(&self, lane: usize) -> Option<Tensor<5>> {
        match self.lanes.get(lane)?.as_ref()? {
            LanePrediction::Denoise(images) => Some(images.clone()),
            LanePrediction::NextToken(_) => None,
        }
    }
}
