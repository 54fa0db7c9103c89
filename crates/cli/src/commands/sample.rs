//! `interfuse sample`: pictures of prompts, or whatever the model makes by itself.

use std::path::Path;

use anyhow::ensure;
use interfuse_sampling::{Drawing, Piece, SamplingConfig, draw, write};

use crate::args::SampleArgs;
use crate::commands::loaded_run::LoadedRun;
use crate::progress::counting_bar;
use crate::recorder::sampling_of;
use crate::sample_folder::{self, Origin};

pub(crate) fn run(args: &SampleArgs) -> anyhow::Result<()> {
    ensure!(args.count > 0, "--count: expected at least 1, found 0");
    let loaded = LoadedRun::open(&args.model)?;
    let sampling = sampling_of(&loaded.sampling(), &args.draw)?;
    let folder = args.out.clone().unwrap_or_else(|| loaded.folder().join("samples"));
    if args.prompts.is_empty() {
        return write_freely(&loaded, args, &sampling, &folder);
    }
    let seeds = seeds(args);
    let drawings: Vec<Drawing> = args
        .prompts
        .iter()
        .flat_map(|prompt| seeds.iter().map(|&seed| Drawing { prompt: prompt.clone(), seed }))
        .collect();
    let bar = counting_bar("pictures", drawings.len());
    let pictures = draw(&loaded.pretrained, &drawings, &sampling, &mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let columns = if args.prompts.len() == 1 { 8.min(args.count) } else { args.count };
    let origin = Origin { sampling: &sampling, checkpoint: &loaded.checkpoint, columns };
    let grid = sample_folder::write(&folder, &drawings, &pictures, &origin)?;
    println!("{} pictures in {}, all of them in {}", pictures.len(), folder.display(), grid.display());
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
    let (mut drawings, mut pictures) = (vec![], vec![]);
    for (document, &seed) in documents.iter().zip(&seeds) {
        let mut words = String::new();
        for piece in document {
            match piece {
                Piece::Text(text) => {
                    println!("seed {seed}: {text}");
                    words = text.clone();
                }
                Piece::Picture(picture) => {
                    println!("seed {seed}: [picture {:06}.png]", pictures.len());
                    drawings.push(Drawing { prompt: words.clone(), seed });
                    pictures.push(picture.clone());
                }
            }
        }
    }
    if pictures.is_empty() {
        println!("the model drew no picture");
        return Ok(());
    }
    // Nothing guides a picture that nobody asked for.
    let unguided = SamplingConfig { guidance: 1.0, ..sampling.clone() };
    let origin = Origin { sampling: &unguided, checkpoint: &loaded.checkpoint, columns: 8.min(pictures.len()) };
    let grid = sample_folder::write(folder, &drawings, &pictures, &origin)?;
    println!("{} pictures in {}, all of them in {}", pictures.len(), folder.display(), grid.display());
    Ok(())
}
