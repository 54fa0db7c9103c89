//! Images that are watched while they are denoised, and given up when nobody waits for them any more.

use std::cell::RefCell;
use std::ops::ControlFlow;

use burn::tensor::Tensor;
use interfuse_checkpoint::Pretrained;
use interfuse_data::Image;

use crate::config::Solver;
use crate::denoise::Denoiser;
use crate::generate::{decode, host_images};

/// Watches a batch while it is denoised.
pub trait Watcher {
    /// The network has been asked `done` of `of` times, `done` from 1. `look` gives an image of the batch as the network thinks
    /// that it will be; nothing where it cannot be decoded. On [`ControlFlow::Break`] the batch is given up.
    fn stepped(&mut self, done: usize, of: usize, look: &mut dyn FnMut(usize) -> Option<Image>) -> ControlFlow<()>;
}

/// A denoiser that is watched.
pub(crate) struct Watched<'a> {
    pub(crate) inner: &'a dyn Denoiser,
    pub(crate) pretrained: &'a Pretrained,
    pub(crate) state: RefCell<Watching<'a>>,
}

/// Who watches, and how far it is.
pub(crate) struct Watching<'a> {
    watcher: &'a mut dyn Watcher,
    done: usize,
    of: usize,
    stopped: bool,
}

impl<'a> Watching<'a> {
    /// From the beginning, for so many times at which the network is asked.
    pub(crate) fn new(watcher: &'a mut dyn Watcher, steps: usize, solver: Solver) -> Self {
        // Heun asks twice, but for the last step.
        let of = if solver == Solver::Heun { 2 * steps.max(1) - 1 } else { steps };
        Self { watcher, done: 0, of, stopped: false }
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }
}

impl Denoiser for Watched<'_> {
    fn predict(&self, x_t: Tensor<4>, t: f32) -> Tensor<4> {
        let mut state = self.state.borrow_mut();
        if state.stopped {
            // The rest of the loop costs nothing, and nobody looks at what comes out.
            return x_t.zeros_like();
        }
        let prediction = self.inner.predict(x_t.clone(), t);
        state.done += 1;
        let (done, of) = (state.done.min(state.of), state.of);
        let mut clean: Option<Vec<_>> = None;
        let mut look = |index: usize| {
            let images = clean.get_or_insert_with(|| host_images(self.clean(&x_t, &prediction, t)));
            decode(self.pretrained, images.get(index)?.clone()).ok()
        };
        state.stopped = state.watcher.stepped(done, of, &mut look).is_break();
        prediction
    }
}

impl Watched<'_> {
    /// What the network thinks that the images will be.
    fn clean(&self, x_t: &Tensor<4>, prediction: &Tensor<4>, t: f32) -> Tensor<4> {
        let Some(tower) = self.pretrained.card.model.image_tower() else { return x_t.clone() };
        let (c, d) = tower.prediction.to_clean(tower.process.coefficients(t));
        x_t.clone().mul_scalar(c) + prediction.clone().mul_scalar(d)
    }
}
