//! The numbers of a run's configuration.

use std::path::Path;

use crate::error::{Result, SweepError};

/// What a law needs of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConfigNumbers {
    /// N.
    pub(super) params: f64,
    pub(super) seed: Option<u64>,
    pub(super) steps: Option<u64>,
    /// Names of the modalities.
    pub(super) lanes: Vec<String>,
}

impl ConfigNumbers {
    pub(super) fn of(path: &Path, table: &toml::Table) -> Result<Self> {
        let section = |name: &str| table.get(name).and_then(toml::Value::as_table);
        let model = section("model");
        let backbone = model.and_then(|model| model.get("backbone")).and_then(toml::Value::as_table);
        let wrong = |key: &str, expected: &str| {
            SweepError::value(format!("{}: {key}", path.display()), expected, "none that fits")
        };
        let backbone = backbone.ok_or_else(|| wrong("model.backbone", "a table"))?;
        let modalities = model.and_then(|model| model.get("modalities")).and_then(toml::Value::as_table);
        let lanes = modalities.map(|table| table.keys().cloned().collect()).unwrap_or_default();
        let number = |name: &str, key: &str| whole(section(name)?, key);
        Ok(Self {
            params: params(backbone, &wrong)?,
            seed: number("run", "seed").or(Some(0)),
            steps: number("train", "steps"),
            lanes,
        })
    }
}

/// L (2 d² + 2 d kv + 3 d f e), where e experts take a row, and the router's d E.
fn params(backbone: &toml::Table, wrong: &dyn Fn(&str, &str) -> SweepError) -> Result<f64> {
    let needed = |key: &str| {
        let found = whole(backbone, key).filter(|number| *number > 0);
        found.ok_or_else(|| wrong(&format!("model.backbone.{key}"), "a whole number from 1"))
    };
    let (width, layers, heads) = (needed("d_model")?, needed("n_layers")?, needed("n_heads")?);
    let d = width as f64;
    let shared = whole(backbone, "n_kv_heads").unwrap_or(heads);
    let kv = d * shared as f64 / heads as f64;
    let default = 256.0 * ((8.0 * d / 3.0).floor() / 256.0).ceil();
    let feed_forward = backbone.get("feed_forward").and_then(toml::Value::as_table);
    let of_experts = |key: &str| feed_forward.and_then(|table| number(table, key));
    let f = of_experts("d_ff").or_else(|| number(backbone, "d_ff")).unwrap_or(default);
    let experts = of_experts("experts").unwrap_or(0.0);
    let active = of_experts("capacity").or_else(|| of_experts("top_k")).unwrap_or(1.0);
    Ok(layers as f64 * (2.0 * d * d + 2.0 * d * kv + 3.0 * d * f * active + d * experts))
}

fn whole(table: &toml::Table, key: &str) -> Option<u64> {
    table.get(key)?.as_integer().and_then(|number| u64::try_from(number).ok())
}

fn number(table: &toml::Table, key: &str) -> Option<f64> {
    let value = table.get(key)?;
    value.as_float().or_else(|| value.as_integer().map(|number| number as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params_of(backbone: &str) -> Result<f64> {
        let text = format!("[model.backbone]\n{backbone}\n[model.modalities.text]\n[train]\nsteps = 7\n");
        ConfigNumbers::of(Path::new("config.toml"), &toml::from_str(&text).unwrap()).map(|config| config.params)
    }

    #[test]
    fn parameters_are_those_that_a_row_meets() {
        let dense = "d_model = 256\nn_layers = 6\nn_heads = 4\n";
        assert_eq!(params_of(&format!("{dense}d_ff = 684")).unwrap(), 6.0 * (4.0 * 65_536.0 + 3.0 * 256.0 * 684.0));
        // Llama's width: ⌊8/3 · 256⌋ = 682 to 768.
        assert_eq!(params_of(dense).unwrap(), 6.0 * (4.0 * 65_536.0 + 3.0 * 256.0 * 768.0));
        assert_eq!(params_of(&format!("{dense}n_kv_heads = 1\nd_ff = 8")).unwrap(), 6.0 * (2.5 * 65_536.0 + 6144.0));
        let experts = "d_ff = 8\nfeed_forward = { kind = \"moe\", experts = 4, top_k = 2, routing = \"top_k\" }";
        assert_eq!(params_of(&format!("{dense}{experts}")).unwrap(), 6.0 * (4.0 * 65_536.0 + 2.0 * 6144.0 + 1024.0));
    }

    #[test]
    fn what_is_missing_is_named() {
        let message = params_of("d_model = 256\nn_heads = 4").unwrap_err().to_string();
        assert!(message.contains("config.toml: model.backbone.n_layers"), "{message}");
        assert!(params_of("d_model = 0\nn_layers = 1\nn_heads = 4").is_err());
        assert!(params_of("d_model = 8\nn_layers = -1\nn_heads = 4").is_err());
    }
}
