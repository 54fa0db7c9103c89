//! Images that are made of codes, one code after the other (Chameleon, 2405.09818).
//!
//! Within an image the model may say codes only, and it says exactly as many as the grid has places; so an image is whole
//! whatever the weights are, and EOI need not be waited for. A guided image is followed twice, after its prompt and after none,
//! and its logits are guided as predictions are ([`guided`]).
//!
//! Dimensions: `B` sequences, `K` codes.

use burn::tensor::Tensor;
use interfuse_checkpoint::{CodeIds, Pretrained};
use interfuse_image_tower::NoiseKey;
use ndarray::{Array2, Array3, Axis};
use rand_chacha::ChaCha8Rng;

use crate::config::SamplingConfig;
use crate::denoise::SAMPLING_STEP;
use crate::generate::Drawing;
use crate::guidance::guided;
use crate::session::Session;
use crate::token::TokenChoice;

/// Sequences that have just read BOI.
pub(crate) struct Opened<'s, 'm> {
    pub(crate) session: &'s mut Session<'m>,
    /// After BOI. `[B, V]`
    pub(crate) logits: Tensor<2>,
}

/// What decides the codes of an image beside the model.
pub(crate) struct CodeSampler {
    choice: TokenChoice,
    guidance: f64,
    ids: CodeIds,
    /// `[rows, columns]`
    grid: [usize; 2],
    /// One a sequence.
    generators: Vec<ChaCha8Rng>,
}

impl CodeSampler {
    /// For one image of each seed; `None` where images are no codes. The codes of image `i` depend on `seeds[i]` and on what
    /// its sequence holds, never on the rest of the batch.
    pub(crate) fn new(
        pretrained: &Pretrained,
        &Drawing { seeds, latent_shape: [_, rows, columns], config }: &Drawing<'_>,
        image_index: u64,
    ) -> Option<Self> {
        let card = &pretrained.card;
        let generator = |&seed: &u64| NoiseKey { seed, step: SAMPLING_STEP }.generator(0, image_index);
        let SamplingConfig { code_temperature: temperature, top_k, top_p, guidance, .. } = *config;
        Some(Self {
            choice: TokenChoice { temperature, top_k, top_p },
            guidance,
            ids: card.codes?,
            grid: [rows, columns],
            generators: seeds.iter().map(generator).collect(),
        })
    }

    /// Lets every sequence of `drawing` say the codes of one image, and reads them into its cache. Latents as the codec wants
    /// them, `[1, rows, columns]`; those of a sequence that draws nothing mean nothing.
    pub(crate) fn draw(
        &mut self,
        mut conditional: Opened<'_, '_>,
        mut unconditional: Option<Opened<'_, '_>>,
        drawing: &[bool],
    ) -> Vec<Array3<f32>> {
        let [rows, columns] = self.grid;
        let mut codes: Vec<Vec<u32>> = vec![Vec::with_capacity(rows * columns); drawing.len()];
        conditional.session.open_grid(drawing, self.grid);
        if let Some(opened) = &mut unconditional {
            opened.session.open_grid(drawing, self.grid);
        }
        for _ in 0..rows * columns {
            let logits = self.code_logits(&conditional, unconditional.as_ref());
            let chosen = self.choice.choose(&logits, drawing, &mut self.generators);
            let next: Vec<Vec<u32>> = chosen
                .iter()
                .zip(drawing)
                .map(|(&code, &drawing)| if drawing { vec![self.ids.first as u32 + code] } else { vec![] })
                .collect();
            codes.iter_mut().zip(chosen).for_each(|(codes, code)| codes.push(code));
            conditional.read(&next);
            if let Some(opened) = &mut unconditional {
                opened.read(&next);
            }
        }
        codes.into_iter().map(|codes| latents_of(&codes, self.grid)).collect()
    }

    /// Logits of the codes. `[B, K]`
    fn code_logits(&self, conditional: &Opened<'_, '_>, unconditional: Option<&Opened<'_, '_>>) -> Tensor<2> {
        let of_codes = |opened: &Opened<'_, '_>| opened.logits.clone().narrow(1, self.ids.first, self.ids.count);
        let conditional = of_codes(conditional);
        match unconditional.map(of_codes) {
            None => conditional,
            Some(unconditional) => guided(conditional, unconditional, self.guidance),
        }
    }
}

impl Opened<'_, '_> {
    fn read(&mut self, codes: &[Vec<u32>]) {
        // At least one sequence draws, so there are logits.
        if let Some(logits) = self.session.append_codes(codes) {
            self.logits = logits;
        }
    }
}

/// Codes as latents `[1, rows, columns]`.
fn latents_of(codes: &[u32], [rows, columns]: [usize; 2]) -> Array3<f32> {
    let of_place = |(row, column): (usize, usize)| codes.get(row * columns + column).map_or(0.0, |&code| code as f32);
    Array2::from_shape_fn((rows, columns), of_place).insert_axis(Axis(0))
}

/// The ids of an image whose latents `[1, rows, columns]` are codes.
pub(crate) fn ids_of(latents: &Array3<f32>, codes: CodeIds) -> Vec<u32> {
    latents.iter().map(|&code| codes.first as u32 + code as u32).collect()
}
