//! How far two sets of pictures are apart in the features of a network: each distance with its interval, and with its floor,
//! what as many real training pictures have.

use std::borrow::Cow;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use interfuse_data::Picture;
use interfuse_evaluation::EvaluationError;
use interfuse_evaluation::bootstrap::{Interval, interval_of_sets};
use interfuse_evaluation::features::FeatureExtractor;
use interfuse_evaluation::frechet::{Gaussian, Statistics, distance_of_features, distance_of_gaussians};
use interfuse_evaluation::kernel_distance::{cmmd, kid};
use interfuse_evaluation::npz;
use interfuse_evaluation::picture_set::{PictureSet, SetReport};
use ndarray::{Array2, Array3, Axis};
use serde::Serialize;

use crate::progress::counting_bar;

/// Pictures in memory that go through a network at once.
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
    /// Statistics of a file, of unknown many pictures.
    File(Gaussian),
    /// All of them. `[pictures, dim]`
    Kept(Array2<f32>),
    /// Of pictures whose features were too many to keep.
    Streamed(Statistics),
}

/// How a set is read.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) batch_size: usize,
    /// Whether the features are needed one by one.
    pub(crate) keep: bool,
    /// How many pictures are read, spread evenly; all if absent.
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
        let mut set = PictureSet::open(path)?;
        if let Some(most) = reading.most {
            set = set.at_most(most);
        }
        let bar = counting_bar("pictures", set.len().unwrap_or(0));
        let mut gathered = Gathering::new(network, reading.keep);
        let started = Instant::now();
        let report = set.for_each_batch(reading.batch_size, &mut |batch, _| {
            bar.inc(batch.len() as u64);
            let pixels: Vec<_> = batch.into_iter().map(|each| each.pixels).collect();
            gathered.take(&pixels)
        })?;
        bar.finish_and_clear();
        print_set(&name, &report);
        let rate = report.pictures as f64 / started.elapsed().as_secs_f64().max(1e-9);
        println!("  {rate:.1} pictures/s");
        Ok(Self { report: Some(report), ..gathered.finish(&name)? })
    }

    /// Of pictures `[3, height, width]` that are in memory.
    pub(crate) fn of_pictures(
        name: &str,
        pictures: &[Array3<u8>],
        network: &dyn FeatureExtractor,
    ) -> anyhow::Result<Self> {
        let bar = counting_bar("pictures compared", pictures.len());
        let mut gathered = Gathering::new(network, true);
        for batch in pictures.chunks(BATCH) {
            gathered.take(batch)?;
            bar.inc(batch.len() as u64);
        }
        bar.finish_and_clear();
        gathered.finish(name)
    }

    /// What was seen while the pictures were read, if they were.
    pub(crate) fn report(&self) -> Option<&SetReport> {
        self.report.as_ref()
    }

    /// How many pictures there are; unknown of statistics.
    pub(crate) fn pictures(&self) -> Option<usize> {
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
            _ => bail!("{}: expected pictures, found statistics, which have only the Fréchet distance", self.name),
        }
    }
}

/// Pictures of a set as they come.
///
/// Features are kept where they are needed one by one, or where there are fewer than a covariance has rows; memory does not
/// grow with the set otherwise.
pub(crate) struct Gathering<'a> {
    network: &'a dyn FeatureExtractor,
    keep: bool,
    statistics: Statistics,
    kept: Option<Vec<Array2<f32>>>,
    /// Pictures that came one by one and wait for a batch to be full.
    waiting: Vec<Array3<u8>>,
}

impl<'a> Gathering<'a> {
    pub(crate) fn new(network: &'a dyn FeatureExtractor, keep: bool) -> Self {
        Self { network, keep, statistics: Statistics::new(network.dim()), kept: Some(vec![]), waiting: vec![] }
    }

    /// Takes pictures `[3, height, width]` in.
    pub(crate) fn take(&mut self, pictures: &[Array3<u8>]) -> Result<(), EvaluationError> {
        let features = self.network.features(pictures)?;
        self.statistics.add(features.view())?;
        if !self.keep && self.statistics.count() >= self.network.dim() {
            self.kept = None;
        }
        if let Some(kept) = &mut self.kept {
            kept.push(features);
        }
        Ok(())
    }

    /// Takes one picture in.
    pub(crate) fn push(&mut self, picture: Array3<u8>) -> Result<(), EvaluationError> {
        self.waiting.push(picture);
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
        ensure!(found > 1, "{name}: expected at least 2 pictures, found {found}");
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

    /// How many can be drawn anew.
    fn drawable(&self) -> usize {
        if let Self::Kept(features) = self { features.nrows() } else { 0 }
    }

    /// Some of them, with repetitions; statistics stay as they are.
    fn redrawn(&self, rows: &[usize]) -> Cow<'_, Self> {
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
                Err(EvaluationError::TooFew { what: "pictures beside the statistics", least: 2, found: 0 })
            }
        }
    }
}

/// A distance, how far chance could have moved it, and what is as good as none.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Measured {
    pub(crate) value: f64,
    /// By sets that were drawn anew; KID has the deviation of its subsets instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interval: Option<Interval>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) floor: Option<Floor>,
}

/// The distance of real training pictures, about what a perfect model would get.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Floor {
    pub(crate) value: f64,
    pub(crate) pictures: Option<usize>,
}

/// The sets of a distance.
#[derive(Clone, Copy)]
pub(crate) struct Comparison<'a> {
    pub(crate) real: &'a Side,
    pub(crate) drawn: &'a Side,
    /// Real pictures of training.
    pub(crate) train: Option<&'a Side>,
    /// How often the sets are drawn anew for the interval, and from which seed; 0 for no interval.
    pub(crate) resamples: (usize, u64),
}

impl Comparison<'_> {
    /// Measures a distance.
    pub(crate) fn measure(&self, distance: Distance) -> anyhow::Result<Measured> {
        let (real, drawn, (count, seed)) = (&self.real.features, &self.drawn.features, self.resamples);
        let value = distance.between(real, drawn, seed)?;
        let sets = [real.drawable(), drawn.drawable()];
        let interval = match count {
            0 => None,
            _ if distance == Distance::Kid || sets == [0, 0] => None,
            _ => {
                let bar = counting_bar("sets drawn anew", count);
                let mut again = |[a, b]: [&[usize]; 2]| {
                    bar.inc(1);
                    distance.between(&real.redrawn(a), &drawn.redrawn(b), seed)
                };
                let Interval { low, high, resamples } = interval_of_sets(value, sets, (count, seed), &mut again)?;
                bar.finish_and_clear();
                // A distance is never below 0.
                Some(Interval { low: low.max(0.0), high, resamples })
            }
        };
        Ok(Measured { value, interval, floor: self.floor(distance)? })
    }

    /// The distance of the training pictures, if there are any.
    pub(crate) fn floor(&self, distance: Distance) -> anyhow::Result<Option<Floor>> {
        let of = |train: &Side| -> anyhow::Result<Floor> {
            let value = distance.between(&self.real.features, &train.features, self.resamples.1)?;
            Ok(Floor { value, pictures: train.pictures() })
        };
        self.train.map(of).transpose()
    }
}

impl Measured {
    /// Prints interval and floor, if there are any, below a name.
    pub(crate) fn print_beside(&self, name: &str) {
        if let Some(interval) = self.interval {
            let Interval { low, high, resamples } = interval;
            println!("{name}, 95 % interval:  {low:.4} to {high:.4}  ({resamples} times drawn anew)");
        }
        if let Some(floor) = self.floor {
            println!("{name}, floor:  {floor}");
        }
    }
}

impl std::fmt::Display for Floor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.pictures.map(|count| format!("{count} ")).unwrap_or_default();
        let digits = f.precision().unwrap_or(4);
        write!(f, "{:.digits$}  ({count}training pictures against the same real ones)", self.value)
    }
}

/// Whether a path names statistics instead of pictures.
pub(crate) fn is_npz(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "npz")
}

/// A deviation needs two.
pub(crate) fn check_resamples(count: usize) -> anyhow::Result<()> {
    ensure!(count != 1, "--resamples: expected 0 or at least 2, found 1");
    Ok(())
}

/// What the networks take, `[3, height, width]`.
pub(crate) fn rgb(picture: &Picture) -> anyhow::Result<Array3<u8>> {
    Ok(picture.with_channels(3)?.pixels().to_owned())
}

pub(crate) fn print_set(name: &str, report: &SetReport) {
    println!("{name}: {} pictures", report.pictures);
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
