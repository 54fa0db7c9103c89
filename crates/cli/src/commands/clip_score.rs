//! `interfuse clip-score FOLDER`: how well images fit their captions.

use anyhow::ensure;
use interfuse_evaluation::clip_score::clip_score;
use interfuse_evaluation::features::clip::Clip;
use interfuse_evaluation::image_set::ImageSet;
use interfuse_parameters::durable::{check_writable, write_file};
use interfuse_run::RunObserver as _;
use ndarray::Axis;
use serde_json::json;

use crate::args::ClipScoreArgs;
use crate::print::say;
use crate::terminal::Terminal;

pub(crate) fn run(args: &ClipScoreArgs) -> anyhow::Result<()> {
    ensure!(args.batch_size > 0, "--batch-size: expected at least 1, found 0");
    if let Some(path) = &args.json {
        check_writable(path)?;
    }
    let clip = Clip::open(&args.clip, &interfuse_run::device::open(&args.device)?)?;
    let set = ImageSet::open(&args.images)?;
    let (mut captions, mut without, mut images, mut texts) = (vec![], vec![], vec![], vec![]);
    let (mut terminal, total, mut done) = (Terminal::default(), set.len().unwrap_or(0), 0);
    let report = set.for_each_batch(args.batch_size, &mut |batch, _| {
        done += batch.len();
        terminal.progress("images", done, total);
        let (mut pixels, mut prompts) = (vec![], vec![]);
        for image in batch {
            match image.caption {
                Some(caption) => {
                    prompts.push(format!("{}{caption}", args.prefix));
                    captions.push(caption);
                    pixels.push(image.pixels);
                }
                None => without.push(image.name),
            }
        }
        if !pixels.is_empty() {
            images.push(clip.embed_images(&pixels)?);
            texts.push(clip.embed_texts(&prompts)?);
        }
        Ok(())
    })?;
    drop(terminal);
    let found = args.images.display();
    ensure!(
        !captions.is_empty(),
        "{found}: expected captions in metadata.jsonl or in .txt files beside the images, found none for {} images",
        without.len()
    );
    say!("{found}: {} images with a caption", captions.len());
    if let Some(first) = without.first() {
        say!("  left out {} without a caption, such as {first}", without.len());
    }
    if report.bad > 0 {
        say!("  skipped {} bad ones; first: {}", report.bad, report.bad_examples.join("; "));
    }
    let [images, texts] = [&images, &texts].map(|parts| {
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        ndarray::concatenate(Axis(0), &views)
    });
    let score = clip_score(images?.view(), texts?.view(), &captions, args.seed)?;
    let chance = 100.0 / score.candidates as f64;
    say!("R-precision among {} captions:  {} (chance {chance:.1} %)", score.candidates, score.r_precision);
    say!("2.5 · max(0, cos) (Hessel):  {}", score.hessel);
    say!("100 · max(0, cos):  {}", score.score_100);
    say!("cosine:  {}", score.cosine);
    if let Some(path) = &args.json {
        let mut value = serde_json::to_value(&score)?;
        value["weights_sha256"] = json!(clip.sha256());
        value["prefix"] = json!(args.prefix);
        write_file(path, &serde_json::to_vec_pretty(&value)?)?;
    }
    Ok(())
}
