//! `interfuse sample`: images of prompts, or whatever the model makes by itself.

use std::path::Path;

use anyhow::{Context, ensure};
use interfuse_sampling::{ImageRequest, Piece, SamplingConfig, generate, write};
use serde_json::Value;

use crate::args::SampleArgs;
use crate::atomic_file::write_whole;
use crate::commands::loaded_run::LoadedRun;
use crate::progress::counting_bar;
use crate::recorder::sampling_of;
use crate::sample_folder::{self, Origin};

pub(crate) fn run(args: &SampleArgs) -> anyhow::Result<()> {
    ensure!(args.count > 0, "--count: expected at least 1, found 0");
    let loaded = LoadedRun::open(&args.model)?;
    let sampling = sampling_of(&loaded.sampling(), &args.sampling)?;
    loaded.warn_of_guidance(&sampling);
    let folder = args.out.clone().unwrap_or_else(|| loaded.folder().join("samples"));
    if let Some(prompts) = &args.geneval {
        return generate_geneval(&loaded, args, &sampling, (prompts, &folder));
    }
    if args.prompts.is_empty() {
        return write_freely(&loaded, args, &sampling, &folder);
    }
    let seeds = seeds(args);
    let requests: Vec<ImageRequest> = args
        .prompts
        .iter()
        .flat_map(|prompt| seeds.iter().map(|&seed| ImageRequest { prompt: prompt.clone(), seed }))
        .collect();
    let bar = counting_bar("images", requests.len());
    let images = generate(&loaded.pretrained, &requests, &sampling, &mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let columns = if args.prompts.len() == 1 { 8.min(args.count) } else { args.count };
    let origin = Origin { sampling: &sampling, checkpoint: &loaded.checkpoint, columns };
    let grid = sample_folder::write(&folder, &requests, &images, &origin)?;
    println!("{} images in {}, all of them in {}", images.len(), folder.display(), grid.display());
    Ok(())
}

/// Draws the prompts of a JSON lines file into the folders that GenEval's scorer (2310.11513) reads:
///
/// ```text
/// 00000/metadata.jsonl         the prompt's own line
/// 00000/samples/0000.png …
/// ```
fn generate_geneval(
    loaded: &LoadedRun,
    args: &SampleArgs,
    sampling: &SamplingConfig,
    (path, folder): (&Path, &Path),
) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines: Vec<(usize, &str)> = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).collect();
    ensure!(!lines.is_empty(), "{}: expected a JSON object with a `prompt` a line, found no line", path.display());
    let seeds = seeds(args);
    let mut requests = vec![];
    for (index, line) in &lines {
        let at = || format!("{}, line {}", path.display(), index + 1);
        let value: Value = serde_json::from_str(line).with_context(at)?;
        let prompt = value.get("prompt").and_then(Value::as_str);
        let prompt = prompt.with_context(|| format!("{}: expected a text `prompt`, found none", at()))?;
        requests.extend(seeds.iter().map(|&seed| ImageRequest { prompt: prompt.into(), seed }));
    }
    let bar = counting_bar("images", requests.len());
    let images = generate(&loaded.pretrained, &requests, sampling, &mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    for (index, ((_, line), images)) in lines.iter().zip(images.chunks(seeds.len())).enumerate() {
        let samples = folder.join(format!("{index:05}")).join("samples");
        std::fs::create_dir_all(&samples).with_context(|| format!("cannot create {}", samples.display()))?;
        write_whole(&samples.with_file_name("metadata.jsonl"), format!("{line}\n").as_bytes())?;
        for (number, image) in images.iter().enumerate() {
            image.save_png(&samples.join(format!("{number:04}.png")))?;
        }
    }
    println!("{} images of {} prompts in {}", images.len(), lines.len(), folder.display());
    Ok(())
}

/// One seed after the other; the last possible one is followed by 0.
fn seeds(args: &SampleArgs) -> Vec<u64> {
    (0..args.count as u64).map(|i| args.seed.wrapping_add(i)).collect()
}

/// Prints what the model writes, and saves what it draws with the words before it as caption.
fn write_freely(loaded: &LoadedRun, args: &SampleArgs, sampling: &SamplingConfig, folder: &Path) -> anyhow::Result<()> {
    let seeds = seeds(args);
    let documents = write(&loaded.pretrained, &seeds, sampling)?;
    let (mut requests, mut images) = (vec![], vec![]);
    for (document, &seed) in documents.iter().zip(&seeds) {
        let mut words = String::new();
        for piece in document {
            match piece {
                Piece::Text(text) => {
                    println!("seed {seed}: {text}");
                    words = text.clone();
                }
                Piece::Image(image) => {
                    println!("seed {seed}: [image {:06}.png]", images.len());
                    requests.push(ImageRequest { prompt: words.clone(), seed });
                    images.push(image.clone());
                }
            }
        }
    }
    if images.is_empty() {
        println!("the model drew no image");
        return Ok(());
    }
    let origin = Origin { sampling, checkpoint: &loaded.checkpoint, columns: 8.min(images.len()) };
    let grid = sample_folder::write(folder, &requests, &images, &origin)?;
    println!("{} images in {}, all of them in {}", images.len(), folder.display(), grid.display());
    Ok(())
}
