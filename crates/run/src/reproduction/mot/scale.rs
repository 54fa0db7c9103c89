//! At which size a setting is trained: that of a laptop, whose data the program makes itself, or one of the paper's, whose data
//! must be named.

use interfuse_transfusion::sizes::{Architecture, PaperSetting, PaperSize};

use super::Setting;
use crate::cost::{Cost, Machines, Work};
use crate::error::{Result, refuse};
use crate::reproduction::PlannedRun;

/// What the size of a laptop is called.
const LAPTOP: &str = "laptop";

/// The size of all models of a reproduction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Two million parameters or so, on what the program makes.
    Laptop,
    /// A size of the paper, on data that is named.
    Paper(PaperSize),
}

impl Scale {
    /// The size of a setting by its name: `laptop`, or what the paper calls it.
    ///
    /// # Errors
    /// The setting has no such size; says which it has.
    pub fn named(setting: Setting, name: &str) -> Result<Self> {
        let sizes = setting.in_paper().sizes();
        if name == LAPTOP {
            return Ok(Self::Laptop);
        }
        let Some(size) = sizes.iter().find(|size| size.name == name) else {
            let names: Vec<&str> = [LAPTOP].into_iter().chain(sizes.iter().map(|size| size.name)).collect();
            refuse!("--scale: expected one of {} in the {} setting, found `{name}`", names.join(", "), setting.name());
        };
        Ok(Self::Paper(*size))
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Laptop => LAPTOP,
            Self::Paper(size) => size.name,
        }
    }

    /// The configuration that all models of a setting have in common at this size.
    pub(super) fn configuration(&self, setting: Setting) -> &'static str {
        match (self, setting) {
            (Self::Laptop, Setting::Transfusion) => include_str!("transfusion.toml"),
            (Self::Laptop, Setting::Chameleon) => include_str!("chameleon.toml"),
            (Self::Laptop, Setting::Speech) => include_str!("speech.toml"),
            (Self::Paper(_), Setting::Transfusion) => include_str!("paper_transfusion.toml"),
            (Self::Paper(_), Setting::Chameleon) => include_str!("paper_chameleon.toml"),
            (Self::Paper(_), Setting::Speech) => include_str!("paper_speech.toml"),
        }
    }

    /// The keys in which sizes differ.
    pub(super) fn overrides(&self) -> Vec<String> {
        let Self::Paper(size) = self else { return vec![] };
        vec![
            format!("model.backbone.d_model={}", size.d_model),
            format!("model.backbone.n_layers={}", size.n_layers),
            format!("model.backbone.n_heads={}", size.n_heads),
            format!("train.gradient_accumulation={}", size.sequences),
            format!("train.steps={}", size.steps),
        ]
    }

    /// What a person must name before anything can be trained, and has not; `None` where nothing is missing.
    pub(super) fn missing(&self, setting: Setting, overrides: &[String]) -> Option<String> {
        let Self::Paper(size) = self else { return None };
        let is_named = |table: &str| {
            let keys = overrides.iter().map(|change| change.split('=').next().unwrap_or_default().trim());
            keys.into_iter()
                .any(|key| key == table || key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.')))
        };
        let mut wanted = vec![
            ("data.source", "the captioned images, such as --set 'data.source={ kind = \"folder\", path = \"DATA\" }'"),
            ("codec", "the autoencoder, such as --set codec.path=FOLDER, of `interfuse vae train` or `vae import`"),
        ];
        if setting == Setting::Speech {
            wanted.push(("data.mixture", "the collections, among them one of kind `speech` with its units"));
        }
        let missing: Vec<String> = wanted
            .into_iter()
            .filter(|(table, _)| !is_named(table))
            .map(|(table, what)| format!("`{table}`: {what}"))
            .collect();
        (!missing.is_empty())
            .then(|| format!("--scale {}: expected data to be named. {}", size.name, missing.join("; ")))
    }
}

impl Setting {
    /// The setting as the sizes of the paper know it.
    pub(super) fn in_paper(self) -> PaperSetting {
        match self {
            Self::Transfusion => PaperSetting::Transfusion,
            Self::Chameleon => PaperSetting::Chameleon,
            Self::Speech => PaperSetting::Speech,
        }
    }
}

/// What training one run of a size of the paper costs; `None` at the size of a laptop.
///
/// # Errors
/// When a number of the machines is out of its range.
pub fn cost(scale: Scale, setting: Setting, run: &PlannedRun, machines: Machines) -> Result<Option<Cost>> {
    let Scale::Paper(size) = scale else { return Ok(None) };
    let (settings, train) = (&run.settings.model, &run.settings.train);
    // The paper's vocabulary and latents; all else is what the run says.
    let mut model = size.model(setting.in_paper(), Architecture::Dense);
    model.partition.clone_from(&settings.partition);
    model.backbone = settings.backbone.clone();
    let rows = train.row_shape.as_ref().map_or(0, |shape| shape.capacity.iter().sum());
    let work =
        Work { rows_per_step: train.sequences() * train.gradient_accumulation * rows, steps: train.steps as usize };
    Cost::of_model(size.name, &model, work, machines).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduction::mot::{MotOptions, plan};

    const MACHINES: Machines = Machines { gpus: 8, tflops: 989.0, utilisation: 0.4 };

    fn options(setting: Setting, scale: &str, overrides: &[&str]) -> MotOptions {
        let overrides = overrides.iter().map(|change| change.to_string()).collect();
        let scale = Scale::named(setting, scale).unwrap();
        MotOptions { setting, scale, seeds: 1, only: vec![], folder: "here".into(), overrides }
    }

    #[test]
    fn every_size_of_the_paper_is_planned_and_costs_what_the_paper_says() {
        for setting in Setting::ALL {
            for size in setting.in_paper().sizes() {
                let options = options(setting, size.name, &[]);
                let plan = plan(&options).unwrap();
                assert!(plan.autoencoder.is_none() && plan.units.is_none());
                let dense = &plan.runs[0];
                let found = cost(options.scale, setting, dense, MACHINES).unwrap().unwrap();
                let expected = Cost::of(size, setting.in_paper(), Architecture::Dense, MACHINES).unwrap();
                let backbone = &dense.settings.model.backbone;
                // The paper's parameters are counted without the norms of queries and keys.
                let norms = if backbone.qk_norm { 2 * backbone.head_dim() * backbone.n_layers } else { 0 };
                let what = format!("{} {}", setting.name(), size.name);
                assert_eq!(found.stored_backbone, expected.stored_backbone + norms, "{what}");
                assert_eq!((found.flops, found.days), (expected.flops, expected.days), "{what}");
                assert_eq!((found.rows_per_step, found.steps), (expected.rows_per_step, expected.steps), "{what}");
                let mot = cost(options.scale, setting, &plan.runs[1], MACHINES).unwrap().unwrap();
                assert_eq!((mot.flops, mot.activated_backbone), (found.flops, found.activated_backbone));
                assert!(mot.stored_backbone > expected.stored_backbone);
                assert_eq!(
                    (backbone.d_model, backbone.n_layers, backbone.n_heads),
                    (size.d_model, size.n_layers, size.n_heads)
                );
            }
        }
    }

    #[test]
    fn data_must_be_named_and_a_size_must_be_there() {
        let missing = |setting, changes: &[&str]| plan(&options(setting, "7b", changes)).unwrap().missing;
        let nothing = missing(Setting::Speech, &[]).unwrap();
        for word in ["--scale 7b", "`data.source`", "`codec`", "`data.mixture`", "interfuse vae train"] {
            assert!(nothing.contains(word), "{word} is not in: {nothing}");
        }
        let source = "data.source={ kind = \"folder\", path = \"images\" }";
        let half = missing(Setting::Chameleon, &[source]).unwrap();
        assert!(half.contains("`codec`") && !half.contains("data.source") && !half.contains("data.mixture"), "{half}");
        assert_eq!(missing(Setting::Chameleon, &[source, "codec.path=vae"]), None);
        assert_eq!(plan(&options(Setting::Transfusion, "laptop", &[])).unwrap().missing, None);

        let message = Scale::named(Setting::Transfusion, "37m").unwrap_err().to_string();
        assert!(message.contains("one of laptop, 163m, 760m, 1.4b, 7b") && message.contains("`37m`"), "{message}");
    }
}
