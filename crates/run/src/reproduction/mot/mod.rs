//! Mixture-of-Transformers (Liang et al., 2411.04996): with what fraction of the dense model's FLOPs does a model reach its
//! losses whose weights are kept apart by modality?
//!
//! | setting | text | images | the paper's section |
//! |---|---|---|---|
//! | transfusion | next token | denoised | 3.1, appendix A.2 |
//! | chameleon | next token | codes, next token | 3.2 |
//! | speech | next token | codes, next token; and units of speech, next token | 3.3 |
//!
//! The models are as large as a laptop trains in an hour or so, or of the paper's own sizes ([`Scale`]).
//!
//! All models of a setting have one configuration but for the keys of [`Variant::overrides`], the seed and the folder; they take
//! the same steps on the same documents, and a step of each takes the same FLOPs.

mod scale;

use std::path::{Path, PathBuf};

use interfuse_data::mixture::ContentConfig;

use super::{Plan, PlannedRun, UnitsPlan, codes};
use crate::comparison::{Comparison, ComparisonSettings, Paper, compare};
use crate::configuration::quoted;
use crate::error::Result;
use crate::settings::Settings;

pub use self::scale::{Scale, cost};

/// What is learned and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Images are denoised.
    Transfusion,
    /// Images are codes that are learned as words are.
    Chameleon,
    /// As in Chameleon, with units of speech as a third modality.
    Speech,
}

/// A model of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// What its runs are called.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// The keys in which it differs from the others.
    pub overrides: Vec<String>,
    /// Whether it is trained with every seed; otherwise with the first alone.
    pub every_seed: bool,
}

/// What a reproduction is made of.
#[derive(Debug, Clone)]
pub struct MotOptions {
    /// What is learned and how.
    pub setting: Setting,
    /// How large its models are.
    pub scale: Scale,
    /// How many seeds the main models are trained with, from 1.
    pub seeds: u64,
    /// The models that are trained; all if empty.
    pub only: Vec<String>,
    /// The folder of all runs.
    pub folder: PathBuf,
    /// Changes to the configuration of every run.
    pub overrides: Vec<String>,
}

/// MoE-4x of the paper (section 3.1): expert choice at the FLOPs of the dense model.
const FOUR_EXPERTS: &str = "model.backbone.feed_forward={ kind = \"moe\", experts = 4, routing = \"expert_choice\" }";
/// The hybrid of the paper's section 5.
const FOUR_EXPERTS_FOR_TEXT: &str =
    "model.backbone.parts={ text = { feed_forward = { kind = \"moe\", experts = 4, routing = \"expert_choice\" } } }";

impl Setting {
    /// All settings.
    pub const ALL: [Self; 3] = [Self::Transfusion, Self::Chameleon, Self::Speech];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transfusion => "transfusion",
            Self::Chameleon => "chameleon",
            Self::Speech => "speech",
        }
    }

    /// All modalities on one part, and each on its own.
    fn partitions(self) -> [&'static str; 2] {
        match self {
            Self::Transfusion | Self::Chameleon => {
                ["model.partition=[[\"text\", \"image\"]]", "model.partition=[[\"text\"], [\"image\"]]"]
            }
            Self::Speech => [
                "model.partition=[[\"text\", \"image\", \"speech\"]]",
                "model.partition=[[\"text\"], [\"image\"], [\"speech\"]]",
            ],
        }
    }

    /// The models that are compared, the dense one first.
    pub fn variants(self) -> Vec<Variant> {
        let variant = |name, what, every_seed, overrides: &[&str]| Variant {
            name,
            what,
            overrides: overrides.iter().map(|each| each.to_string()).collect(),
            every_seed,
        };
        let [together, apart] = self.partitions();
        let mut variants = vec![
            variant("dense", "all weights shared", true, &[together]),
            variant("mot", "all weights kept apart by modality", true, &[apart]),
            variant("moe-4x", "dense, four experts that choose as the feed-forward", false, &[together, FOUR_EXPERTS]),
            variant(
                "hybrid",
                "all weights kept apart, and four experts for text",
                false,
                &[apart, FOUR_EXPERTS_FOR_TEXT],
            ),
            variant("untied-ffn", "feed-forwards kept apart", false, &[apart, "model.backbone.untie=[\"ffn\"]"]),
            variant(
                "untied-ffn-qkvo",
                "all but norms kept apart",
                false,
                &[apart, "model.backbone.untie=[\"ffn\", \"qkv\", \"o\"]"],
            ),
        ];
        if self == Self::Speech {
            // The paper's leave-one-out (section 3.4): two parts, one of them for one modality alone.
            let alone = [
                (
                    "image-alone",
                    "images kept apart from the others",
                    "model.partition=[[\"image\"], [\"text\", \"speech\"]]",
                ),
                (
                    "text-alone",
                    "text kept apart from the others",
                    "model.partition=[[\"text\"], [\"image\", \"speech\"]]",
                ),
                (
                    "speech-alone",
                    "speech kept apart from the others",
                    "model.partition=[[\"speech\"], [\"text\", \"image\"]]",
                ),
            ];
            variants.extend(alone.map(|(name, what, partition)| variant(name, what, false, &[partition])));
        }
        variants
    }
}

/// Plans the runs of a setting.
///
/// # Errors
/// When there is no seed or no such model, or an override does not fit the configuration; names it.
pub fn plan(options: &MotOptions) -> Result<Plan> {
    let MotOptions { setting, scale, seeds, only, folder, overrides } = options;
    let variants = setting.variants();
    let names: Vec<&str> = variants.iter().map(|variant| variant.name).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) {
        crate::error::refuse!("--only: expected one of {}, found `{unknown}`", names.join(", "));
    }
    crate::error::require!(*seeds > 0, "--seeds: expected at least 1, found 0");
    // At the paper's sizes autoencoder and units are the user's, as the data is.
    let is_whole = *scale == Scale::Laptop;
    let autoencoder = match setting {
        Setting::Chameleon | Setting::Speech if is_whole => Some(codes::settings(&folder.join("autoencoder"))?),
        _ => None,
    };
    let mut units = None;
    let wanted = variants.iter().filter(|variant| only.is_empty() || only.iter().any(|name| name == variant.name));
    let mut runs = vec![];
    for variant in wanted {
        for seed in 0..if variant.every_seed { *seeds } else { 1 } {
            let dir = folder.join(format!("{}-seed{seed}", variant.name));
            let mut changes = [scale.overrides(), variant.overrides.clone()].concat();
            changes.push(format!("run.dir={}", quoted(dir.display())));
            changes.push(format!("run.seed={seed}"));
            if let Some(autoencoder) = &autoencoder {
                changes.push(format!("codec.path={}", quoted(autoencoder.run.dir.join("vae").display())));
            }
            changes.extend(overrides.iter().cloned());
            let origin = format!("the {} setting's configuration", setting.name());
            let mut settings = Settings::parse(scale.configuration(*setting), Path::new(&origin), &changes)?;
            if is_whole {
                units = place_units(&mut settings, folder).or(units);
            }
            runs.push(PlannedRun { variant: variant.name.into(), seed, settings });
        }
    }
    // Every model with the first seed comes before any with the second, so that what is interrupted can be compared.
    runs.sort_by_key(|run: &PlannedRun| run.seed);
    Ok(Plan { missing: scale.missing(*setting, overrides), autoencoder, units, runs })
}

/// Lets speech have its codec and its units below `folder`, and says how they are made.
fn place_units(settings: &mut Settings, folder: &Path) -> Option<UnitsPlan> {
    let speech = settings.data.mixture.iter_mut().find_map(|part| match &mut part.content {
        ContentConfig::Speech(speech) => Some(speech),
        ContentConfig::Images | ContentConfig::Texts(_) | ContentConfig::Conversations(_) => None,
    })?;
    let units = UnitsPlan::below(folder, speech.clips.clone()?, speech.held_out);
    (speech.units, speech.unit_file) = (Some(units.codec.clone()), Some(units.file.clone()));
    Some(units)
}

/// The models of a plan beside the dense one, and the slopes of the paper's model of their size or of its smallest; `None` where there is but one model.
///
/// # Errors
/// When a run is not there, or has no held-out losses.
pub fn compared(options: &MotOptions, plan: &Plan) -> Result<Option<Comparison>> {
    let mut folders: Vec<(&str, PathBuf)> = plan.runs.iter().map(|run| (&*run.variant, run.folder().into())).collect();
    folders.sort_by_key(|(variant, _)| *variant != "dense");
    if folders.iter().all(|(variant, _)| *variant == folders[0].0) {
        return Ok(None);
    }
    let smallest = match options.setting {
        Setting::Transfusion => "transfusion-163m",
        Setting::Chameleon => "chameleon-37m",
        Setting::Speech => "speech-443m",
    };
    // Of some sizes the paper shows no slopes.
    let own = Paper::named(&format!("{}-{}", options.setting.name(), options.scale.name()));
    let paper = own.or_else(|_| Paper::named(smallest))?;
    let settings = ComparisonSettings { paper: Some(paper), ..ComparisonSettings::default() };
    let folders: Vec<PathBuf> = folders.into_iter().map(|(_, folder)| folder).collect();
    compare(&folders, settings).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(setting: Setting) -> MotOptions {
        let scale = Scale::Laptop;
        MotOptions { setting, scale, seeds: 2, only: vec![], folder: "some where".into(), overrides: vec![] }
    }

    #[test]
    fn models_differ_in_their_keys_seed_and_folder_alone() {
        for setting in Setting::ALL {
            let runs = plan(&options(setting)).unwrap().runs;
            let variants = setting.variants();
            let expected: usize = variants.iter().map(|variant| if variant.every_seed { 2 } else { 1 }).sum();
            assert_eq!(runs.len(), expected);
            let first = &runs[0];
            for run in &runs {
                let mut settings = run.settings.clone();
                assert_eq!(settings.run.dir, Path::new("some where").join(format!("{}-seed{}", run.variant, run.seed)));
                settings.run = first.settings.run.clone();
                let changes = crate::configuration::changes(&first.settings, &settings).unwrap();
                let variant = variants.iter().find(|variant| variant.name == run.variant).unwrap();
                for change in &changes {
                    let key = |each: &String| each.split('=').next().unwrap_or_default().to_string();
                    let known = variant.overrides.iter().any(|each| change.contains(&key(each)));
                    assert!(known, "{}: {change}", run.variant);
                }
                assert_eq!(changes.is_empty(), run.variant == "dense", "{}: {changes:?}", run.variant);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |change: &dyn Fn(&mut MotOptions)| {
            let mut options = options(Setting::Chameleon);
            change(&mut options);
            plan(&options).unwrap_err().to_string()
        };
        assert!(refused(&|options| options.seeds = 0).contains("--seeds"));
        assert!(refused(&|options| options.only = vec!["mott".into()]).contains("expected one of dense, mot,"));
        let message = refused(&|options| options.overrides = vec!["train.stepz=3".into()]);
        assert!(message.contains("train.stepz") && message.contains("steps"), "{message}");
    }
}
