//! Two facts decide how a row is treated: its modality and its objective.

use serde::{Deserialize, Serialize};

/// How the rows of a modality are learned, and hence what they are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Discrete ids; each row predicts the id of the next row of the same modality.
    NextToken,
    /// Patches of a continuous latent; each row predicts what its own noise hides.
    Denoise,
}

/// One kind of content. Its index in the model's list of modalities is the index of its lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modality {
    /// The name that configurations and reports use: `text`, `image`, `speech`.
    pub name: String,
    /// How its rows are learned.
    pub objective: Objective,
}

impl Modality {
    /// Text, learned by next-token prediction.
    pub fn text() -> Self {
        Self { name: "text".into(), objective: Objective::NextToken }
    }

    /// Images, learned by denoising.
    pub fn image() -> Self {
        Self { name: "image".into(), objective: Objective::Denoise }
    }
}
