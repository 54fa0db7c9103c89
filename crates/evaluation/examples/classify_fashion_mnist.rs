//! Trains the classifier on the real Fashion-MNIST and prints how well it does on the images held out.
//!
//! ```text
//! apt-get install dataset-fashion-mnist
//! cargo run --release -p interfuse-evaluation --example classify_fashion_mnist [EPOCHS]
//! ```
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use flate2::read::GzDecoder;
use interfuse_evaluation::classifier::{Classifier, ClassifierConfig};
use interfuse_evaluation::frechet::{Statistics, frechet_distance};
use ndarray::{Array4, s};

const FOLDER: &str = "/usr/share/datasets/fashion-mnist";

fn main() -> Result<(), Box<dyn Error>> {
    let (images, labels) = read("train")?;
    let (test_images, test_labels) = read("t10k")?;
    let mut config = ClassifierConfig::cnn_v1(10);
    if let Some(epochs) = std::env::args().nth(1) {
        config.epochs = epochs.parse()?;
    }

    let start = Instant::now();
    let classifier = Classifier::train(images.view(), &labels, &config, 0, &mut |progress| {
        if progress.step % 250 == 0 {
            println!("step {} of {}: loss {:.3}", progress.step, progress.steps, progress.loss);
        }
    })?;
    println!("trained in {:.0} s", start.elapsed().as_secs_f64());

    let start = Instant::now();
    println!("on the 10,000 test images: {}", classifier.accuracy(test_images.view(), &test_labels)?);
    println!("judged in {:.1} s; fingerprint {}", start.elapsed().as_secs_f64(), classifier.fingerprint()?);

    // The baseline of the Fréchet distance: real images against other real images.
    let test = Statistics::of(classifier.features(test_images.view())?.view())?;
    for (name, set) in [
        ("train images", images.slice(s![..10_000, .., .., ..]).to_owned()),
        ("test images upside down", test_images.slice(s![.., .., ..;-1, ..]).to_owned()),
        ("grey images", Array4::zeros(test_images.dim())),
    ] {
        let other = Statistics::of(classifier.features(set.view())?.view())?;
        println!("Fréchet distance of test images to {name}: {:.3}", frechet_distance(&test, &other)?);
    }
    Ok(())
}

/// One half of the set: images `[count, 1, 28, 28]` in [-1, 1], and labels.
fn read(half: &str) -> Result<(Array4<f32>, Vec<usize>), Box<dyn Error>> {
    let pixels = read_idx(half, "images-idx3", 16)?;
    let labels = read_idx(half, "labels-idx1", 8)?.into_iter().map(usize::from).collect::<Vec<_>>();
    let values = pixels.into_iter().map(|pixel| f32::from(pixel) / 127.5 - 1.0).collect();
    Ok((Array4::from_shape_vec((labels.len(), 1, 28, 28), values)?, labels))
}

/// The bytes of an IDX file after its header.
fn read_idx(half: &str, kind: &str, header: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let path = Path::new(FOLDER).join(format!("{half}-{kind}-ubyte.gz"));
    let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes)?;
    Ok(bytes.split_off(header.min(bytes.len())))
}
