//! Arguments of `interfuse infill`.

use super::{AnswerArgs, ModelArgs, SamplingArgs};

#[derive(Debug, clap::Args)]
pub(crate) struct InfillArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Texts with `<mask>` where something is to be filled in, such as `alpha <mask> gamma`
    #[arg(required = true)]
    pub(crate) texts: Vec<String>,
    /// How often each text is filled
    #[arg(long, default_value_t = 1)]
    pub(crate) count: usize,
    /// Seed of the first filling of each text; the next has the next
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}
