//! What the user types to run a paper's comparison again.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use interfuse_run::reproduction::mot;
use interfuse_run::reproduction::scaling::Modalities;
use interfuse_sweep::{Job, SweepOptions};

use super::plan::MachineArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum ReproduceCommand {
    /// Mixture-of-Transformers against the dense model (2411.04996)
    Mot(MotArgs),
    /// Scaling laws of mixed-modal models: a sweep, its fits and their pages (2301.03728)
    Scaling(ReproduceScalingArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReproduceScalingArgs {
    /// The sweep of image codes, by themselves, with captions and with text, in place of that of code and speech
    #[arg(long)]
    pub(crate) images: bool,
    /// Folder of everything that it makes; runs/scaling, or of images runs/scaling-images, if absent
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Runs at once
    #[arg(long, default_value_t = 2)]
    pub(crate) at_once: usize,
    /// Which part of the runs, where jobs of a scheduler share them, such as 1/8; fits nothing
    #[arg(long, value_name = "K/N")]
    pub(crate) job: Option<Job>,
    /// Only print the commands of the runs that are left
    #[arg(long)]
    pub(crate) list: bool,
}

impl ReproduceScalingArgs {
    pub(crate) fn modalities(&self) -> Modalities {
        if self.images { Modalities::Images } else { Modalities::CodeAndSpeech }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        let usual = if self.images { "runs/scaling-images" } else { "runs/scaling" };
        self.out.clone().unwrap_or_else(|| usual.into())
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct MotArgs {
    /// What is learned and how
    #[arg(long, value_enum)]
    pub(crate) setting: SettingArg,
    /// How large the models are: laptop, or a size of the paper such as 163m, whose data must be named by --set
    #[arg(long, default_value = "laptop")]
    pub(crate) scale: String,
    /// Seeds of the main models; 3 of those of a laptop and 1 of the paper's if absent
    #[arg(long)]
    pub(crate) seeds: Option<u64>,
    /// Only these models, such as --only dense,mot
    #[arg(long, value_delimiter = ',', value_name = "MODEL")]
    pub(crate) only: Vec<String>,
    /// Folder of all runs; runs/mot-SETTING, and of a size of the paper runs/mot-SETTING-SCALE, if absent
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Runs at once, each a process of its own
    #[arg(long, visible_alias = "parallel", default_value_t = 1)]
    pub(crate) at_once: usize,
    /// Threads of all runs together; as many as there are cores if absent
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Only say which runs there are and which are finished, and what those of a size of the paper cost
    #[arg(long)]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) machines: MachineArgs,
    /// Change a key of every run, such as --set train.steps=500; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

/// A setting, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SettingArg {
    /// Text by next-token prediction, images by denoising
    Transfusion,
    /// Text and the codes of images by next-token prediction
    Chameleon,
    /// Text, the codes of images and units of speech by next-token prediction
    Speech,
}

impl MotArgs {
    /// How many runs at once, and their threads; nothing where this process trains them itself.
    pub(crate) fn side_by_side(&self) -> Option<SweepOptions> {
        let options = SweepOptions { at_once: self.at_once, threads: self.threads, ..SweepOptions::default() };
        (self.at_once != 1 || self.threads.is_some()).then_some(options)
    }

    pub(crate) fn options(&self) -> anyhow::Result<mot::MotOptions> {
        let setting = match self.setting {
            SettingArg::Transfusion => mot::Setting::Transfusion,
            SettingArg::Chameleon => mot::Setting::Chameleon,
            SettingArg::Speech => mot::Setting::Speech,
        };
        let scale = mot::Scale::named(setting, &self.scale)?;
        let (size, seeds) = match scale {
            mot::Scale::Laptop => (String::new(), 3),
            mot::Scale::Paper(size) => (format!("-{}", size.name), 1),
        };
        let usual = || PathBuf::from(format!("runs/mot-{}{size}", setting.name()));
        Ok(mot::MotOptions {
            setting,
            scale,
            seeds: self.seeds.unwrap_or(seeds),
            only: self.only.clone(),
            folder: self.out.clone().unwrap_or_else(usual),
            overrides: self.overrides.clone(),
        })
    }
}
