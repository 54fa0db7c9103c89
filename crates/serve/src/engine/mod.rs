//! The model behind a trait: what it can do, what is asked of it, and who watches.
//!
//! An [`Engine`] lives on one worker thread and works on a batch at a time. The server promises that all requests of a batch
//! have the same settings and that the engine can do what is asked; the engine promises that what it makes of a request is the
//! same whether the request comes alone or in a batch.

mod description;
mod raster;
mod request;

pub use description::{Abilities, Defaults, Description, ImageFormat, ImageSize, LatentKind};
pub use raster::{Raster, RasterError};
pub use request::{
    Caption, CaptionSettings, Document, DrawSettings, Drawing, Edit, Piece, Question, WriteSettings, Writing,
};

use std::ops::ControlFlow;

/// Why there is no result for a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The request does not fit the model, such as a prompt that is too long; the client is told the sentence, with status 400.
    #[error("{0}")]
    Refused(String),
    /// Nobody waits for the result any more, so it was not computed.
    #[error("nobody waits for this any more")]
    Stopped,
    /// The computation failed; the client is told the sentence, with status 500.
    #[error("{0}")]
    Failed(String),
}

/// What an engine makes of each request of a batch, in order.
pub type Results<T> = Vec<Result<T, EngineError>>;

/// Watches a batch while it is computed. Items are numbered from 0 as they stand in the batch.
///
/// Every method that reports answers whether to go on: on [`ControlFlow::Break`] nobody waits for anything of the batch any
/// more, and the engine returns as soon as it can, with [`EngineError::Stopped`] for what is not ready.
pub trait Observer {
    /// Whether somebody still waits for an item. An engine that can narrow its batch need not compute the others.
    fn is_wanted(&self, item: usize) -> bool;

    /// `done` of `of` denoising steps are taken for the whole batch, `done` from 1. `look` is asked for the intermediate image
    /// of those items alone that somebody watches; it may have none.
    fn stepped(&mut self, done: usize, of: usize, look: &mut dyn FnMut(usize) -> Option<Raster>) -> ControlFlow<()>;

    /// Words that were written for an item since the last call.
    fn wrote(&mut self, item: usize, words: &str) -> ControlFlow<()>;

    /// An image within a document is ready. Together with [`wrote`](Self::wrote) this tells a beginning of the final document,
    /// in its order.
    fn drew(&mut self, item: usize, image: &Raster) -> ControlFlow<()>;

    /// Whether anybody waits for anything of the batch; the same answer as the other methods give.
    fn goes_on(&self) -> ControlFlow<()>;
}

/// A model that is served.
///
/// Only what [`Description::abilities`] names is called; the other methods may stay as they are.
pub trait Engine: Send + 'static {
    /// What the model is and can do; read once, before the server begins.
    fn description(&self) -> Description;

    /// Draws an image for each prompt. An image depends on its own prompt and seed and on the settings alone.
    fn draw(&mut self, drawings: &[Drawing], settings: &DrawSettings, observer: &mut dyn Observer) -> Results<Raster> {
        let _ = (settings, observer);
        cannot(drawings.len(), "draw")
    }

    /// Captions images of any size; they have the channels of [`ImageFormat`].
    fn caption(
        &mut self,
        images: &[Raster],
        settings: &CaptionSettings,
        observer: &mut dyn Observer,
    ) -> Results<Caption> {
        let _ = (settings, observer);
        cannot(images.len(), "caption")
    }

    /// Answers questions about images of any size; they have the channels of [`ImageFormat`].
    fn answer(
        &mut self,
        questions: &[Question],
        settings: &CaptionSettings,
        observer: &mut dyn Observer,
    ) -> Results<Caption> {
        let _ = (settings, observer);
        cannot(questions.len(), "answer questions")
    }

    /// Writes on where documents end, in words and images.
    fn write(
        &mut self,
        writings: &[Writing],
        settings: &WriteSettings,
        observer: &mut dyn Observer,
    ) -> Results<Document> {
        let _ = (settings, observer);
        cannot(writings.len(), "write")
    }

    /// Changes images of any size as prompts say; they have the channels of [`ImageFormat`].
    fn edit(&mut self, edits: &[Edit], settings: &DrawSettings, observer: &mut dyn Observer) -> Results<Raster> {
        let _ = (settings, observer);
        cannot(edits.len(), "edit")
    }
}

fn cannot<T>(count: usize, task: &str) -> Results<T> {
    (0..count).map(|_| Err(EngineError::Refused(format!("this model cannot {task}")))).collect()
}

/// Stands where there is no model yet, such as beside a training run before its first checkpoint; it can do nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    /// What the server calls itself.
    pub id: String,
}

impl Engine for Idle {
    fn description(&self) -> Description {
        Description {
            id: self.id.clone(),
            sizes: vec![],
            image: ImageFormat { width: 1, height: 1, channels: 3 },
            latents: LatentKind::Pixels,
            defaults: Defaults { steps: 1, guidance: 1.0 },
            abilities: Abilities::default(),
        }
    }
}
