//! The slopes that the paper reports (Liang et al. 2024, arXiv 2411.04996), to stand beside those of a comparison.
//!
//! They are the legends of its figures: the fraction of the dense model's steps with which a Mixture-of-Transformers of the
//! same FLOPs reaches the same loss.

use super::curves::{LossName, Part};
use crate::error::{Result, refuse};

/// Slopes of one model of the paper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paper {
    /// How it is asked for, such as `chameleon-7b`.
    pub name: &'static str,
    slopes: &'static [(&'static str, Part, f64)],
}

use Part::{HeldOut, Training};

const PAPER: [Paper; 10] = [
    Paper {
        name: "chameleon-37m",
        slopes: &[
            ("image", Training, 0.260),
            ("text", Training, 0.546),
            ("image", HeldOut, 0.250),
            ("text", HeldOut, 0.597),
        ],
    },
    Paper {
        name: "chameleon-94m",
        slopes: &[
            ("image", Training, 0.199),
            ("text", Training, 0.530),
            ("image", HeldOut, 0.225),
            ("text", HeldOut, 0.570),
        ],
    },
    Paper {
        name: "chameleon-443m",
        slopes: &[
            ("image", Training, 0.271),
            ("text", Training, 0.610),
            ("image", HeldOut, 0.294),
            ("text", HeldOut, 0.639),
        ],
    },
    Paper {
        name: "chameleon-1.5b",
        slopes: &[
            ("image", Training, 0.350),
            ("text", Training, 0.662),
            ("image", HeldOut, 0.382),
            ("text", HeldOut, 0.721),
        ],
    },
    Paper {
        name: "chameleon-7b",
        slopes: &[
            ("all", Training, 0.455),
            ("image", Training, 0.348),
            ("text", Training, 0.558),
            ("image", HeldOut, 0.431),
        ],
    },
    Paper {
        name: "speech-443m",
        slopes: &[("text", Training, 0.557), ("image", Training, 0.262), ("speech", Training, 0.151)],
    },
    Paper { name: "speech-7b", slopes: &[("speech", Training, 0.229), ("speech", HeldOut, 0.372)] },
    Paper { name: "transfusion-163m", slopes: &[("image", Training, 0.254), ("image", HeldOut, 0.286)] },
    Paper {
        name: "transfusion-760m",
        slopes: &[
            ("image", Training, 0.176),
            ("text", Training, 0.970),
            ("image", HeldOut, 0.247),
            ("text", HeldOut, 0.99),
        ],
    },
    Paper { name: "transfusion-1.4b", slopes: &[("image", Training, 0.175), ("image", HeldOut, 0.231)] },
];

impl Paper {
    /// The model of that name.
    ///
    /// # Errors
    /// The paper has none; says which it has.
    pub fn named(name: &str) -> Result<Self> {
        if let Some(paper) = PAPER.into_iter().find(|paper| paper.name == name) {
            return Ok(paper);
        }
        let names: Vec<&str> = PAPER.iter().map(|paper| paper.name).collect();
        refuse!("--paper: expected one of {}, found {name:?}", names.join(", "))
    }

    /// The paper's slope of a loss, if it reports one.
    pub fn slope(self, name: &LossName) -> Option<f64> {
        let found = self.slopes.iter().find(|(modality, part, _)| *modality == name.modality && *part == name.part);
        found.map(|(_, _, slope)| *slope)
    }
}
