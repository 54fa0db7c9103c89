//! What the user types.

mod answer;
mod compare;
mod conversation;
mod gallery;
mod infill;
mod init;
mod metrics;
mod plan;
mod reproduce;
mod sampling;
mod scaling;
#[cfg(feature = "serve")]
mod serve;
mod speech;
mod sweep;
mod vae;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use interfuse_data::Split;
use interfuse_data::latents::Part;
use interfuse_parameters::Precision;
use interfuse_run::LoadedRun;

pub(crate) use self::answer::AnswerArgs;
pub(crate) use self::compare::CompareArgs;
pub(crate) use self::conversation::{AskArgs, EditArgs};
pub(crate) use self::gallery::GalleryArgs;
pub(crate) use self::infill::InfillArgs;
pub(crate) use self::init::InitArgs;
pub(crate) use self::metrics::{ClipScoreArgs, DistanceArgs, FeaturesArgs, FidArgs, PublishedArgs};
pub(crate) use self::plan::PlanArgs;
pub(crate) use self::reproduce::{MotArgs, ReproduceCommand, ReproduceScalingArgs};
pub(crate) use self::sampling::SamplingArgs;
pub(crate) use self::scaling::{BarrierArgs, FitArgs, PlotArgs, PredictArgs, ScalingCommand};
#[cfg(feature = "serve")]
pub(crate) use self::serve::ServeArgs;
pub(crate) use self::speech::{
    Counted, ErrorRateArgs, SpeakArgs, SpeechCommand, TranscribeArgs, UnitsCommand, UnitsDecodeArgs, UnitsEncodeArgs,
    UnitsTrainArgs,
};
pub(crate) use self::sweep::{BatchArgs, CalibrateArgs, ModalitiesArgs, PhenomenaArgs, SweepArgs, SweepPlanArgs};
pub(crate) use self::vae::{VaeArgs, VaeCommand, VaeFilesArgs, VaeImportArgs, VaeReconstructArgs};

/// Trains one model that writes and draws.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub(crate) struct Args {
    /// Also say what goes on inside
    #[arg(long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    pub(crate) fn log_level(&self) -> tracing::Level {
        if self.verbose { tracing::Level::DEBUG } else { tracing::Level::WARN }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a configuration that fits images, minutes and this machine
    Init(InitArgs),
    /// Train a model as a configuration says
    Train(TrainArgs),
    /// Draw images of prompts; without a prompt the model writes and draws by itself
    Sample(SampleArgs),
    /// Fill in the masks of a text
    Infill(InfillArgs),
    /// Say what is on images
    Caption(CaptionArgs),
    /// Make of an image what words ask for
    Edit(EditArgs),
    /// Answer a question about an image
    Ask(AskArgs),
    /// Write the text part as a folder that transformers opens
    Export(ExportArgs),
    /// Serve a page to play with, and an interface in OpenAI's form
    #[cfg(feature = "serve")]
    Serve(ServeArgs),
    /// Say words, or go on with speech
    Speak(SpeakArgs),
    /// Write what is said in clips
    Transcribe(TranscribeArgs),
    /// Measure a trained model
    Evaluate(EvaluateArgs),
    /// Compare runs: with which fraction of the steps does one reach the losses of another?
    Compare(CompareArgs),
    /// Write a page of what runs make: images, numbers, minutes
    Gallery(GalleryArgs),
    /// Show what a configuration makes: parameters, FLOPs per token, memory, the mask
    Inspect(InspectArgs),
    /// Measure how far two sets of images are apart
    Fid(FidArgs),
    /// Write the features of images
    Features(FeaturesArgs),
    /// Measure how well images fit their captions
    ClipScore(ClipScoreArgs),
    /// Look at data, or write it out
    #[command(subcommand)]
    Data(DataCommand),
    /// Train an autoencoder, bring a known one along, or use one on files
    #[command(subcommand)]
    Vae(VaeCommand),
    /// Make units of speech and sound of units, or compare transcripts
    #[command(subcommand)]
    Speech(SpeechCommand),
    /// Fit laws of scaling to a table of runs, and predict by them
    #[command(subcommand)]
    Scaling(ScalingCommand),
    /// Show what the models of Mixture-of-Transformers cost to train
    Plan(PlanArgs),
    /// Run a paper's comparison again
    #[command(subcommand)]
    Reproduce(ReproduceCommand),
    /// Measure how fast this machine is
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Print what a shell completes commands and options by
    Completions(CompletionsArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Time whole training steps
    Step(BenchStepArgs),
    /// Time denoise steps against a cached prompt, and the forward pass that they replace
    Denoise(BenchArgs),
    /// Hold a device against the CPU: losses and gradients of a small model, and the speed of its matrix products, as JSON
    Device(DeviceArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct DeviceArgs {
    /// auto, cpu, wgpu, wgpu:N, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    /// Only one part of it
    #[arg(long, value_enum)]
    pub(crate) only: Option<DevicePart>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DevicePart {
    /// Losses and gradients against the CPU's
    Parity,
    /// The speed of matrix products
    Products,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Configuration to measure; configs/yardstick.toml, which needs no data, if absent
    pub(crate) config: Option<PathBuf>,
    /// Steps that are timed
    #[arg(long, default_value_t = 10)]
    pub(crate) steps: u64,
    /// Steps before them, which are not
    #[arg(long, default_value_t = 3)]
    pub(crate) warmup: u64,
    /// Change a key, such as --set model.backbone.d_model=512; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BenchStepArgs {
    #[command(flatten)]
    pub(crate) bench: BenchArgs,
    /// Also say how long each operation takes on the CPU, or each kernel on a GPU, in as many steps again, whose micro-batches
    /// are computed in turn
    #[arg(long)]
    pub(crate) by_operation: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DataCommand {
    /// Counts, sizes, caption lengths, how full the rows are, and a contact sheet
    Inspect(DataInspectArgs),
    /// Write images and captions as a Hugging Face imagefolder
    Export(DataExportArgs),
    /// Write the latents of all training images into the cache that the configuration names
    Encode(DataEncodeArgs),
}

/// `24` or `24GiB`
fn gib(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches("GiB").trim().parse::<f64>();
    match number.ok().filter(|gib| *gib > 0.0 && gib.is_finite()) {
        Some(gib) => Ok(gib),
        None => Err(format!("expected a number of GiB above 0, such as 24GiB, found `{text}`")),
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Memory of a GPU, such as 24GiB, for which the largest batch is said; of 16, 24, 40 and 80 GiB if absent
    #[arg(long, value_name = "GIB", value_parser = gib)]
    pub(crate) memory: Option<f64>,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// A configuration and changes to it.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    /// Configuration, such as configs/quickstart.toml
    pub(crate) config: PathBuf,
    /// Change a key, such as --set train.steps=100; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Go on from the latest checkpoint of the run folder
    #[arg(long)]
    pub(crate) resume: bool,
}

/// Which model, and where it computes.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelArgs {
    /// Run folder, or one of its checkpoints
    pub(crate) run: PathBuf,
    /// auto, cpu, wgpu, wgpu:N, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    /// Use the weights as they are instead of their moving average
    #[arg(long)]
    pub(crate) raw_weights: bool,
}

impl ModelArgs {
    /// The model with its place and settings.
    pub(crate) fn open(&self) -> anyhow::Result<LoadedRun> {
        Ok(LoadedRun::open(&self.run, !self.raw_weights, &self.device)?)
    }
}

/// `64x48` is 64 pixels high and 48 wide, as `data.image_size` has it.
fn image_size(text: &str) -> Result<[usize; 2], String> {
    let sides = text.split_once(['x', 'X', '×']);
    let sides = sides.and_then(|(height, width)| Some([height.trim().parse().ok()?, width.trim().parse().ok()?]));
    sides.ok_or_else(|| "expected a height and a width in pixels, such as 64x48".into())
}

#[derive(Debug, clap::Args)]
pub(crate) struct SampleArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// What to draw
    pub(crate) prompts: Vec<String>,
    /// Images of each prompt
    #[arg(long, default_value_t = 4)]
    pub(crate) count: usize,
    /// Seed of the first image of each prompt; the next has the next
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Height and width in pixels, such as 64x48; the model's own if absent
    #[arg(long, value_name = "HEIGHTxWIDTH", value_parser = image_size)]
    pub(crate) size: Option<[usize; 2]>,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    /// Draw the prompts of a JSON lines file into the folders that GenEval's scorer reads, instead of PROMPTS
    #[arg(long, value_name = "FILE", conflicts_with = "prompts")]
    pub(crate) geneval: Option<PathBuf>,
    /// Folder to write to; samples/ of the run folder if absent
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Folder to write, which must not exist or be empty
    pub(crate) out: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CaptionArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Images to caption: jpg, png or webp
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EvaluateArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Images to draw; of a set with classes, as many of each
    #[arg(long, default_value_t = 1000)]
    pub(crate) count: usize,
    /// Seed of the first image
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    #[command(flatten)]
    pub(crate) networks: PublishedArgs,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DataInspectArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Where to write the contact sheet
    #[arg(long, default_value = "contact-sheet.png")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DataExportArgs {
    /// Configuration, such as configs/quickstart.toml
    pub(crate) config: PathBuf,
    /// Folder to write to; empty or not there yet
    pub(crate) folder: PathBuf,
    /// Which part
    #[arg(long, value_enum, default_value = "train")]
    pub(crate) split: SplitName,
    /// Change a key, such as --set data.channels=1; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DataEncodeArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Folder of the cache; codec.cache of the configuration if absent
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Precision of the latents
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) precision: PrecisionName,
    /// Which part of the images, where jobs of a scheduler share them, such as 1/8
    #[arg(long, value_name = "K/N", conflicts_with = "list")]
    pub(crate) job: Option<Part>,
    /// Only print the commands of so many jobs, those that have something left to do
    #[arg(long, value_name = "N")]
    pub(crate) list: Option<usize>,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PrecisionName {
    /// Four bytes a number
    F32,
    /// Two bytes a number
    Bf16,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Self::F32,
            PrecisionName::Bf16 => Self::Bf16,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SplitName {
    /// What the model learns from
    Train,
    /// What it is measured on
    HeldOut,
}

impl From<SplitName> for Split {
    fn from(name: SplitName) -> Self {
        match name {
            SplitName::Train => Self::Train,
            SplitName::HeldOut => Self::HeldOut,
        }
    }
}
