//! `interfuse sample`: images of prompts, or whatever the model makes by itself.

use std::path::Path;

use anyhow::{Context, ensure};
use interfuse_data::Image;
use interfuse_parameters::durable::{check_folder, create_folder, write_file};
use interfuse_run::sample_folder::{self, Origin};
use interfuse_run::{LoadedRun, RunObserver as _};
use interfuse_sampling::{ImageRequest, Piece, SamplingConfig, generate, is_trained_size, sound, write};
use interfuse_speech::audio::write_wav;
use serde_json::{Value, json};

use crate::args::SampleArgs;
use crate::print::{say, say_error};
use crate::terminal::Terminal;

pub(crate) fn run(args: &SampleArgs) -> anyhow::Result<()> {
    args.answer.begin();
    ensure!(args.count > 0, "--count: expected at least 1, found 0");
    let loaded = args.model.open()?;
    let sampling = args.sampling.over(&loaded.sampling())?;
    if let Some(warning) = loaded.guidance_warning(&sampling) {
        say_error!("warning: {warning}");
    }
    if let Some([height, width]) = args.size.filter(|&size| !is_trained_size(&loaded.pretrained, size)) {
        say_error!("warning: the model saw no image of {height} × {width} pixels in training");
    }
    let folder = args.out.clone().unwrap_or_else(|| loaded.folder().join("samples"));
    if let Some(prompts) = &args.geneval {
        return generate_geneval(&loaded, args, &sampling, (prompts, &folder));
    }
    if args.out.is_some() {
        sample_folder::check(&folder)?;
    }
    if args.prompts.is_empty() {
        ensure!(args.size.is_none(), "--size: expected a prompt, for what the model draws by itself has its own size");
        return write_freely(&loaded, args, &sampling, &folder);
    }
    let seeds = seeds(args);
    let requests: Vec<ImageRequest> = args
        .prompts
        .iter()
        .flat_map(|prompt| seeds.iter().map(|&seed| ImageRequest::new(prompt.clone(), seed).of_size(args.size)))
        .collect();
    let images = generate_shown(&loaded, &requests, &sampling)?;
    let columns = if args.prompts.len() == 1 { 8.min(args.count) } else { args.count };
    let origin = Origin { sampling: &sampling, checkpoint: &loaded.checkpoint, columns };
    let grid = sample_folder::write(&folder, &requests, &images, &origin)?;
    say!("{} images in {}, all of them in {}", images.len(), folder.display(), grid.display());
    args.answer.give(&json!({ "folder": folder, "grid": grid, "images": listed(&requests) }))
}

/// Of each image its file in the folder, its prompt and its seed.
pub(super) fn listed(requests: &[ImageRequest]) -> Vec<Value> {
    let of = |(index, request): (usize, &ImageRequest)| json!({ "file_name": format!("{index:06}.png"), "prompt": request.prompt, "seed": request.seed });
    requests.iter().enumerate().map(of).collect()
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
        requests.extend(seeds.iter().map(|&seed| ImageRequest::new(prompt, seed).of_size(args.size)));
    }
    refuse_others(folder)?;
    let images = generate_shown(loaded, &requests, sampling)?;
    for (index, ((_, line), images)) in lines.iter().zip(images.chunks(seeds.len())).enumerate() {
        let samples = folder.join(format!("{index:05}")).join("samples");
        create_folder(&samples)?;
        write_file(&samples.with_file_name("metadata.jsonl"), format!("{line}\n").as_bytes())?;
        for (number, image) in images.iter().enumerate() {
            image.save_png(&samples.join(format!("{number:04}.png")))?;
        }
    }
    say!("{} images of {} prompts in {}", images.len(), lines.len(), folder.display());
    args.answer.give(&json!({ "folder": folder, "images": images.len(), "prompts": lines.len() }))
}

/// Generates with a bar.
fn generate_shown(
    loaded: &LoadedRun,
    requests: &[ImageRequest],
    sampling: &SamplingConfig,
) -> anyhow::Result<Vec<Image>> {
    let mut terminal = Terminal::default();
    let mut progress = |done| terminal.progress("images", done, requests.len());
    Ok(generate(&loaded.pretrained, requests, sampling, &mut progress)?)
}

/// Refuses a folder that holds anything but GenEval's folders, since some of it might be replaced.
fn refuse_others(folder: &Path) -> anyhow::Result<()> {
    check_folder(folder)?;
    if !folder.exists() {
        return Ok(());
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let is_ours = |name: &str| name.len() == 5 && name.bytes().all(|byte| byte.is_ascii_digit());
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        ensure!(
            entry.path().is_dir() && is_ours(&name),
            "{}: expected a folder that is empty, does not exist or holds GenEval's folders, found `{name}`",
            folder.display()
        );
    }
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
    let (mut requests, mut images, mut spoken, mut pieces) = (vec![], vec![], 0, vec![]);
    for (document, &seed) in documents.iter().zip(&seeds) {
        let mut words = String::new();
        for piece in document {
            match piece {
                Piece::Text(text) => {
                    say!("seed {seed}: {text}");
                    pieces.push(json!({ "seed": seed, "text": text }));
                    words = text.clone();
                }
                Piece::Image(image) => {
                    let file = format!("{:06}.png", images.len());
                    say!("seed {seed}: [image {file}]");
                    pieces.push(json!({ "seed": seed, "image": file }));
                    requests.push(ImageRequest::new(words.clone(), seed));
                    images.push(image.clone());
                }
                Piece::Speech(units) => {
                    let file = format!("{:06}.wav", spoken);
                    say!("seed {seed}: [speech {file}, {} units]", units.len());
                    pieces.push(json!({ "seed": seed, "speech": file, "units": units.len() }));
                    if loaded.pretrained.units.is_some() && !units.is_empty() {
                        create_folder(folder)?;
                        write_wav(&folder.join(&file), &sound(&loaded.pretrained, units, seed)?)?;
                    }
                    spoken += 1;
                }
            }
        }
    }
    if images.is_empty() {
        if spoken == 0 {
            say!("the model drew no image");
        }
        return args.answer.give(&json!({ "folder": folder, "grid": Value::Null, "pieces": pieces }));
    }
    let origin = Origin { sampling, checkpoint: &loaded.checkpoint, columns: 8.min(images.len()) };
    let grid = sample_folder::write(folder, &requests, &images, &origin)?;
    say!("{} images in {}, all of them in {}", images.len(), folder.display(), grid.display());
    args.answer.give(&json!({ "folder": folder, "grid": grid, "pieces": pieces }))
}
