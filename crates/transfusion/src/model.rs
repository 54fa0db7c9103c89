//! The model: towers on a backbone.
//!
//! ```text
//! ids    ─► text tower  ┐                                          ┌► text tower  ─► logits
//! x_t, t ─► image tower ┴► streams ─► backbone ─► streams ─► lanes ───┴► image tower ─► prediction
//! ```

use burn::module::Module;
use burn::tensor::Tensor;
use interfuse_image_tower::{ImageContext, ImageTower};
use interfuse_kernels::WeightInit;
use interfuse_mot::{Backbone, BackboneInput, CacheUse, Partition, StreamCondition};
use interfuse_text_tower::TextTower;

use crate::config::{ConfigError, ModelConfig, TowerConfig};
use crate::input::{LaneInput, ModelInput};

/// The model.
#[derive(Module, Debug)]
pub struct Transfusion {
    /// Parts under shared attention.
    pub backbone: Backbone,
    /// By lane.
    pub towers: Vec<Tower>,
    #[module(skip)]
    partition: Partition,
}

/// The two ends of a modality.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // There are as many towers as modalities.
pub enum Tower {
    /// Of a next-token modality.
    Text(TextTower),
    /// Of a denoise modality.
    Image(ImageTower),
}

/// What the model says of every lane.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// By lane; `None` for a lane without rows.
    pub lanes: Vec<Option<LanePrediction>>,
}

/// What the model says of the rows of a lane.
#[derive(Clone, Debug)]
pub enum LanePrediction {
    /// Of the next token. `[B, S, V]`
    Logits(Tensor<3>),
    /// Of what the image tower's prediction target names. `[B, N, C, H, W]`
    Images(Tensor<5>),
}

/// A lane on its way into the backbone.
struct EmbeddedLane {
    rows: Tensor<3>,
    /// What goes around the backbone; nothing for text.
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
        let conditioned: Vec<bool> =
            partition.parts().iter().map(|lanes| lanes.iter().any(|&lane| config.is_conditioned(lane))).collect();
        let d_model = config.backbone.d_model;
        let towers = config
            .modalities
            .values()
            .map(|tower| match tower {
                TowerConfig::NextToken(text) => Tower::Text(TextTower::new(text, d_model, init)),
                TowerConfig::Denoise(image) => Tower::Image(ImageTower::new(image, config.latent_shape, d_model, init)),
            })
            .collect();
        let backbone = Backbone::new(&config.backbone, config.positions, &conditioned, init);
        Ok(Self { backbone, towers, partition })
    }

    /// The architecture.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Embeds every lane, runs the backbone, and asks every tower's head.
    pub fn forward(&self, input: ModelInput, cache: CacheUse<'_>) -> Predictions {
        let embedded: Vec<Option<EmbeddedLane>> = self.towers.iter().zip(input.lanes).map(embed_lane).collect();
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
        };
        let streams = self.backbone.forward(backbone_input, cache);
        let lanes = self.partition.split(streams, &rows);
        let heads = self.towers.iter().zip(lanes).zip(contexts);
        Predictions { lanes: heads.map(|((tower, rows), context)| Some(tower.predict(rows?, context))).collect() }
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

/// The tower of a lane and the lane's content agree, because both come of one configuration.
fn embed_lane((tower, lane): (&Tower, Option<LaneInput>)) -> Option<EmbeddedLane> {
    match (tower, lane?) {
        (Tower::Text(tower), LaneInput::Tokens(ids)) => {
            Some(EmbeddedLane { rows: tower.embed(ids), context: ImageContext::default() })
        }
        (Tower::Image(tower), LaneInput::Images { x_t, t }) => {
            let images = tower.embed(x_t, t);
            Some(EmbeddedLane { rows: images.rows, context: images.context })
        }
        _ => None,
    }
}

impl Tower {
    fn predict(&self, rows: Tensor<3>, context: ImageContext) -> LanePrediction {
        match self {
            Self::Text(tower) => LanePrediction::Logits(tower.logits(rows)),
            Self::Image(tower) => LanePrediction::Images(tower.predict(rows, context)),
        }
    }
}

impl Predictions {
    /// The logits of a lane. `[B, S, V]`
    pub fn logits(&self, lane: usize) -> Option<Tensor<3>> {
        match self.lanes.get(lane)?.as_ref()? {
            LanePrediction::Logits(logits) => Some(logits.clone()),
            LanePrediction::Images(_) => None,
        }
    }

    /// The image predictions of a lane. `[B, N, C, H, W]`
    pub fn images(&self, lane: usize) -> Option<Tensor<5>> {
        match self.lanes.get(lane)?.as_ref()? {
            LanePrediction::Images(images) => Some(images.clone()),
            LanePrediction::Logits(_) => None,
        }
    }
}
