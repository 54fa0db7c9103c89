//! Data without classes is measured by *retrieval* (is the training image nearest to a generated one the prompted one?) and by
//! *captions* (are greedy captions of training images exact?). Both say how well a small set was memorised.

use std::collections::HashMap;

use interfuse_checkpoint::Pretrained;
use interfuse_data::{Image, Source};
use interfuse_evaluation::caption_metrics::{CaptionMetrics, caption_metrics};
use interfuse_evaluation::retrieval::Retrieval;
use interfuse_evaluation::{captions, retrieval, similarity};
use interfuse_sampling::{ImageRequest, SamplingConfig, caption, fits};
use serde_json::json;

use super::generated::{Generated, PromptScores, array, generate_all};
use super::report::Report;
use crate::error::{Result, refuse};
use crate::observer::RunObserver;

/// What was generated, written and found.
pub(super) struct Measured {
    pub(super) generated: Generated,
    retrieval: Retrieval,
    captions: captions::Captions,
    caption_metrics: CaptionMetrics,
    /// How often a model would be right that always wrote the commonest caption.
    chance_of_caption: f64,
    references: usize,
    /// A few pairs of caption and what the model wrote.
    examples: Vec<(String, String)>,
}

/// Draws an image of each of `count` captions, and captions every training image.
pub(super) fn measure(
    pretrained: &Pretrained,
    source: &dyn Source,
    sampling: &SamplingConfig,
    (count, seed): (usize, u64),
    observer: &mut dyn RunObserver,
) -> Result<Measured> {
    // Training left out captions that are longer than its rows, so the model is not asked for them either.
    let readable: Vec<(Vec<String>, Image)> = (0..source.len())
        .filter_map(|index| {
            let captions = source.captions(index).ok()?;
            if !fits(pretrained, captions.first()?) {
                return None;
            }
            Some((captions, source.image(index).ok()?))
        })
        .collect();
    let left_out = source.len() - readable.len();
    if readable.is_empty() {
        refuse!("none of the {left_out} images of the data could be read and has a caption that fits the model's rows");
    }
    if left_out > 0 {
        observer.note(&format!(
            "left out: {left_out} images that cannot be read or whose caption does not fit the model's rows"
        ));
    }
    let references: Vec<Image> = readable.iter().map(|(_, image)| image.clone()).collect();
    let wanted: Vec<usize> = (0..count.max(1)).map(|i| i % references.len()).collect();
    let caption_of = |reference: usize| readable[reference].0[0].clone();
    let size_of = |reference: usize| Some([references[reference].shape().height, references[reference].shape().width]);
    let requests: Vec<ImageRequest> = wanted
        .iter()
        .enumerate()
        .map(|(i, &reference)| {
            ImageRequest::new(caption_of(reference), seed.wrapping_add(i as u64)).of_size(size_of(reference))
        })
        .collect();

    let mut generated = generate_all(pretrained, requests, sampling, observer)?;
    let retrieval = {
        let [drawn, known] = [&generated.images, &references].map(|images| array(images, source.shape()));
        retrieval::retrieval(drawn?.view(), known?.view(), &wanted)?
    };
    let likeness = generated
        .images
        .iter()
        .zip(&wanted)
        .map(|(image, &reference)| similarity::psnr(image.pixels(), references[reference].pixels()));
    let values = likeness.collect::<Result<_, _>>()?;
    generated.scores = Some(PromptScores { what: "PSNR to the prompted training image", values });

    let mut progress = |done| observer.progress("images captioned", done, references.len());
    let written = caption(pretrained, &references, sampling, &mut progress)?;
    let written = super::generated::texts(written, observer);
    let right: Vec<String> = (0..references.len()).map(caption_of).collect();
    let captions = captions::compare(&written, &right)?;
    let chance_of_caption = fraction_of_the_commonest(&right);
    let all_right: Vec<Vec<String>> = readable.iter().map(|(captions, _)| captions.clone()).collect();
    let caption_metrics = caption_metrics(&written, &all_right)?;
    let examples = right.iter().cloned().zip(written).step_by(references.len().div_ceil(4)).collect();
    let references = references.len();
    Ok(Measured { generated, retrieval, captions, caption_metrics, chance_of_caption, references, examples })
}

/// How often a model would be right that always wrote the same caption.
fn fraction_of_the_commonest(captions: &[String]) -> f64 {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for caption in captions {
        *counts.entry(caption).or_default() += 1;
    }
    counts.into_values().max().unwrap_or(0) as f64 / captions.len().max(1) as f64
}

impl Measured {
    pub(super) fn report(&self, pretrained: &Pretrained) -> Report {
        let Self { generated, retrieval, captions, caption_metrics, chance_of_caption, references, examples } = self;
        let mut report = Report::default();
        report.note("captions of training images, and what the model writes:");
        for (right, written) in examples {
            report.note(format!("  {right:<28} {written}"));
        }
        report.heading(pretrained.card.step);
        let chance = 1.0 / *references as f64;
        report.fraction("nearest training image is the prompted one", &retrieval.top1, Some(chance));
        report.fraction("… or among the five nearest", &retrieval.top5, Some(5.0 * chance));
        report.fraction("greedy captions of training images are exact", &captions.exact, Some(*chance_of_caption));
        report.note(format!(
            "captions: BLEU-4 {:.3}  ROUGE-L {:.3}  CIDEr-D {:.3}",
            caption_metrics.bleu[3], caption_metrics.rouge_l, caption_metrics.cider_d
        ));
        report.note(generated.summary());
        report.value = super::base(generated, pretrained);
        report.value["retrieval"] = json!(retrieval);
        report.value["captions"] = json!(captions);
        report.value["captions_chance"] = json!(chance_of_caption);
        report.value["caption_metrics"] = json!(caption_metrics);
        report.value["reference_images"] = json!(references);
        report
    }
}
