//! How much memory and time an epoch over many captioned images in compressed tars takes: `stream_shards FOLDER [IMAGES]`.
//!
//! Writes a synthetic set of tars of 10,000 images each where the folder has none, opens it, and passes every image once.

// It is a command of its own, which prints what it measures.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use interfuse_data::{DataConfig, Image, ImageCursor, ImageStream, open};
use ndarray::Array3;

/// Images of a shard.
const OF_A_SHARD: usize = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("expected a folder for the shards")?;
    let images: usize = args.next().map_or(Ok(1_000_000), |images| images.parse())?;
    let path = Path::new(&folder);
    if !path.exists() {
        fs::create_dir_all(path)?;
        for shard in 0..images.div_ceil(OF_A_SHARD) {
            let first = shard * OF_A_SHARD;
            write_shard(&path.join(format!("{shard:05}.tar.gz")), first..images.min(first + OF_A_SHARD))?;
        }
    }
    let started = Instant::now();
    let config = format!(
        "image_size = [32, 32]\nupscale = true\nsource = {{ kind = 'shards', shards = ['{folder}'], held_out = 0.0 }}"
    );
    let config: DataConfig = toml::from_str(&config)?;
    let source = open(&config)?.train;
    println!("{} images opened in {:.1} s, {} MiB", source.len(), started.elapsed().as_secs_f64(), held());
    let started = Instant::now();
    let captions: usize =
        (0..source.len()).map(|index| source.captions(index).map_or(0, |captions| captions.len())).sum();
    println!("{captions} captions read in {:.1} s, {} MiB", started.elapsed().as_secs_f64(), held());
    let mut stream = ImageStream::new(source.clone(), 0.0, 1, ImageCursor::default());
    let started = Instant::now();
    for tenth in 1..=10 {
        while stream.cursor().next < (source.len() * tenth / 10) as u64 {
            stream.next_batch(1)?;
        }
        println!("{} images passed in {:.1} s, {} MiB", stream.cursor().next, started.elapsed().as_secs_f64(), held());
    }
    Ok(())
}

/// MiB that this process holds, where the system says so.
fn held() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() / 1024
}

/// Small images of one grey each, with captions.
fn write_shard(path: &Path, images: std::ops::Range<usize>) -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let mut files = vec![];
    for grey in 0..=255 {
        let file = folder.path().join("image.png");
        Image::new(Array3::from_elem((3, 24, 32), grey))?.save_png(&file)?;
        files.push(fs::read(file)?);
    }
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(File::create(path)?, flate2::Compression::fast()));
    for number in images {
        let caption = format!("a grey image, number {number}");
        for (suffix, bytes) in [("png", files[number % 256].as_slice()), ("txt", caption.as_bytes())] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, format!("{number:09}.{suffix}"), bytes)?;
        }
    }
    tar.into_inner()?.finish()?;
    Ok(())
}
