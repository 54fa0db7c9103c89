//! What the images show that are generated while a model trains.

use interfuse_data::documents::MARKERS;
use interfuse_data::{DataError, evenly};
use interfuse_sampling::ImageRequest;

use crate::error::{Result, require};
use crate::plan::Plan;

/// What the previews show: the configured prompts, or captions spread evenly over the training data.
///
/// # Errors
/// A configured prompt is longer than the rows, or the model does not draw; a caption that is longer is left out, as it is in
/// training.
pub(crate) fn preview_prompts(plan: &Plan) -> Result<Vec<ImageRequest>> {
    let preview = &plan.settings.preview;
    let limit = plan.card.max_text_rows;
    let rows = |prompt: &str| Ok::<_, DataError>(plan.tokenizer.encode(prompt)?.len() + MARKERS);
    let mut prompts = preview.prompts.clone();
    let draws = plan.card.images.is_some();
    require!(
        draws || prompts.is_empty(),
        "preview.prompts: expected none, for the data holds no images to learn to draw"
    );
    for prompt in &prompts {
        let found = rows(prompt)?;
        require!(found <= limit, "preview.prompts: expected at most {limit} tokens, found {found} in {prompt:?}");
    }
    if prompts.is_empty() {
        let Some(images) = &plan.data.images else { return Ok(vec![]) };
        let source = &images.train;
        prompts = evenly(preview.count, source.len()).filter_map(|index| source.caption(index).ok()).collect();
        prompts.retain(|caption| rows(caption).is_ok_and(|found| found <= limit));
    }
    let requests = prompts.into_iter().enumerate();
    Ok(requests.map(|(seed, prompt)| ImageRequest::new(prompt, seed as u64)).collect())
}
