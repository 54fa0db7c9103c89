//! `interfuse completions SHELL`: what a shell completes commands and options by.

use clap::CommandFactory as _;

use crate::args::{Args, CompletionsArgs};
use crate::print::say;

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut Args::command(), "interfuse", &mut script);
    say!("{}", String::from_utf8(script)?.trim_end());
    Ok(())
}
