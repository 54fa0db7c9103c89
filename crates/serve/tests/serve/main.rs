//! The server as its clients meet it: over a socket, with a model that is none.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

#[path = "../../examples/toy/engine.rs"]
mod toy;
#[path = "../../examples/toy/training.rs"]
mod toy_training;

/// A server for a test, and a client that says exactly what it is told.
mod support;

/// Many clients for minutes; run by hand.
mod campaign;
/// The wire format of answers.
mod chat;
mod images;
/// Batches, a full queue, clients that go, time that is over, and the end.
mod load;
/// Requests that nobody should send.
mod malformed;
/// OpenAI's own client, where it is installed.
mod openai;
/// The page, the training run and what stands around all answers.
mod page;
/// Hosts, pages, keys and bounds.
mod safety;
