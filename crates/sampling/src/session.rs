//! Sequences that grow against a cache, many at once.
//!
//! Dimensions: `B` sequences, `V` vocabulary, `C × H × W` latents.
//!
//! All sequences of a session run as one batch. They may be of different lengths: a sequence that has nothing to add to a
//! pass adds padding, which nobody sees, so it costs rows and changes nothing.
//!
//! Where experts choose their rows, those of one pass are ranked among themselves, for the rows to come are not there yet: a
//! token that comes alone is taken by all experts. The same text in one pass gives other logits, and none of a batch's
//! other sequences has a say.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use interfuse_checkpoint::Pretrained;
use interfuse_data::UnitIds;
use interfuse_mot::{CacheUse, KvCache};
use interfuse_sequence::{Batch, LaneRows, LayoutBuilder, SequenceLayout};
use interfuse_transfusion::{LaneInput, ModelInput, Transfusion};

use crate::error::SamplingError;

/// Growing sequences.
pub struct Session<'m> {
    model: &'m Transfusion,
    device: Device,
    builders: Vec<LayoutBuilder>,
    cache: KvCache,
    text_lane: usize,
    image_lane: Option<usize>,
    speech: Option<(usize, UnitIds)>,
    /// Ids that may stand in text: those of the tokenizer, and the one that opens speech. Those beyond them are codes of
    /// images, units of speech, or nothing.
    words: usize,
}

/// An image span that has been laid out for some of the sequences, ready to be denoised.
pub struct OpenSpan {
    /// Rows of the span, padding where a sequence has none.
    batch: Batch,
    /// Whether each sequence has the span.
    pub drawing: Vec<bool>,
}

impl<'m> Session<'m> {
    /// `sequences` empty sequences.
    ///
    /// # Errors
    /// When the model lacks text.
    pub fn new(pretrained: &'m Pretrained, sequences: usize) -> Result<Self, SamplingError> {
        let (card, config) = (&pretrained.card, &pretrained.card.model);
        let lane = |name: &String| config.lane(name).ok_or_else(|| SamplingError::NoModality(name.clone()));
        let format = config.sequence_format();
        Ok(Self {
            model: &pretrained.model,
            device: pretrained.device.clone(),
            builders: (0..sequences).map(|_| LayoutBuilder::new(Arc::clone(&format))).collect(),
            cache: KvCache::default(),
            text_lane: lane(&card.captions)?,
            image_lane: card.images.as_ref().map(lane).transpose()?,
            words: pretrained.tokenizer.vocab_size() + usize::from(card.speech.is_some()),
            speech: match &card.speech {
                Some(speech) => Some((lane(&speech.modality)?, speech.ids)),
                None => None,
            },
        })
    }

    /// As [`Self::new`], for sequences that grow token by token; warns where that is not what the model was trained for.
    pub(crate) fn token_by_token(pretrained: &'m Pretrained, sequences: usize) -> Result<Self, SamplingError> {
        let card = &pretrained.card;
        if card.model.sees_the_future(&card.captions) {
            tracing::warn!(
                "the experts of {} choose their rows (expert_choice), which in training see the tokens that follow; text that \
                 is written token by token is routed otherwise and worse for it: use routing = \"top_k\" where text matters",
                card.captions
            );
        }
        Self::new(pretrained, sequences)
    }

    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.builders.len()
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.builders.is_empty()
    }

    /// Appends tokens to every sequence (none to some) and returns the logits after the last of each. `[B, V]`; the logits
    /// of a sequence without tokens mean nothing. `None` when no sequence has any.
    pub fn append_tokens(&mut self, tokens: &[Vec<u32>]) -> Option<Tensor<2>> {
        self.append(self.text_lane, tokens)
    }

    /// The logits of what may stand in text: of the tokenizer's ids and of the marker that opens speech, never of the codes of
    /// images or of units. `[B, V]`
    pub fn of_words(&self, logits: Tensor<2>) -> Tensor<2> {
        let [_, vocab] = logits.dims();
        logits.narrow(1, 0, self.words.min(vocab))
    }

    /// Lets the rows that follow in some sequences fill a grid `[rows, columns]`.
    pub fn open_grid(&mut self, drawing: &[bool], grid: [usize; 2]) {
        for (builder, _) in self.builders.iter_mut().zip(drawing).filter(|(_, drawing)| **drawing) {
            builder.begin_grid(grid);
        }
    }

    /// As [`Self::append_tokens`], in the lane of images: ids of codes on the grid that is open.
    pub fn append_codes(&mut self, ids: &[Vec<u32>]) -> Option<Tensor<2>> {
        self.append(self.image_lane?, ids)
    }

    /// As [`Self::append_tokens`], in the lane of speech: units, counted from 0.
    pub fn append_units(&mut self, units: &[Vec<u32>]) -> Option<Tensor<2>> {
        let (lane, ids) = self.speech?;
        let of_units = |units: &Vec<u32>| units.iter().map(|&unit| ids.id(unit)).collect();
        self.append(lane, &units.iter().map(of_units).collect::<Vec<Vec<u32>>>())
    }

    /// The logits of what may stand in speech: first of its end, then of the units. `[B, 1 + units]`
    pub fn of_units(&self, logits: Tensor<2>) -> Option<Tensor<2>> {
        let (_, ids) = self.speech?;
        Some(logits.narrow(1, ids.end as usize, ids.count + 1))
    }

    fn append(&mut self, lane: usize, tokens: &[Vec<u32>]) -> Option<Tensor<2>> {
        let layouts = self.lay_out(|index, builder| builder.push_tokens(lane, &tokens[index], None));
        let batch = Batch::new(&layouts, &self.device);
        let input = token_input(&batch, lane)?;
        let predictions = self.model.forward(input, CacheUse::Append(&mut self.cache));
        let logits = predictions.logits(lane)?;
        let [sequences, rows, vocab] = logits.dims();
        let last: Vec<i32> =
            tokens.iter().enumerate().map(|(index, tokens)| (index * rows + tokens.len().max(1) - 1) as i32).collect();
        let last = Tensor::<1, Int>::from_data(TensorData::new(last, [sequences]), &self.device);
        Some(logits.reshape([sequences * rows, vocab]).select(0, last))
    }

    /// Lays out an image in those sequences that draw one, with latents of a shape `[C, H, W]` that fits the model.
    pub fn open_span(&mut self, drawing: &[bool], latent_shape: [usize; 3]) -> OpenSpan {
        let lane = self.image_lane;
        let layouts = self.lay_out(|index, builder| {
            builder.set_latent_shape(latent_shape);
            if let Some(lane) = lane.filter(|_| drawing[index]) {
                builder.push_blank_image(lane, 0, 0);
            }
        });
        OpenSpan { batch: Batch::new(&layouts, &self.device), drawing: drawing.to_vec() }
    }

    /// What the model predicts for the span's noisy latents at time `t`, against the frozen cache. `[B, C, H, W]`
    pub fn predict(&self, span: &OpenSpan, x_t: Tensor<4>, t: f32) -> Option<Tensor<4>> {
        self.run_span(span, x_t, t, CacheUse::Read(&self.cache))
    }

    /// Appends the finished image to the cache, encoded once more as a clean one, at t = 0: so what follows sees no trace
    /// of noise.
    pub fn commit(&mut self, span: &OpenSpan, x_0: Tensor<4>) {
        let mut cache = std::mem::take(&mut self.cache);
        self.run_span(span, x_0, 0.0, CacheUse::Append(&mut cache));
        self.cache = cache;
    }

    fn run_span(&self, span: &OpenSpan, x: Tensor<4>, t: f32, cache: CacheUse<'_>) -> Option<Tensor<4>> {
        let [sequences, channels, height, width] = x.dims();
        let mut lanes: Vec<Option<LaneInput>> = span.batch.lanes.iter().map(|_| None).collect();
        let x_t = x.reshape([sequences, 1, channels, height, width]);
        let lane = self.image_lane?;
        lanes[lane] = Some(LaneInput::Denoise { x_t, t: Tensor::full([sequences, 1], t, &self.device) });
        let geometry = span.batch.lanes.iter().map(|lane| lane.as_ref().map(|lane| lane.geometry.clone())).collect();
        let predictions = self.model.forward(ModelInput { lanes, geometry, dropout: None }, cache);
        Some(predictions.images(lane)?.reshape([sequences, channels, height, width]))
    }

    fn lay_out(&mut self, add: impl Fn(usize, &mut LayoutBuilder)) -> Vec<SequenceLayout> {
        let grown = self.builders.iter_mut().enumerate().map(|(index, builder)| {
            add(index, builder);
            builder.take()
        });
        grown.collect()
    }
}

fn token_input(batch: &Batch, lane: usize) -> Option<ModelInput> {
    let LaneRows::NextToken(rows) = &batch.lanes.get(lane)?.as_ref()?.content else { return None };
    let mut lanes: Vec<Option<LaneInput>> = batch.lanes.iter().map(|_| None).collect();
    lanes[lane] = Some(LaneInput::NextToken(rows.ids.clone()));
    let geometry = batch.lanes.iter().map(|lane| lane.as_ref().map(|lane| lane.geometry.clone())).collect();
    Some(ModelInput { lanes, geometry, dropout: None })
}
