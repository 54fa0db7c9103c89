//! Two facts decide how a row is treated: its modality and its objective.

use serde::{Deserialize, Serialize};

/// How the rows of a modality are learned, and hence what they are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Discrete ids; each row predicts the id of the row after it.
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
    /// The tower whose two ends its rows pass. Next-token modalities of one tower share a vocabulary (Chameleon's text and
    /// image codes), so the row of one may predict an id of the other.
    pub tower: usize,
}
