//! Captions of images: the image is read clean, at t = 0, and the model writes until EOS.

use burn::tensor::{Tensor, TensorData};
use interfuse_checkpoint::Pretrained;
use interfuse_data::Image;

use crate::config::SamplingConfig;
use crate::error::SamplingError;
use crate::session::Session;
use crate::write::{Decoder, greedy_tokens};

/// What the model wrote of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    /// Its words.
    pub text: String,
    /// The limit in tokens at which it was cut, where it did not come to its end before.
    pub cut_at: Option<usize>,
}

/// Captions images of the model's size; `progress` hears how many are done.
///
/// # Errors
/// When a setting or an image does not fit the model.
pub fn caption(
    pretrained: &Pretrained,
    images: &[Image],
    config: &SamplingConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Caption>, SamplingError> {
    config.validate()?;
    let limit = config.max_caption_tokens.unwrap_or(pretrained.card.max_text_rows).max(1);
    let mut captions = Vec::with_capacity(images.len());
    for batch in images.chunks(config.max_batch) {
        let latents = encode(pretrained, batch)?;
        for (ids, is_cut) in caption_batch(pretrained, latents, limit)? {
            let text = pretrained.tokenizer.decode(&ids)?.trim().to_string();
            captions.push(Caption { text, cut_at: is_cut.then_some(limit) });
        }
        progress(captions.len());
    }
    Ok(captions)
}

fn caption_batch(
    pretrained: &Pretrained,
    latents: Tensor<4>,
    limit: usize,
) -> Result<Vec<(Vec<u32>, bool)>, SamplingError> {
    let [count, _, _, _] = latents.dims();
    let special = pretrained.card.special_tokens;
    let mut session = Session::token_by_token(pretrained, count)?;
    session.append_tokens(&vec![vec![special.bos, special.boi]; count]);
    let span = session.open_span(&vec![true; count]);
    session.commit(&span, latents);
    let logits = session.append_tokens(&vec![vec![special.eoi]; count]);
    let mut decoder = Decoder::new(&mut session, logits, limit);
    // A caption ends with EOS; a model that wants to draw another image has come to its caption's end.
    let written =
        decoder.run(|logits| Ok(greedy_tokens(logits)), |token| token == special.eos || token == special.boi)?;
    Ok(written.into_iter().zip(decoder.cut().to_vec()).collect())
}

fn encode(pretrained: &Pretrained, images: &[Image]) -> Result<Tensor<4>, SamplingError> {
    let expected = pretrained.card.image_shape;
    let [channels, height, width] = pretrained.card.model.latent_shape;
    let mut values = Vec::with_capacity(images.len() * channels * height * width);
    for (index, image) in images.iter().enumerate() {
        let found = image.pixels().shape().to_vec();
        if found != expected {
            let name = format!("number {index}");
            return Err(SamplingError::Image { name, found, expected: expected.to_vec() });
        }
        values.extend(pretrained.codec.encode(image.to_unit_range())?.mean);
    }
    let data = TensorData::new(values, [images.len(), channels, height, width]);
    Ok(Tensor::from_data(data, &pretrained.device))
}
