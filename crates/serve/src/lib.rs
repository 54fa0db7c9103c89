//! The playground page and the HTTP interface of a trained model.
//!
//! [`serve`] puts a model, known by the trait [`engine::Engine`] alone, behind a page for people and an interface in OpenAI's
//! form for programs, and beside it a training run, known by [`training::Training`].
//!
//! ```text
//! connection ─► guard ─► api ─► queue ─► engine's thread: a batch at a time
//!               (who)   (what)  (when)       │
//!      answer, whole or bit by bit ◄─────────┘ intermediate images, words, results
//! ```
//!
//! - [`engine`]: what a model can be asked for, and the trait.
//! - `queue`: bounded; batches what has the same settings; what nobody waits for any more is not computed.
//! - `api`: requests and answers; every field is checked and a wrong one is named.
//! - `guard`: foreign hosts, foreign pages, the key, and the headers that keep the page to itself.
//! - `page`: the files of the page.
//!
//! Nothing here reads or writes a file, fetches anything, or prints; nothing that a client sends can panic the program.

mod api;
mod app;
mod config;
pub mod engine;
mod error;
mod guard;
mod page;
mod patience;
mod queue;
mod server;
mod stopping;
pub mod training;

pub use config::{Key, ServeConfig};
pub use error::ServeError;
pub use server::{Served, serve};
pub use stopping::{StopSwitch, stop_switch};
