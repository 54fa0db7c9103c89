//! The binary `interfuse`: the only crate that knows TOML, arguments, run folders and devices, and the only one that
//! prints.

// The program's output is its purpose; only the libraries must not print.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod assembly;
mod atomic_file;
mod commands;
mod config;
mod device;
mod metrics;
mod progress;
mod recorder;
mod run_folder;
mod sample_folder;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command, DataCommand};

/// Training takes and frees large buffers all the time; this allocator keeps them instead of giving them back to the
/// system after every operation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt().with_max_level(args.log_level()).with_writer(std::io::stderr).without_time().init();
    let outcome = match args.command {
        Command::Train(args) => commands::train::run(&args),
        Command::Sample(args) => commands::sample::run(&args),
        Command::Caption(args) => commands::caption::run(&args),
        Command::Evaluate(args) => commands::evaluate::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Data(DataCommand::Inspect(args)) => commands::data::inspect(&args),
        Command::Data(DataCommand::Export(args)) => commands::data::export(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
