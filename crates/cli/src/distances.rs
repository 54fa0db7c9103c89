//! How far two sets of images are apart in the features of a network: each distance with its interval, and with its baseline,
//! what as many real training images have.

use std::borrow::Cow;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use interfuse_data::Image;
use interfuse_evaluation::EvaluationError;
use interfuse_evaluation::bootstrap::{Interval, interval_of_sets};
use interfuse_evaluation::features::FeatureExtractor;
use interfuse_evaluation::frechet::{Gaussian, Statistics, distance_of_features, distance_of_gaussians};
use interfuse_evaluation::image_set::{ImageSet, SetReport};
use interfuse_evaluation::kernel_distance::{cmmd, kid};
use interfuse_evaluation::npz;
use ndarray::{Array2, Array3, Axis};
use serde::Serialize;

use crate::progress::counting_bar;

/// Images in memory that go through a network at once.
pub(crate) const BATCH: usize = 16;

/// One set, as features.
pub(crate) struct Side {
    /// What the user calls it.
    name: String,
    features: Features,
    report: Option<SetReport>,
}

#[derive(Clone)]
enum Features {
    /// Statistics of a file, of unknown many images.
    File(Gaussian),
    /// All of them. `[images, dim]`
    Kept(Array2<f32>),
    /// Of images whose features were too many to keep.
    Streamed(Statistics),
}

/// How a set is read.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) batch_size: usize,
    /// Whether the features are needed one by one.
    pub(crate) keep: bool,
    /// How many images are read, spread evenly; all if absent.
    pub(crate) most: Option<usize>,
}

impl Side {
    /// Reads statistics, a folder or a tar.
    pub(crate) fn read(path: &Path, network: &dyn FeatureExtractor, reading: Reading) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        if is_npz(path) {
            let gaussian = npz::read_statistics(path)?;
            let (found, expected) = (gaussian.mean.len(), network.dim());
            ensure!(found == expected, "{name}: expected {expected} features, found {found}");
            return Ok(Self { name, features: Features::File(gaussian), report: None });
        }
        let mut set = ImageSet::open(path)?;
        if let Some(most) = reading.most {
            set = set.at_most(most);
        }
        let bar = counting_bar("images", set.len().unwrap_or(0));
        let mut gathered = Gathering::new(network, reading.keep);
        let started = Instant::now();
        let report = set.for_each_batch(reading.batch_size, &mut |batch, _| {
            bar.inc(batch.len() as u64);
            let pixels: Vec<_> = batch.into_iter().map(|each| each.pixels).collect();
            gathered.take(&pixels)
        })?;
        bar.finish_and_clear();
        print_set(&name, &report);
        let rate = report.images as f64 / started.elapsed().as_secs_f64().max(1e-9);
        println!("  {rate:.1} images/s");
        Ok(Self { report: Some(report), ..gathered.finish(&name)? })
    }

    /// Of images `[3, height, width]` that are in memory.
    pub(crate) fn of_images(name: &str, images: &[Array3<u8>], network: &dyn FeatureExtractor) -> anyhow::Result<Self> {
        let bar = counting_bar("images compared", images.len());
        let mut gathered = Gathering::new(network, true);
        for batch in images.chunks(BATCH) {
            gathered.take(batch)?;
            bar.inc(batch.len() as u64);
        }
        bar.finish_and_clear();
        gathered.finish(name)
    }

    /// What was seen while the images were read, if they were.
    pub(crate) fn report(&self) -> Option<&SetReport> {
        self.report.as_ref()
    }

    /// How many images there are; unknown of statistics.
    pub(crate) fn images(&self) -> Option<usize> {
        match &self.features {
            Features::File(_) => None,
            Features::Kept(features) => Some(features.nrows()),
            Features::Streamed(statistics) => Some(statistics.count()),
        }
    }

    /// Mean and covariance.
    pub(crate) fn gaussian(&self) -> Result<Gaussian, EvaluationError> {
        self.features.gaussian()
    }

    /// The features one by one.
    pub(crate) fn vectors(&self) -> anyhow::Result<&Array2<f32>> {
        match &self.features {
            Features::Kept(features) => Ok(features),
            _ => bail!("{}: expected images, found statistics, which have only the Fréchet distance", self.name),
        }
    }
}

/// Images of a set as they come.
///
/// Features are kept where they are needed one by one, or where there are fewer than a covariance has rows; memory does not
/// grow with the set otherwise.
pub(crate) struct Gathering<'a> {
    network: &'a dyn FeatureExtractor,
    keep: bool,
    statistics: Statistics,
    kept: Option<Vec<Array2<f32>>>,
    /// Images that came one by one and wait for a batch to be full.
    waiting: Vec<Array3<u8>>,
}

impl<'a> Gathering<'a> {
    pub(crate) fn new(network: &'a dyn FeatureExtractor, keep: bool) -> Self {
        Self { network, keep, statistics: Statistics::new(network.dim()), kept: Some(vec![]), waiting: vec![] }
    }

    /// Takes images `[3, height, width]` in.
    pub(crate) fn take(&mut self, images: &[Array3<u8>]) -> Result<(), EvaluationError> {
        let features = self.network.features(images)?;
        self.statistics.add(features.view())?;
        if !self.keep && self.statistics.count() >= self.network.dim() {
            self.kept = None;
        }
        if let Some(kept) = &mut self.kept {
            kept.push(features);
        }
        Ok(())
    }

    /// Takes one image in.
    pub(crate) fn push(&mut self, image: Array3<u8>) -> Result<(), EvaluationError> {
        self.waiting.push(image);
        if self.waiting.len() == BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), EvaluationError> {
        let batch = std::mem::take(&mut self.waiting);
        if batch.is_empty() { Ok(()) } else { self.take(&batch) }
    }

    /// The set, once all is taken in.
    pub(crate) fn finish(mut self, name: &str) -> anyhow::Result<Side> {
        self.flush()?;
        let found = self.statistics.count();
        ensure!(found > 1, "{name}: expected at least 2 images, found {found}");
        let features = match self.kept {
            Some(kept) => Features::Kept(joined(&kept)?),
            None => Features::Streamed(self.statistics),
        };
        Ok(Side { name: name.into(), features, report: None })
    }
}

impl Features {
    fn gaussian(&self) -> Result<Gaussian, EvaluationError> {
        match self {
            Self::File(gaussian) => Ok(gaussian.clone()),
            Self::Kept(features) => Statistics::of(features.view())?.gaussian(),
            Self::Streamed(statistics) => statistics.gaussian(),
        }
    }

    /// How many can be resampled.
    fn resamplable(&self) -> usize {
        if let Self::Kept(features) = self { features.nrows() } else { 0 }
    }

    /// Some of them, with repetitions; statistics stay as they are.
    fn resampled(&self, rows: &[usize]) -> Cow<'_, Self> {
        match self {
            Self::Kept(features) => Cow::Owned(Self::Kept(features.select(Axis(0), rows))),
            _ => Cow::Borrowed(self),
        }
    }
}

/// A number that is 0 for equal sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distance {
    Frechet,
    Cmmd,
    Kid,
}

impl Distance {
    fn between(self, a: &Features, b: &Features, seed: u64) -> Result<f64, EvaluationError> {
        match (self, a, b) {
            (Self::Frechet, Features::Kept(a), Features::Kept(b)) => distance_of_features(a.view(), b.view()),
            (Self::Cmmd, Features::Kept(a), Features::Kept(b)) => cmmd(a.view(), b.view()),
            (Self::Kid, Features::Kept(a), Features::Kept(b)) => Ok(kid(a.view(), b.view(), seed)?.mean),
            (Self::Frechet, a, b) => distance_of_gaussians(&a.gaussian()?, &b.gaussian()?),
            (Self::Cmmd | Self::Kid, ..) => {
                Err(EvaluationError::TooFew { what: "images beside the statistics", least: 2, found: 0 })
            }
        }
    }
}

/// A distance, how far chance could have moved it, and what is as good as none.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Measured {
    pub(crate) value: f64,
    /// By sets that were resampled; KID has the deviation of its subsets instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interval: Option<Interval>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baseline: Option<Baseline>,
}

/// The distance of real training images, about what a perfect model would get.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Baseline {
    pub(crate) value: f64,
    pub(crate) images: Option<usize>,
}

/// The sets of a distance.
#[derive(Clone, Copy)]
pub(crate) struct Comparison<'a> {
    pub(crate) real: &'a Side,
    pub(crate) generated: &'a Side,
    /// Real images of training.
    pub(crate) train: Option<&'a Side>,
    /// How often the sets are resampled for the interval, and from which seed; 0 for no interval.
    pub(crate) resamples: (usize, u64),
}

impl Comparison<'_> {
    /// Measures a distance.
    pub(crate) fn measure(&self, distance: Distance) -> anyhow::Result<Measured> {
        let (real, generated, (count, seed)) = (&self.real.features, &self.generated.features, self.resamples);
        let value = distance.between(real, generated, seed)?;
        let sets = [real.resamplable(), generated.resamplable()];
        let interval = match count {
            0 => None,
            _ if distance == Distance::Kid || sets == [0, 0] => None,
            _ => {
                let bar = counting_bar("sets resampled", count);
                let mut again = |[a, b]: [&[usize]; 2]| {
                    bar.inc(1);
                    distance.between(&real.resampled(a), &generated.resampled(b), seed)
                };
                let Interval { low, high, resamples } = interval_of_sets(value, sets, (count, seed), &mut again)?;
                bar.finish_and_clear();
                // A distance is never below 0.
                Some(Interval { low: low.max(0.0), high, resamples })
            }
        };
        Ok(Measured { value, interval, baseline: self.floor(distance)? })
    }

    /// The distance of the training images, if there are any.
    pub(crate) fn floor(&self, distance: Distance) -> anyhow::Result<Option<Baseline>> {
        let of = |train: &Side| -> anyhow::Result<Baseline> {
            let value = distance.between(&self.real.features, &train.features, self.resamples.1)?;
            Ok(Baseline { value, images: train.images() })
        };
        self.train.map(of).transpose()
    }
}

impl Measured {
    /// Prints interval and baseline, if there are any, below a name.
    pub(crate) fn print_beside(&self, name: &str) {
        if let Some(interval) = self.interval {
            let Interval { low, high, resamples } = interval;
            println!("{name}, 95 % interval:  {low:.4} to {high:.4}  ({resamples} times resampled)");
        }
        if let Some(baseline) = self.baseline {
            println!("{name}, baseline:  {baseline}");
        }
    }
}

impl std::fmt::Display for Baseline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.images.map(|count| format!("{count} ")).unwrap_or_default();
        let digits = f.precision().unwrap_or(4);
        write!(f, "{:.digits$}  ({count}training images against the same real ones)", self.value)
    }
}

/// Whether a path names statistics instead of images.
pub(crate) fn is_npz(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "npz")
}

/// A deviation needs two.
pub(crate) fn check_resamples(count: usize) -> anyhow::Result<()> {
    ensure!(count != 1, "--resamples: expected 0 or at least 2, found 1");
    Ok(())
}

/// What the networks take, `[3, height, width]`.
pub(crate) fn rgb(image: &Image) -> anyhow::Result<Array3<u8>> {
    Ok(image.with_channels(3)?.pixels().to_owned())
}

pub(crate) fn print_set(name: &str, report: &SetReport) {
    println!("{name}: {} images", report.images);
    if report.bad > 0 {
        println!("  skipped {} bad ones; first: {}", report.bad, report.bad_examples.join("; "));
    }
    if report.animated > 0 {
        println!("  {} are animated; their first frame was taken", report.animated);
    }
}

pub(crate) fn joined(parts: &[Array2<f32>]) -> anyhow::Result<Array2<f32>> {
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    ndarray::concatenate(Axis(0), &views).context("features of one length")
}
