//! Warnings of the libraries, as lines of the standard error: each once, and without the names of modules.

use std::collections::HashSet;
use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::print::say_error;

/// The most warnings that are remembered; a program that has more has other troubles.
const MOST: usize = 10_000;

/// Prints what the libraries report.
#[derive(Default)]
pub(crate) struct Warnings {
    said: Mutex<HashSet<String>>,
}

impl Warnings {
    /// Whether a text is said for the first time.
    fn is_new(&self, text: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.len() >= MOST || said.insert(text.to_owned())
    }
}

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let Text(text) = text;
        match *event.metadata().level() {
            Level::ERROR | Level::WARN if !self.is_new(&text) => {}
            Level::ERROR | Level::WARN => say_error!("warning: {text}"),
            level => say_error!("{}: {text}", level.as_str().to_lowercase()),
        }
    }
}

/// The message of an event, and its other fields behind it.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let written = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        // Writing into a string does not fail.
        debug_assert!(written.is_ok());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_warning_is_new_once() {
        let warnings = super::Warnings::default();
        assert!(warnings.is_new("a") && warnings.is_new("b") && !warnings.is_new("a"));
    }
}
