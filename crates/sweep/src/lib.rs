//! Sweeps of many small training runs for laws of scaling: planned, run to their end whatever interrupts them, and read back.
//!
//! - [`settings`]: what a sweep is, from one TOML.
//! - [`mod@dial`]: a model's shape, learning rate and batch from one number.
//! - [`plan`]: every run with its overrides, its cost by a [`calibration`] and a table of them.
//! - [`running`]: the runs that are left, several at once, as jobs of a scheduler or as a list of commands.
//! - [`runs`]: what a run folder says, and the table that `interfuse scaling fit` reads.
//! - [`results`]: the files of a sweep.
//! - [`phenomena`]: the four phenomena of 2301.03728 on run folders.
//! - [`batches`]: the best batch size of every cell, and whether it goes with the law.
//! - [`modalities`]: that paper's test of what counts as a modality.
//! - [`on_paper`]: what a run costs that is too large to be tried.
//!
//! Nothing here prints, knows a model or trains: a run is a child process, started through [`running::Launcher`].

pub mod batches;
pub mod calibration;
pub mod counts;
pub mod dial;
mod durable;
mod error;
pub mod flops;
pub mod modalities;
pub mod on_paper;
pub mod phenomena;
pub mod plan;
pub mod results;
pub mod running;
pub mod runs;
pub mod settings;

pub use calibration::Calibration;
pub use dial::{Shape, dial};
pub use error::SweepError;
pub use plan::{Plan, PlannedRun};
pub use running::{Job, Program, Report, SweepOptions, shell_word, sweep};
pub use runs::{RunResult, read_run};
pub use settings::Sweep;
