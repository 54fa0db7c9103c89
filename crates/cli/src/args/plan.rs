//! What the user types to see what a paper's model would cost.

use clap::ValueEnum;
use interfuse_run::cost::Machines;
use interfuse_transfusion::sizes::{Architecture, PaperSetting};

#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// The setting of Mixture-of-Transformers
    #[arg(long, value_enum, default_value = "transfusion")]
    setting: PaperSettingArg,
    /// How the weights are kept apart
    #[arg(long, value_enum, default_value = "mot")]
    architecture: ArchitectureArg,
    #[command(flatten)]
    machines: MachineArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a model is trained on.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct MachineArgs {
    /// How many GPUs hours and days are predicted for
    #[arg(long, default_value_t = 8)]
    gpus: usize,
    /// Operations that one can do in a second, in 10^12
    #[arg(long, default_value_t = 989.0)]
    tflops: f64,
    /// What fraction of them it does, as measured
    #[arg(long, default_value_t = 0.4)]
    utilisation: f64,
}

impl MachineArgs {
    pub(crate) fn machines(&self) -> Machines {
        Machines { gpus: self.gpus, tflops: self.tflops, utilisation: self.utilisation }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PaperSettingArg {
    /// Images are denoised
    Transfusion,
    /// Images are codes
    Chameleon,
    /// Images and speech are codes
    Speech,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ArchitectureArg {
    /// All weights shared
    Dense,
    /// All weights kept apart by modality
    Mot,
    /// Shared, with four experts as the feed-forward
    #[value(name = "moe-4x")]
    Moe4x,
}

impl PlanArgs {
    pub(crate) fn setting(&self) -> PaperSetting {
        match self.setting {
            PaperSettingArg::Transfusion => PaperSetting::Transfusion,
            PaperSettingArg::Chameleon => PaperSetting::Chameleon,
            PaperSettingArg::Speech => PaperSetting::Speech,
        }
    }

    pub(crate) fn architecture(&self) -> Architecture {
        match self.architecture {
            ArchitectureArg::Dense => Architecture::Dense,
            ArchitectureArg::Mot => Architecture::Mot,
            ArchitectureArg::Moe4x => Architecture::Moe4x,
        }
    }

    pub(crate) fn machines(&self) -> Machines {
        self.machines.machines()
    }
}
