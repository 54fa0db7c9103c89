//! Sets of images as features: of statistics, of a folder or a tar, or of images in memory.

use std::borrow::Cow;
use std::path::Path;
use std::time::Instant;

use interfuse_data::Image;
use interfuse_evaluation::EvaluationError;
use interfuse_evaluation::features::FeatureExtractor;
use interfuse_evaluation::frechet::{Gaussian, Statistics};
use interfuse_evaluation::image_set::{ImageSet, SetReport, require_images};
use interfuse_evaluation::npz;
use ndarray::{Array2, Array3, Axis};

use crate::error::{Context as _, Result, refuse, require};
use crate::observer::RunObserver;

/// Images in memory that go through a network at once.
pub const BATCH: usize = 16;
/// The fewest images of a set that has a distance to another, for a covariance takes two; and what needs them.
const FOR_A_DISTANCE: (usize, &str) = (2, " for a distance");

/// One set, as features.
pub struct Side {
    /// What the user calls it.
    name: String,
    pub(super) features: Features,
    report: Option<SetReport>,
}

#[derive(Clone)]
pub(super) enum Features {
    /// Statistics of a file, of unknown many images.
    File(Gaussian),
    /// All of them. `[images, dim]`
    Kept(Array2<f32>),
    /// Of images whose features were too many to keep.
    Streamed(Statistics),
}

/// How a set is read.
#[derive(Clone, Copy)]
pub struct Reading {
    /// Images that go through the network at once.
    pub batch_size: usize,
    /// Whether the features are needed one by one.
    pub keep: bool,
    /// How many images are read, spread evenly; all if absent.
    pub most: Option<usize>,
}

/// A set that was opened, so that a wrong path is noticed before any image is read.
pub struct OpenedSide {
    name: String,
    contents: OpenedContents,
}

enum OpenedContents {
    Statistics(Gaussian),
    Images(ImageSet),
}

impl OpenedSide {
    /// Opens statistics, a folder or a tar.
    ///
    /// # Errors
    /// When there is no such file, or it holds something else.
    pub fn open(path: &Path, network: &dyn FeatureExtractor) -> Result<Self> {
        let name = path.display().to_string();
        if !is_npz(path) {
            return Ok(Self { name, contents: OpenedContents::Images(ImageSet::open(path)?) });
        }
        let gaussian = npz::read_statistics(path)?;
        let (found, expected) = (gaussian.mean.len(), network.dim());
        require!(found == expected, "{name}: expected {expected} features, found {found}");
        Ok(Self { name, contents: OpenedContents::Statistics(gaussian) })
    }

    /// Refuses a set of too few images before any goes through the network; `purpose` is what needs them.
    ///
    /// # Errors
    /// When there are fewer files than `least`; statistics are of unknown many.
    pub fn require(&self, least: usize, purpose: &str) -> Result<()> {
        match &self.contents {
            OpenedContents::Statistics(_) => Ok(()),
            OpenedContents::Images(set) => Ok(set.require(least, purpose)?),
        }
    }

    /// As [`OpenedSide::require`], for any distance: see [`require_for_distance`].
    ///
    /// # Errors
    /// When there are too few files; statistics are of unknown many.
    pub fn require_for_distance(&self) -> Result<()> {
        let (least, purpose) = FOR_A_DISTANCE;
        self.require(least, purpose)
    }

    /// Takes the images through the network.
    ///
    /// # Errors
    /// When too few images can be read, or the device fails.
    pub fn read(
        self,
        network: &dyn FeatureExtractor,
        reading: Reading,
        observer: &mut dyn RunObserver,
    ) -> Result<Side> {
        let name = self.name;
        let mut set = match self.contents {
            OpenedContents::Statistics(gaussian) => {
                return Ok(Side { name, features: Features::File(gaussian), report: None });
            }
            OpenedContents::Images(set) => set,
        };
        if let Some(most) = reading.most {
            set = set.at_most(most);
        }
        let (total, mut done) = (set.len().unwrap_or(0), 0);
        let mut gathered = Gathering::new(network, reading.keep);
        let started = Instant::now();
        let report = set.for_each_batch(reading.batch_size, &mut |batch, _| {
            done += batch.len();
            let pixels: Vec<_> = batch.into_iter().map(|each| each.pixels).collect();
            gathered.take(&pixels)?;
            observer.progress("images", done, total);
            Ok(())
        })?;
        set_lines(&name, &report).iter().for_each(|line| observer.note(line));
        let rate = report.images as f64 / started.elapsed().as_secs_f64().max(1e-9);
        observer.note(&format!("  {rate:.1} images/s"));
        Ok(Side { report: Some(report), ..gathered.finish(&name)? })
    }
}

impl Side {
    /// Of images `[3, height, width]` that are in memory.
    ///
    /// # Errors
    /// When there are too few, or the device fails.
    pub fn of_images(
        name: &str,
        images: &[Array3<u8>],
        network: &dyn FeatureExtractor,
        observer: &mut dyn RunObserver,
    ) -> Result<Self> {
        let mut gathered = Gathering::new(network, true);
        for (index, batch) in images.chunks(BATCH).enumerate() {
            gathered.take(batch)?;
            observer.progress("images compared", index * BATCH + batch.len(), images.len());
        }
        gathered.finish(name)
    }

    /// What was seen while the images were read, if they were.
    pub fn report(&self) -> Option<&SetReport> {
        self.report.as_ref()
    }

    /// How many images there are; unknown of statistics.
    pub fn images(&self) -> Option<usize> {
        match &self.features {
            Features::File(_) => None,
            Features::Kept(features) => Some(features.nrows()),
            Features::Streamed(statistics) => Some(statistics.count()),
        }
    }

    /// Mean and covariance.
    ///
    /// # Errors
    /// When there are too few images.
    pub fn gaussian(&self) -> Result<Gaussian, EvaluationError> {
        self.features.gaussian()
    }

    /// The features one by one.
    ///
    /// # Errors
    /// When there are only statistics.
    pub fn vectors(&self) -> Result<&Array2<f32>> {
        match &self.features {
            Features::Kept(features) => Ok(features),
            _ => refuse!("{}: expected images, found statistics, which have only the Fréchet distance", self.name),
        }
    }
}

/// Images of a set as they come.
///
/// Features are kept where they are needed one by one, or where there are fewer than a covariance has rows; memory does not
/// grow with the set otherwise.
pub struct Gathering<'a> {
    network: &'a dyn FeatureExtractor,
    keep: bool,
    statistics: Statistics,
    kept: Option<Vec<Array2<f32>>>,
    /// Images that came one by one and wait for a batch to be full.
    waiting: Vec<Array3<u8>>,
}

impl<'a> Gathering<'a> {
    /// Of no image yet; `keep` where the features are needed one by one.
    pub fn new(network: &'a dyn FeatureExtractor, keep: bool) -> Self {
        Self { network, keep, statistics: Statistics::new(network.dim()), kept: Some(vec![]), waiting: vec![] }
    }

    /// Takes images `[3, height, width]` in.
    ///
    /// # Errors
    /// When the device fails.
    pub fn take(&mut self, images: &[Array3<u8>]) -> Result<(), EvaluationError> {
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
    ///
    /// # Errors
    /// When the device fails.
    pub fn push(&mut self, image: Array3<u8>) -> Result<(), EvaluationError> {
        self.waiting.push(image);
        if self.waiting.len() == BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), EvaluationError> {
        let batch = std::mem::take(&mut self.waiting);
        if batch.is_empty() { Ok(()) } else { self.take(&batch) }
    }

    /// The set, once all is taken in.
    ///
    /// # Errors
    /// When there are too few images.
    pub fn finish(mut self, name: &str) -> Result<Side> {
        self.flush()?;
        require_for_distance(name, self.statistics.count())?;
        let features = match self.kept {
            Some(kept) => Features::Kept(joined(&kept)?),
            None => Features::Streamed(self.statistics),
        };
        Ok(Side { name: name.into(), features, report: None })
    }
}

impl Features {
    pub(super) fn gaussian(&self) -> Result<Gaussian, EvaluationError> {
        match self {
            Self::File(gaussian) => Ok(gaussian.clone()),
            Self::Kept(features) => Statistics::of(features.view())?.gaussian(),
            Self::Streamed(statistics) => statistics.gaussian(),
        }
    }

    /// How many can be resampled.
    pub(super) fn resamplable(&self) -> usize {
        if let Self::Kept(features) = self { features.nrows() } else { 0 }
    }

    /// Some of them, with repetitions; statistics stay as they are.
    pub(super) fn resampled(&self, rows: &[usize]) -> Cow<'_, Self> {
        match self {
            Self::Kept(features) => Cow::Owned(Self::Kept(features.select(Axis(0), rows))),
            _ => Cow::Borrowed(self),
        }
    }
}

/// Refuses a set `name` of `found` images that is too small for a distance. Ask this before any work is done on the set.
///
/// # Errors
/// When there are too few; says how many are needed and found.
pub fn require_for_distance(name: &str, found: usize) -> Result<()> {
    Ok(require_images(name, found, FOR_A_DISTANCE)?)
}

/// Whether a path names statistics instead of images.
pub fn is_npz(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "npz")
}

/// What the networks take, `[3, height, width]`.
///
/// # Errors
/// When the image has a number of channels that is no colour.
pub fn rgb(image: &Image) -> Result<Array3<u8>> {
    Ok(image.with_channels(3)?.pixels().to_owned())
}

/// What was seen while a set was read, a line each.
pub fn set_lines(name: &str, report: &SetReport) -> Vec<String> {
    let mut lines = vec![format!("{name}: {} images", report.images)];
    if report.bad > 0 {
        lines.push(format!("  skipped {} bad ones; first: {}", report.bad, report.bad_examples.join("; ")));
    }
    if report.animated > 0 {
        lines.push(format!("  {} are animated; their first frame was taken", report.animated));
    }
    if report.deep_grey > 0 {
        let count = report.deep_grey;
        lines.push(format!(
            "  {count} are grey of 16 bits a level: the upper byte was kept, where Pillow makes 255 of levels above 255"
        ));
    }
    lines.extend(report.warnings.iter().take(8).map(|warning| format!("  {warning}")));
    if report.warnings.len() > 8 {
        lines.push(format!("  {} more captions or rows are left out", report.warnings.len() - 8));
    }
    lines
}

/// Batches of features as one.
///
/// # Errors
/// When their lengths differ.
pub fn joined(parts: &[Array2<f32>]) -> Result<Array2<f32>> {
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    ndarray::concatenate(Axis(0), &views).context("features of one length")
}
