//! Hears every clip of a source: how many there are, how long they last, what cannot be decoded, and whether long texts take
//! long to say, as they do where clips and transcripts belong together.
//!
//! ```sh
//! cargo run --release -p interfuse-speech --example survey -- '{"kind": "amazon-queen"}'
//! ```

#![allow(clippy::print_stdout)] // An example is a program.

use interfuse_speech::clips::ClipSource;
use interfuse_speech::units::Recordings;
use rayon::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = std::env::args().nth(1).ok_or("expected the settings of a source as JSON")?;
    let clips = serde_json::from_str::<ClipSource>(&settings)?.open()?;
    let heard: Vec<_> = (0..clips.len()).into_par_iter().map(|index| clips.audio(index)).collect();
    let seconds: f64 = heard.iter().flatten().map(|audio| audio.seconds()).sum();
    let pairs: Vec<(f64, f64)> = clips
        .clips()
        .iter()
        .zip(&heard)
        .filter_map(|(clip, audio)| Some((clip.text.chars().count() as f64, audio.as_ref().ok()?.seconds())))
        .collect();
    let silent = heard.iter().flatten().filter(|audio| audio.is_silent()).count();
    let words: usize = clips.clips().iter().map(|clip| clip.text.split_whitespace().count()).sum();
    println!(
        "{} clips, {:.1} minutes, {words} words, {} different texts",
        clips.len(),
        seconds / 60.0,
        clips.unique_texts()
    );
    println!("correlation of characters and seconds: {:.2}", correlation(&pairs));
    println!("{silent} silent; {} left out, such as", clips.skipped().len());
    clips.skipped().iter().take(5).for_each(|reason| println!("  {reason}"));
    let failed: Vec<String> = heard.iter().filter_map(|audio| audio.as_ref().err()).map(ToString::to_string).collect();
    println!("{} that cannot be decoded", failed.len());
    failed.iter().take(20).for_each(|error| println!("  {error}"));
    let (train, held_out) = clips.parted(0.05);
    println!("{} for training, {} held out", train.len(), held_out.len());
    Ok(())
}

fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
    let (x, y) = (mean(&|pair| pair.0), mean(&|pair| pair.1));
    let [xx, xy, yy] = [mean(&|p| (p.0 - x).powi(2)), mean(&|p| (p.0 - x) * (p.1 - y)), mean(&|p| (p.1 - y).powi(2))];
    xy / (xx * yy).sqrt()
}
