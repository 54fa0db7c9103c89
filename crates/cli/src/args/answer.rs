//! Answers for scripts: one JSON value on the standard output.

use serde::Serialize;

use crate::print;

/// Of a command whose answer a script may read.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct AnswerArgs {
    /// Print the answer as JSON; words go to the standard error
    #[arg(long)]
    json: bool,
}

impl AnswerArgs {
    /// Before the first word: where words go.
    pub(crate) fn begin(self) {
        if self.json {
            print::leave_standard_output_to_the_answer();
        }
    }

    /// Prints the answer, where it was asked for.
    pub(crate) fn give(self, answer: &impl Serialize) -> anyhow::Result<()> {
        if self.json {
            let text = serde_json::to_string_pretty(answer)?;
            print::answer(format_args!("{text}"));
        }
        Ok(())
    }
}
