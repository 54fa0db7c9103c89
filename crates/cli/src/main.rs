//! The binary `interfuse`: arguments in, words out. It is the only crate that prints.

mod allocator;
mod args;
mod commands;
mod print;
mod stopping;
mod terminal;
mod warnings;

use std::process::ExitCode;

use clap::Parser;
use interfuse_run::sentence;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::args::{Args, BenchCommand, Command, DataCommand, VaeCommand};
use crate::print::say_error;
use crate::warnings::Warnings;

fn main() -> ExitCode {
    allocator::keep_freed_pages();
    let args = Args::parse();
    // Only our own crates say more when asked to: the framework's compilers would print every kernel.
    let levels = Targets::new().with_default(tracing::Level::WARN).with_target("interfuse", args.log_level());
    tracing_subscriber::registry().with(Warnings::default().with_filter(levels)).init();
    // What training leaves is its folder; of every other command somebody reads the words.
    let is_training =
        matches!(args.command, Command::Train(_) | Command::Vae(VaeCommand::Train(_)) | Command::Reproduce(_));
    let outcome = match args.command {
        Command::Init(args) => commands::init::run(&args),
        Command::Train(args) => commands::train::run(&args),
        Command::Sample(args) => commands::sample::run(&args),
        Command::Infill(args) => commands::infill::run(&args),
        Command::Caption(args) => commands::caption::run(&args),
        Command::Edit(args) => commands::conversation::edit(&args),
        Command::Ask(args) => commands::conversation::ask(&args),
        Command::Export(args) => commands::export::run(&args),
        #[cfg(feature = "serve")]
        Command::Serve(args) => commands::serve::run(&args),
        Command::Speak(args) => commands::speak::speak_run(&args),
        Command::Transcribe(args) => commands::speak::transcribe_run(&args),
        Command::Evaluate(args) => commands::evaluate::run(&args),
        Command::Compare(args) => commands::compare::run(&args),
        Command::Gallery(args) => commands::gallery::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::ClipScore(args) => commands::clip_score::run(&args),
        Command::Fid(args) => commands::fid::run(&args),
        Command::Features(args) => commands::fid::features(&args),
        Command::Data(DataCommand::Inspect(args)) => commands::data::inspect(&args),
        Command::Data(DataCommand::Export(args)) => commands::data::export(&args),
        Command::Data(DataCommand::Encode(args)) => commands::encode::encode(&args),
        Command::Vae(VaeCommand::Train(args)) => commands::vae::train(&args),
        Command::Vae(VaeCommand::Inspect(args)) => commands::vae::inspect(&args),
        Command::Vae(VaeCommand::Encode(args)) => commands::vae::encode(&args),
        Command::Vae(VaeCommand::Decode(args)) => commands::vae::decode(&args),
        Command::Vae(VaeCommand::Reconstruct(args)) => commands::vae::reconstruct(&args),
        Command::Vae(VaeCommand::Import(args)) => commands::vae::import(&args),
        Command::Speech(command) => commands::speech::run(&command),
        Command::Scaling(command) => commands::scaling::run(&command),
        Command::Plan(args) => commands::plan::run(&args),
        Command::Reproduce(command) => commands::reproduce::run(&command),
        Command::Completions(args) => commands::completions::run(&args),
        Command::Bench(BenchCommand::Step(args)) => commands::bench::step(&args),
        Command::Bench(BenchCommand::Denoise(args)) => commands::bench::denoise(&args),
        Command::Bench(BenchCommand::Device(args)) => commands::bench::device(&args),
    };
    match (outcome, print::failure()) {
        (Ok(()), Some(reason)) if !is_training => {
            say_error!("error: cannot write to the standard output: {reason}");
            ExitCode::FAILURE
        }
        (Ok(()), _) => ExitCode::SUCCESS,
        (Err(error), _) => {
            say_error!("error: {}", sentence(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
