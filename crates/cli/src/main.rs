//! The binary `interfuse`: the only crate that knows TOML, arguments, run folders and devices, and the only one that
//! prints.

// The program's output is its purpose; only the libraries must not print.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod allocator;
mod args;
mod assembly;
mod atomic_file;
mod commands;
mod config;
mod curves;
mod device;
mod distances;
mod extractors;
mod interruption;
mod metrics;
mod progress;
mod recorder;
mod run_folder;
mod sample_folder;
mod settings;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::args::{Args, BenchCommand, Command, DataCommand, VaeCommand};

fn main() -> ExitCode {
    allocator::keep_freed_pages();
    let args = Args::parse();
    // Only our own crates say more when asked to: the framework's compilers would print every kernel.
    let levels = Targets::new().with_default(tracing::Level::WARN).with_target("interfuse", args.log_level());
    let printed = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).without_time().with_filter(levels);
    tracing_subscriber::registry().with(printed).init();
    let outcome = match args.command {
        Command::Train(args) => commands::train::run(&args),
        Command::Sample(args) => commands::sample::run(&args),
        Command::Caption(args) => commands::caption::run(&args),
        Command::Evaluate(args) => commands::evaluate::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::ClipScore(args) => commands::clip_score::run(&args),
        Command::Fid(args) => commands::fid::run(&args),
        Command::Features(args) => commands::fid::features(&args),
        Command::Data(DataCommand::Inspect(args)) => commands::data::inspect(&args),
        Command::Data(DataCommand::Export(args)) => commands::data::export(&args),
        Command::Data(DataCommand::Encode(args)) => commands::data::encode(&args),
        Command::Vae(VaeCommand::Train(args)) => commands::vae::train(&args),
        Command::Vae(VaeCommand::Inspect(args)) => commands::vae::inspect(&args),
        Command::Vae(VaeCommand::Encode(args)) => commands::vae::encode(&args),
        Command::Vae(VaeCommand::Decode(args)) => commands::vae::decode(&args),
        Command::Vae(VaeCommand::Reconstruct(args)) => commands::vae::reconstruct(&args),
        Command::Vae(VaeCommand::Import(args)) => commands::vae::import(&args),
        Command::Bench(BenchCommand::Step(args)) => commands::bench::step(&args),
        Command::Bench(BenchCommand::Denoise(args)) => commands::bench::denoise(&args),
        Command::Bench(BenchCommand::Device(args)) => commands::bench::device(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes in one sentence. Many of our messages already end with their cause, which is then not said
/// again.
fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for part in error.chain().map(ToString::to_string).filter(|part| !part.is_empty()) {
        if sentence.is_empty() {
            sentence = part;
        } else if !sentence.ends_with(&part) {
            sentence = format!("{sentence}: {part}");
        }
    }
    sentence
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow!("no such file").context("cannot read x: no such file").context("training ended early");
        assert_eq!(super::sentence(&error), "training ended early: cannot read x: no such file");
        assert_eq!(super::sentence(&anyhow!("alone")), "alone");
    }
}
