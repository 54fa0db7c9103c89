//! How fast captioned images come out of shards, raw or decoded and resized to 64 × 64, and how much memory that takes.
//!
//! ```sh
//! cargo run --release -p interfuse-shards --example throughput -- 'shards/{000..009}.tar' 10000 --decode
//! ```

#![allow(clippy::print_stdout)] // An example is a program.

use std::time::Instant;

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use interfuse_shards::{Example, OrderConfig, Part, Place, Reading, ShardList, ShardStream};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [pattern, count, options @ ..] = arguments.as_slice() else {
        return Err("expected a pattern, a number of examples, and perhaps --decode".into());
    };
    let decodes = options.iter().any(|option| option == "--decode");
    let count: u64 = count.parse()?;
    let list = ShardList::expand(&[pattern])?;
    let work = move |example: Example| if decodes { decoded(example) } else { Ok(example.bytes()) };
    let start = Instant::now();
    let at = (Place::alone(0), None);
    let mut stream = ShardStream::open_with(&list, Reading::default(), OrderConfig::default(), at, work)?;
    let mut bytes = 0;
    for number in 1..=count {
        bytes += stream.next_example()?.example;
        if number % (count / 10).max(1) == 0 {
            println!("{number} examples, {} in memory", memory("VmRSS:"));
        }
    }
    let speed = stream.speed();
    println!("{bytes} bytes of {} shards in {:.2} s", list.shards.len(), start.elapsed().as_secs_f64());
    println!("{:.1} examples/s, waited {:.3} of the time", speed.examples_per_second(), speed.waited);
    println!("{:?}, at most {} in memory", stream.counters(), memory("VmHWM:"));
    stream.take_warnings().iter().for_each(|warning| println!("{warning}"));
    Ok(())
}

/// Decodes the first image and resizes it to 64 × 64; the bytes of the result.
fn decoded(example: Example) -> Result<usize, String> {
    let image = example.parts.iter().find_map(|part| match part {
        Part::Image(image) => Some(image),
        Part::Text(_) => None,
    });
    let bytes = &image.ok_or("no image")?.bytes;
    let pixels = image::load_from_memory(bytes).map_err(|error| error.to_string())?.into_rgb8();
    let (width, height) = pixels.dimensions();
    let describe = |error: &dyn std::fmt::Display| error.to_string();
    let source =
        Image::from_vec_u8(width, height, pixels.into_raw(), PixelType::U8x3).map_err(|error| describe(&error))?;
    let mut resized = Image::new(64, 64, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new().resize(&source, &mut resized, &options).map_err(|error| describe(&error))?;
    Ok(resized.buffer().len())
}

/// A line of what Linux says about the memory of this process.
fn memory(line: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|found| found.strip_prefix(line));
    found.map_or("an unknown amount".into(), |amount| amount.trim().to_string())
}
