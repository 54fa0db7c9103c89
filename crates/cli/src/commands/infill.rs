//! `interfuse infill`: text in the place of masks.

use anyhow::ensure;
use interfuse_sampling::{Infilled, infill};
use serde_json::json;

use crate::args::InfillArgs;
use crate::print::{say, say_error};

pub(crate) fn run(args: &InfillArgs) -> anyhow::Result<()> {
    args.answer.begin();
    ensure!(args.count > 0, "--count: expected at least 1, found 0");
    let loaded = args.model.open()?;
    let sampling = args.sampling.over(&loaded.sampling())?;
    ensure!(
        loaded.learned_masks() != Some(false),
        "{} was trained without masks (causal_masking of texts), so it cannot fill one in",
        loaded.folder().display()
    );
    let seeds: Vec<u64> = (0..args.count as u64).map(|number| args.seed.wrapping_add(number)).collect();
    let mut answers = vec![];
    for text in &args.texts {
        for (Infilled { text: filled, spans, cut_at }, seed) in
            infill(&loaded.pretrained, text, &seeds, &sampling)?.into_iter().zip(&seeds)
        {
            say!("{filled}");
            if let Some(limit) = cut_at {
                say_error!("warning: a span of {text:?} was cut at sampling.max_tokens = {limit}");
            }
            answers.push(json!({ "asked": text, "seed": seed, "text": filled, "spans": spans, "cut_at": cut_at }));
        }
    }
    args.answer.give(&json!({ "texts": answers }))
}
