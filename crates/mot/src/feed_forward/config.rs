//! Settings of a feed-forward: which kind, and how rows choose among experts.

use serde::{Deserialize, Serialize};

use crate::config::BackboneError;

/// The most experts: beyond it, a typing error is likelier than a wish, and memory runs out without a message.
const MOST_EXPERTS: usize = 1 << 12;

/// The kinds of feed-forwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FeedForwardConfig {
    /// One network for all rows.
    Swiglu {},
    /// Several networks, the experts, among which a router distributes the rows.
    Moe(MoeConfig),
}

impl Default for FeedForwardConfig {
    fn default() -> Self {
        Self::Swiglu {}
    }
}

/// Settings of a mixture of experts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoeConfig {
    /// Number of experts, each a SwiGLU network, from 1 to 4096.
    pub experts: usize,
    /// Who chooses.
    #[serde(default)]
    pub routing: Routing,
    /// Width of each expert; `d_ff` of the backbone if absent.
    #[serde(default)]
    pub d_ff: Option<usize>,
    /// Of `expert_choice`: how many experts take a row on average, above 0 and up to `experts`; 1 if absent, which has the
    /// FLOPs of one network.
    #[serde(default)]
    pub capacity: Option<f64>,
    /// Of `top_k`: how many experts a row chooses, from 1 to `experts`; 1 if absent.
    #[serde(default)]
    pub top_k: Option<usize>,
    /// Of `top_k`: whether the probabilities of the chosen experts are made to sum to 1 (ST-MoE, Mixtral) instead of weighing
    /// as they are (Switch); true if absent and `top_k` is above 1, and impossible with 1, where a row's weight would no
    /// longer depend on its router.
    #[serde(default)]
    pub normalize_gates: Option<bool>,
    /// Of `top_k`: weight of the loss that balances the experts' loads, from 0; 0.01 if absent (Switch).
    #[serde(default)]
    pub balance_loss: Option<f64>,
    /// Of `top_k`: over which rows the loads are balanced; `sequence` if absent.
    #[serde(default)]
    pub balance_over: Option<BalanceScope>,
    /// Weight of the router's z-loss, from 0, which keeps its logits small; if absent 0.001 with `top_k` (ST-MoE) and 0 with
    /// `expert_choice`.
    #[serde(default)]
    pub z_loss: Option<f64>,
}

/// Who chooses: experts their rows, or rows their experts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Routing {
    /// Every expert takes the rows of a sequence that its router gives the highest probability (2202.09368): perfectly
    /// balanced, but a row's experts depend on the rows after it, so text is predicted by a model that has seen the future: its
    /// text losses are too good, held-out ones too, and text that is written token by token is routed otherwise. Rows are ranked
    /// within their sequence and part.
    #[default]
    ExpertChoice,
    /// Every row goes to its most probable experts, and none is dropped (Switch, 2101.03961; MegaBlocks, 2211.15841).
    TopK,
}

/// Over which rows the loads of experts are balanced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BalanceScope {
    /// Over each sequence by itself (the sequence-wise loss of DeepSeek-V3, 2412.19437, equation 17).
    #[default]
    Sequence,
    /// Over all rows of an optimizer step (Switch; the global batch of 2501.11873): experts may specialise in sequences. Costs
    /// a second forward pass, which counts the loads before the first backward pass.
    Step,
}

impl FeedForwardConfig {
    /// The mixture of experts, if it is one.
    pub fn moe(&self) -> Option<&MoeConfig> {
        match self {
            Self::Swiglu {} => None,
            Self::Moe(moe) => Some(moe),
        }
    }

    /// Width of the network, or of each expert, in a backbone whose own is `d_ff`.
    pub fn width(&self, d_ff: usize) -> usize {
        self.moe().and_then(|moe| moe.d_ff).unwrap_or(d_ff)
    }

    /// How many numbers it stores, in a backbone of these widths: three matrices for each network, and the router's.
    pub fn parameters(&self, d_model: usize, d_ff: usize) -> usize {
        let network = 3 * d_model * self.width(d_ff);
        self.moe().map_or(network, |moe| moe.experts * (d_model + network))
    }

    /// How many of them a row meets, on average.
    pub fn activated(&self, d_model: usize, d_ff: usize) -> f64 {
        let network = (3 * d_model * self.width(d_ff)) as f64;
        self.moe().map_or(network, |moe| (moe.experts * d_model) as f64 + moe.networks_per_row() * network)
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, below `path`, what was expected and what was found.
    pub(crate) fn validate(&self, path: &str) -> Result<(), BackboneError> {
        self.moe().map_or(Ok(()), |moe| moe.validate(path))
    }
}

impl MoeConfig {
    /// How many experts take a row, on average.
    pub fn networks_per_row(&self) -> f64 {
        match self.routing {
            Routing::ExpertChoice => self.capacity(),
            Routing::TopK => self.top_k() as f64,
        }
    }

    /// How many experts take a row on average, where experts choose.
    pub fn capacity(&self) -> f64 {
        self.capacity.unwrap_or(1.0)
    }

    /// How many experts a row chooses.
    pub fn top_k(&self) -> usize {
        self.top_k.unwrap_or(1)
    }

    /// Whether the weights of a row's experts sum to 1.
    pub fn normalizes_gates(&self) -> bool {
        self.normalize_gates.unwrap_or(self.top_k() > 1)
    }

    /// Weight of the balance loss.
    pub fn balance_loss(&self) -> f64 {
        match self.routing {
            Routing::ExpertChoice => 0.0,
            Routing::TopK => self.balance_loss.unwrap_or(0.01),
        }
    }

    /// Over which rows loads are balanced.
    pub fn balance_over(&self) -> BalanceScope {
        self.balance_over.unwrap_or_default()
    }

    /// Weight of the router's z-loss.
    pub fn z_loss(&self) -> f64 {
        self.z_loss.unwrap_or(match self.routing {
            Routing::ExpertChoice => 0.0,
            Routing::TopK => 1e-3,
        })
    }

    fn validate(&self, path: &str) -> Result<(), BackboneError> {
        let fail = |key: &str, expected: String, found: String| {
            Err(BackboneError { key: format!("{path}.{key}"), expected, found })
        };
        if !(1..=MOST_EXPERTS).contains(&self.experts) {
            return fail("experts", format!("from 1 to {MOST_EXPERTS}"), self.experts.to_string());
        }
        if let Some((key, routing)) = self.foreign_key() {
            return fail(key, format!("only with routing = \"{routing}\""), "another routing".into());
        }
        if let Some(width) = self.d_ff.filter(|width| !(1..=1 << 20).contains(width)) {
            return fail("d_ff", format!("from 1 to {}", 1 << 20), width.to_string());
        }
        let capacity = self.capacity();
        if !(capacity > 0.0 && capacity <= self.experts as f64) {
            return fail("capacity", format!("above 0 and at most experts = {}", self.experts), capacity.to_string());
        }
        if !(1..=self.experts).contains(&self.top_k()) {
            return fail("top_k", format!("from 1 to experts = {}", self.experts), self.top_k().to_string());
        }
        if self.top_k() == 1 && self.normalizes_gates() {
            let expected = "false with top_k = 1, whose router would learn nothing of its row";
            return fail("normalize_gates", expected.into(), "true".into());
        }
        for (key, weight) in [("balance_loss", self.balance_loss()), ("z_loss", self.z_loss())] {
            if !(weight >= 0.0 && weight.is_finite()) {
                return fail(key, "a number from 0".into(), weight.to_string());
            }
        }
        Ok(())
    }

    /// A key that is there and belongs to the other routing, with the name of that routing.
    fn foreign_key(&self) -> Option<(&'static str, &'static str)> {
        let of_experts = [("capacity", self.capacity.is_some())];
        let of_rows = [
            ("top_k", self.top_k.is_some()),
            ("normalize_gates", self.normalize_gates.is_some()),
            ("balance_loss", self.balance_loss.is_some()),
            ("balance_over", self.balance_over.is_some()),
        ];
        let (keys, routing): (&[(&'static str, bool)], _) = match self.routing {
            Routing::ExpertChoice => (&of_rows, "top_k"),
            Routing::TopK => (&of_experts, "expert_choice"),
        };
        keys.iter().find(|(_, is_there)| *is_there).map(|&(key, _)| (key, routing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let config: FeedForwardConfig = toml::from_str(text).unwrap();
        config.validate("feed_forward").unwrap_err().to_string()
    }

    #[test]
    fn faults_name_the_key() {
        let moe = |rest: &str| refused(&format!("kind = 'moe'\n{rest}"));
        assert_eq!(moe("experts = 0"), "feed_forward.experts: expected from 1 to 4096, found 0");
        assert!(
            moe("experts = 4\ncapacity = 5.0")
                .contains("feed_forward.capacity: expected above 0 and at most experts = 4")
        );
        assert!(moe("experts = 4\ncapacity = nan").contains("found NaN"));
        let top_k = |rest: &str| moe(&format!("experts = 4\nrouting = 'top_k'\n{rest}"));
        assert!(top_k("top_k = 5").contains("feed_forward.top_k: expected from 1 to experts = 4, found 5"));
        assert!(top_k("top_k = 0").contains("feed_forward.top_k"));
        assert!(
            top_k("capacity = 1.0").contains("feed_forward.capacity: expected only with routing = \"expert_choice\"")
        );
        assert!(moe("experts = 4\nbalance_loss = 0.1").contains("feed_forward.balance_loss: expected only with"));
        assert!(
            top_k("balance_loss = -0.1").contains("feed_forward.balance_loss: expected a number from 0, found -0.1")
        );
        assert!(top_k("z_loss = inf").contains("feed_forward.z_loss"));
        assert!(
            top_k("normalize_gates = true").contains("feed_forward.normalize_gates: expected false with top_k = 1")
        );
        assert!(top_k("d_ff = 0").contains("feed_forward.d_ff: expected from 1"));
    }

    #[test]
    fn unknown_keys_and_kinds_are_refused() {
        for text in ["kind = 'swiglu'\nexperts = 4", "kind = 'moe'\nexperts = 4\ncapcity = 1.0", "kind = 'dense'"] {
            assert!(toml::from_str::<FeedForwardConfig>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn experts_are_stored_and_a_row_meets_some_of_them() {
        let config: FeedForwardConfig = toml::from_str("kind = 'moe'\nexperts = 4\ncapacity = 1.5\nd_ff = 10").unwrap();
        assert_eq!(config.parameters(8, 99), 4 * (8 + 3 * 8 * 10));
        assert_eq!(config.activated(8, 99), (4 * 8) as f64 + 1.5 * (3 * 8 * 10) as f64);
        assert_eq!(FeedForwardConfig::default().parameters(8, 99), 3 * 8 * 99);
    }
}
