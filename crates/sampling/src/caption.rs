//! Captions of images: the image is read clean, at t = 0, and the model writes until EOS.

use burn::tensor::{Tensor, TensorData};
use interfuse_data::Image;

use crate::config::SamplingConfig;
use crate::error::SamplingError;
use crate::session::Session;
use crate::write::{Decoder, greedy_tokens};
use interfuse_checkpoint::Pretrained;

/// Captions images of the model's size; `progress` hears how many are done.
///
/// # Errors
/// When a setting or an image does not fit the model.
pub fn caption(
    pretrained: &Pretrained,
    images: &[Image],
    config: &SamplingConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<String>, SamplingError> {
    config.validate()?;
    let mut captions = Vec::with_capacity(images.len());
    for batch in images.chunks(config.max_batch) {
        let latents = encode(pretrained, batch)?;
        let ids = caption_batch(pretrained, latents, config)?;
        for ids in ids {
            captions.push(pretrained.tokenizer.decode(&ids)?.trim().to_string());
        }
        progress(captions.len());
    }
    Ok(captions)
}

fn caption_batch(
    pretrained: &Pretrained,
    latents: Tensor<4>,
    config: &SamplingConfig,
) -> Result<Vec<Vec<u32>>, SamplingError> {
    let [count, _, _, _] = latents.dims();
    let special = pretrained.card.special_tokens;
    let mut session = Session::new(pretrained, count)?;
    session.append_tokens(&vec![vec![special.bos, special.boi]; count]);
    let span = session.open_span(&vec![true; count]);
    session.commit(&span, latents);
    let logits = session.append_tokens(&vec![vec![special.eoi]; count]);
    let mut decoder = Decoder::new(&mut session, logits, config.max_tokens);
    // A caption ends with EOS; a model that wants to draw another image has said all it had to say.
    decoder.run(|logits| Ok(greedy_tokens(logits)), |token| token == special.eos || token == special.boi)
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
