//! Captions of images: the image is read clean, at t = 0, and the model writes until EOS.

use std::borrow::Borrow;

use burn::tensor::{Tensor, TensorData};
use interfuse_checkpoint::Pretrained;
use interfuse_data::{Image, ImageShape};
use ndarray::Array3;

use crate::codes::ids_of;
use crate::config::SamplingConfig;
use crate::error::SamplingError;
use crate::listening::{Listener, Telling};
use crate::session::Session;
use crate::size::latent_shape;
use crate::token::likeliest;
use crate::write::Decoder;

/// What the model wrote of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    /// Its words.
    pub text: String,
    /// The limit in tokens at which it was cut, where it did not come to its end before.
    pub cut_at: Option<usize>,
}

/// Captions images of sizes that fit the model; `progress` hears how many are done.
///
/// # Errors
/// When a setting or an image does not fit the model.
pub fn caption(
    pretrained: &Pretrained,
    images: &[Image],
    config: &SamplingConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Caption>, SamplingError> {
    let mut captions = Vec::with_capacity(images.len());
    for batch in images.chunks(config.max_batch.max(1)) {
        captions.extend(caption_heard(pretrained, batch, config, &mut ())?.unwrap_or_default());
        progress(captions.len());
    }
    Ok(captions)
}

/// As [`caption`], of one batch that is heard while it is written; `None` where it was given up.
///
/// # Errors
/// As [`caption`].
pub fn caption_heard(
    pretrained: &Pretrained,
    images: &[Image],
    config: &SamplingConfig,
    listener: &mut dyn Listener,
) -> Result<Option<Vec<Caption>>, SamplingError> {
    config.validate()?;
    if pretrained.card.images.is_none() {
        return Err(SamplingError::CannotDo { missing: "images", task: "caption" });
    }
    if images.is_empty() {
        return Ok(Some(vec![]));
    }
    let limit = config.max_caption_tokens.unwrap_or(pretrained.card.max_text_rows).max(1);
    let latents = encode(pretrained, images)?;
    let count = latents.len();
    let special = pretrained.card.special_tokens;
    let mut session = Session::token_by_token(pretrained, count)?;
    session.append_tokens(&vec![vec![special.bos, special.boi]; count]);
    read_images(pretrained, &mut session, &latents.iter().map(Some).collect::<Vec<_>>());
    let logits = session.append_tokens(&vec![vec![special.eoi]; count]);
    likeliest_text(pretrained, &mut session, (logits, limit), listener)
}

/// What every sequence writes from `logits` on, the likeliest word each time, in at most `limit` tokens. It ends with EOS; a
/// model that wants to draw or to speak has come to the end of its text. `None` where the listener gave it up.
pub(crate) fn likeliest_text(
    pretrained: &Pretrained,
    session: &mut Session<'_>,
    (logits, limit): (Option<Tensor<2>>, usize),
    listener: &mut dyn Listener,
) -> Result<Option<Vec<Caption>>, SamplingError> {
    let mut telling = Telling::new(listener, &pretrained.tokenizer, session.len());
    let mut decoder = Decoder::new(session, logits, limit);
    let heard = |written: &[Vec<u32>]| telling.tell(written);
    let Some(written) = decoder.run_heard(|logits, _| likeliest(logits), ends_text(pretrained), heard) else {
        return Ok(None);
    };
    if telling.finish(&written).is_break() {
        return Ok(None);
    }
    let of = |(ids, &is_cut): (Vec<u32>, &bool)| {
        let text = pretrained.tokenizer.decode(&ids)?.trim().to_string();
        Ok(Caption { text, cut_at: is_cut.then_some(limit) })
    };
    written.into_iter().zip(decoder.cut()).map(of).collect::<Result<_, _>>().map(Some)
}

/// Whether a token ends a stretch of text.
pub(crate) fn ends_text(pretrained: &Pretrained) -> impl Fn(u32) -> bool + use<> {
    let special = pretrained.card.special_tokens;
    let begin = pretrained.card.speech.as_ref().map(|speech| speech.ids.begin);
    move |token| token == special.eos || token == special.boi || Some(token) == begin
}

/// Reads an image into every sequence that has one, clean.
pub(crate) fn read_images(pretrained: &Pretrained, session: &mut Session<'_>, latents: &[Option<&Array3<f32>>]) {
    let mut shapes: Vec<(usize, usize, usize)> = latents.iter().flatten().map(|latents| latents.dim()).collect();
    shapes.sort_unstable();
    shapes.dedup();
    // A span has images of one size.
    for shape in shapes {
        let of_shape = |latents: &Option<&'_ Array3<f32>>| latents.is_some_and(|latents| latents.dim() == shape);
        let reading: Vec<bool> = latents.iter().map(of_shape).collect();
        if let Some(codes) = pretrained.card.codes {
            session.open_grid(&reading, [shape.1, shape.2]);
            let ids = latents.iter().map(|latents| latents.filter(|found| found.dim() == shape));
            let ids = ids.map(|latents| latents.map_or(vec![], |latents| ids_of(latents, codes)));
            session.append_codes(&ids.collect::<Vec<_>>());
            continue;
        }
        // A sequence without such an image has no rows for it, so what stands here for it is read by nobody.
        let none = Array3::zeros(shape);
        let values = latents.iter().flat_map(|latents| latents.filter(|found| found.dim() == shape).unwrap_or(&none));
        let (channels, height, width) = shape;
        let data = TensorData::new(values.copied().collect(), [latents.len(), channels, height, width]);
        let span = session.open_span(&reading, shape.into());
        session.commit(&span, Tensor::from_data(data, &pretrained.device));
    }
}

/// The latents of images, whose sizes fit the model.
pub(crate) fn encode<I: Borrow<Image>>(
    pretrained: &Pretrained,
    images: &[I],
) -> Result<Vec<Array3<f32>>, SamplingError> {
    let [expected, ..] = pretrained.card.image_shape;
    let mut latents = Vec::with_capacity(images.len());
    for (index, image) in images.iter().map(Borrow::borrow).enumerate() {
        let ImageShape { channels: found, height, width } = image.shape();
        if found != expected {
            return Err(SamplingError::Channels { name: format!("number {index}"), found, expected });
        }
        latent_shape(pretrained, Some([height, width]))?;
        latents.push(pretrained.codec.encode(image.to_unit_range())?.mean);
    }
    Ok(latents)
}
