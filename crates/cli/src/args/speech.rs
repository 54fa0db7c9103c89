//! What the user types about speech.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::ModelArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum SpeechCommand {
    /// Learn units of speech, make units of clips, and sound of units
    #[command(subcommand)]
    Units(UnitsCommand),
    /// Compare two files of transcripts, or of units, line by line
    ErrorRate(ErrorRateArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum UnitsCommand {
    /// Learn units of a source of clips
    Train(UnitsTrainArgs),
    /// Write the units of clips into a file, one clip a line
    Encode(UnitsEncodeArgs),
    /// Write the sound of every line of a file of units
    Decode(UnitsDecodeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UnitsTrainArgs {
    /// A folder of clips with transcripts, or a source as configurations write it, such as '{ kind = "telephone-prompts" }'
    pub(crate) source: String,
    /// File of the codec
    #[arg(long, default_value = "units.safetensors")]
    pub(crate) out: PathBuf,
    /// How many units
    #[arg(long, default_value_t = 100)]
    pub(crate) units: usize,
    /// Units a second: 50 or 100
    #[arg(long, default_value_t = 50)]
    pub(crate) rate: u32,
    /// Samples a second at which clips are heard
    #[arg(long, default_value_t = 16_000)]
    pub(crate) sample_rate: u32,
    /// Take the mean from every clip's features, so that units are less of speakers
    #[arg(long)]
    pub(crate) subtract_mean: bool,
    /// Fraction of the texts whose clips are not learned from and are taken there and back instead
    #[arg(long, default_value_t = 0.05)]
    pub(crate) held_out: f64,
    /// Of the choice of frames and the first centroids
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct UnitsEncodeArgs {
    /// File of the codec
    #[arg(long, default_value = "units.safetensors")]
    pub(crate) codec: PathBuf,
    /// Clips
    #[arg(required = true)]
    pub(crate) clips: Vec<PathBuf>,
    /// File to write, a name, a tab and units a line
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Write runs of one unit as one
    #[arg(long)]
    pub(crate) deduplicate: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UnitsDecodeArgs {
    /// File of the codec
    #[arg(long, default_value = "units.safetensors")]
    pub(crate) codec: PathBuf,
    /// File of units, as this program, fairseq, GSLM, textless or speech-resynthesis write it
    pub(crate) units: PathBuf,
    /// Folder of the wav files
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Write a spectrogram beside each
    #[arg(long)]
    pub(crate) spectrograms: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ErrorRateArgs {
    /// What was said, one utterance a line
    pub(crate) reference: PathBuf,
    /// What was understood, as many lines
    pub(crate) hypothesis: PathBuf,
    /// What is counted
    #[arg(long, value_enum, default_value = "words")]
    pub(crate) of: Counted,
    #[command(flatten)]
    pub(crate) answer: super::AnswerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Counted {
    /// Words between white space; units are words
    Words,
    /// Characters
    Characters,
}

#[derive(Debug, Args)]
pub(crate) struct SpeakArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// What to say; anything if there is neither this nor --continue
    pub(crate) texts: Vec<String>,
    /// Go on from a clip; may be repeated
    #[arg(long = "continue", value_name = "CLIP")]
    pub(crate) go_on: Vec<PathBuf>,
    /// Stretches of each
    #[arg(long, default_value_t = 1)]
    pub(crate) count: usize,
    /// Seed of the first stretch of each; the next has the next
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Temperature of the next unit; 0 takes the likeliest
    #[arg(long)]
    pub(crate) temperature: Option<f64>,
    /// Sample among so many of the likeliest units alone
    #[arg(long)]
    pub(crate) top_k: Option<usize>,
    /// Sample among the likeliest units that together have this probability
    #[arg(long)]
    pub(crate) top_p: Option<f64>,
    /// The most units of a stretch
    #[arg(long)]
    pub(crate) max_units: Option<usize>,
    /// Write a spectrogram beside each
    #[arg(long)]
    pub(crate) spectrograms: bool,
    /// Folder to write to; speech/ of the run folder if absent
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct TranscribeArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Clips: wav, flac, ogg or mp3
    #[arg(required = true)]
    pub(crate) clips: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) answer: super::AnswerArgs,
}
