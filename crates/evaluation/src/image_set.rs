//! Images, and captions if there are any, from a folder or a WebDataset tar, one batch in memory at a time.
//!
//! Images are read as Pillow's `convert("RGB")` reads them, which published numbers rest on: grey becomes three equal
//! channels, a palette its colours, and transparency is dropped, not composited. Of 16 bits the upper byte is kept, which is
//! what Pillow does of colour; of grey images Pillow makes 255 of every level above 255, which leaves nothing to measure, so
//! those are counted and said. Files are found, captions read and JPEG files decoded as in training, by `interfuse-data`.

mod decode;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use interfuse_data::files::{IMAGES, Listing, PassedOver, caption_lines, captioned_images, webdataset};
use ndarray::Array3;
use rayon::prelude::*;

use self::decode::{Decoded, decode};
use crate::error::EvaluationError;

/// How many bad images are named.
const MOST_NAMED: usize = 8;

/// One image.
#[derive(Debug, Clone)]
pub struct NamedImage {
    /// Its path below the folder, or its name in the tar.
    pub name: String,
    /// `[3, height, width]`
    pub pixels: Array3<u8>,
    /// Its first caption, where captions were asked for, see [`ImageSet::with_captions`].
    pub caption: Option<String>,
}

/// Takes a batch, and what was seen so far.
pub type BatchWork<'a> = dyn FnMut(Vec<NamedImage>, &SetReport) -> Result<(), EvaluationError> + 'a;

/// What was seen while a set was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetReport {
    /// Images that were read.
    pub images: usize,
    /// Images that could not be read.
    pub bad: usize,
    /// The first of them, with the reason.
    pub bad_examples: Vec<String>,
    /// Animated images, of which the first frame was taken.
    pub animated: usize,
    /// Grey images of 16 bits a level, whose upper bytes were kept; Pillow makes 255 of every level above 255.
    pub deep_grey: usize,
    /// How many images are JPEG files.
    pub jpeg: usize,
    /// Captions that cannot be used, and image files of kinds that are not read, one sentence each.
    pub warnings: Vec<String>,
    /// Sizes `(height, width)` and how many images have each.
    pub sizes: BTreeMap<(usize, usize), usize>,
}

/// A folder or a tar, opened.
#[derive(Debug, Clone)]
pub struct ImageSet {
    path: PathBuf,
    kind: Kind,
    /// How many images are read, spread evenly; all of them if absent.
    most: Option<usize>,
    captions: Captions,
    warnings: Vec<String>,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Images below the folder, in the order of their names.
    Folder(Vec<PathBuf>),
    Tar,
}

/// Where captions come from.
#[derive(Debug, Clone)]
enum Captions {
    /// Nobody asked for them.
    Ignored,
    /// Beside the image in the tar.
    Beside,
    /// First captions of a folder's images, by name.
    Known(HashMap<PathBuf, String>),
}

impl ImageSet {
    /// Opens a folder or a file that ends in `.tar`.
    ///
    /// # Errors
    /// When it is not there, or a folder holds no image.
    pub fn open(path: &Path) -> Result<Self, EvaluationError> {
        let unfit = |reason: &str| EvaluationError::Images { path: path.to_path_buf(), reason: reason.into() };
        let mut warnings = vec![];
        let kind = if path.is_dir() {
            let Listing { images, passed_over, .. } = Listing::below(path)?;
            warnings.extend(passed_over.warning());
            if images.is_empty() {
                let others = warnings.first().map(|warning| format!("; {warning}")).unwrap_or_default();
                return Err(unfit(&format!("expected images ({}), found none{others}", IMAGES.join(", "))));
            }
            Kind::Folder(images)
        } else if path.extension().is_some_and(|extension| extension == "tar") {
            Kind::Tar
        } else if path.exists() {
            return Err(unfit("expected a folder of images, a .tar or a .npz"));
        } else {
            return Err(unfit("there is no such file or folder"));
        };
        Ok(Self { path: path.to_path_buf(), kind, most: None, captions: Captions::Ignored, warnings })
    }

    /// Reads captions as well, the same as training does: see [`captioned_images`]. Of several captions the first counts.
    ///
    /// # Errors
    /// When a folder's metadata cannot be read. Single rows and captions that cannot be used are warnings.
    pub fn with_captions(mut self) -> Result<Self, EvaluationError> {
        self.captions = match &self.kind {
            Kind::Tar => Captions::Beside,
            Kind::Folder(_) => {
                let found = captioned_images(&self.path)?;
                for warning in found.skipped {
                    // What was passed over is known from the listing already.
                    if !self.warnings.contains(&warning) {
                        self.warnings.push(warning);
                    }
                }
                let mut known = HashMap::new();
                for image in found.images {
                    if let Some(caption) = image.captions.into_iter().next() {
                        known.entry(PathBuf::from(image.name)).or_insert(caption);
                    }
                }
                Captions::Known(known)
            }
        };
        Ok(self)
    }

    /// Reads no more than `most` images, spread evenly over all of them, for folders are often sorted by what is on them.
    pub fn at_most(self, most: usize) -> Self {
        Self { most: Some(most), ..self }
    }

    /// How many files there are to read, bad ones included; unknown of a tar.
    pub fn len(&self) -> Option<usize> {
        match &self.kind {
            Kind::Folder(images) => Some(images.len().min(self.most.unwrap_or(usize::MAX))),
            Kind::Tar => None,
        }
    }

    /// How many files there are to read, bad ones included; of a tar, by the names in it.
    ///
    /// # Errors
    /// When a tar cannot be read.
    pub fn count(&self) -> Result<usize, EvaluationError> {
        let count = match &self.kind {
            Kind::Folder(images) => images.len(),
            Kind::Tar => webdataset::count(&self.path)?,
        };
        Ok(count.min(self.most.unwrap_or(usize::MAX)))
    }

    /// Refuses a set of fewer than `least` files before any of them is read; `purpose` is what needs them.
    ///
    /// # Errors
    /// When there are too few; names the set.
    pub fn require(&self, least: usize, purpose: &str) -> Result<(), EvaluationError> {
        require_images(&self.path, self.count()?, (least, purpose))
    }

    /// Whether nothing is to be read; a folder without images cannot be opened.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Gives every batch of at most `size` images to `work`. Bad images are skipped, counted and named.
    ///
    /// # Errors
    /// When no image can be read, the tar is torn, or `work` fails.
    pub fn for_each_batch(&self, size: usize, work: &mut BatchWork<'_>) -> Result<SetReport, EvaluationError> {
        let report = SetReport { warnings: self.warnings.clone(), ..SetReport::default() };
        let mut batches = Batches { size: size.max(1), waiting: vec![], report, work };
        match &self.kind {
            Kind::Folder(images) => {
                let spread = Spread::new(self.most, || Ok(images.len()))?;
                for name in images.iter().enumerate().filter(|(index, _)| spread.keeps(*index)).map(|(_, name)| name) {
                    let read = std::fs::read(self.path.join(name)).map_err(|error| error.to_string());
                    let caption = match &self.captions {
                        Captions::Known(captions) => captions.get(name).cloned(),
                        _ => None,
                    };
                    batches.take(Encoded { name: name.display().to_string(), bytes: read, caption })?;
                }
            }
            Kind::Tar => {
                let passed_over = self.read_tar(&mut batches)?;
                batches.report.warnings.extend(passed_over.warning());
            }
        }
        batches.hand_out()?;
        let report = batches.report;
        if report.images == 0 {
            let first = report.bad_examples.first().map_or(String::new(), |first| format!(", such as {first}"));
            let reason = format!("expected images that can be read, found {} bad ones{first}", report.bad);
            return Err(EvaluationError::Images { path: self.path.clone(), reason });
        }
        Ok(report)
    }

    fn read_tar(&self, batches: &mut Batches<'_>) -> Result<PassedOver, EvaluationError> {
        let spread = Spread::new(self.most, || Ok(webdataset::count(&self.path)?))?;
        let mut seen = 0;
        webdataset::for_each_sample(&self.path, |sample| {
            seen += 1;
            if !spread.keeps(seen - 1) {
                return Ok(());
            }
            let lines = match (&self.captions, sample.text) {
                (Captions::Ignored, _) | (_, None) => Ok(vec![]),
                (_, Some(text)) => caption_lines(&text),
            };
            let caption = lines.map(|lines| lines.into_iter().next()).unwrap_or_else(|reason| {
                batches.report.warnings.push(format!("the caption of `{}`: {reason}", sample.name));
                None
            });
            batches.take(Encoded { name: sample.name, bytes: sample.image, caption })
        })
    }
}

/// Refuses a set `name` of `found` images where `purpose`, such as " for --prdc", needs more: at least `least`.
///
/// # Errors
/// When there are too few; says how many are needed and found.
pub fn require_images(
    name: impl AsRef<Path>,
    found: usize,
    (least, purpose): (usize, &str),
) -> Result<(), EvaluationError> {
    if found >= least {
        return Ok(());
    }
    let reason = format!("expected at least {least} images{purpose}, found {found}");
    Err(EvaluationError::Images { path: name.as_ref().to_path_buf(), reason })
}

/// So many of all, spread evenly.
struct Spread {
    kept: usize,
    of: usize,
}

impl Spread {
    fn new(
        most: Option<usize>,
        count: impl FnOnce() -> Result<usize, EvaluationError>,
    ) -> Result<Self, EvaluationError> {
        let Some(most) = most else { return Ok(Self { kept: 1, of: 1 }) };
        let of = count()?.max(1);
        Ok(Self { kept: most.min(of), of })
    }

    fn keeps(&self, index: usize) -> bool {
        (index + 1) * self.kept / self.of > index * self.kept / self.of
    }
}

/// Collects files, and hands the images in them out.
struct Batches<'a> {
    size: usize,
    waiting: Vec<Encoded>,
    report: SetReport,
    work: &'a mut BatchWork<'a>,
}

/// An image's file, or why it could not be read.
struct Encoded {
    name: String,
    bytes: Result<Vec<u8>, String>,
    caption: Option<String>,
}

impl Batches<'_> {
    fn take(&mut self, file: Encoded) -> Result<(), EvaluationError> {
        self.waiting.push(file);
        if self.waiting.len() == self.size { self.hand_out() } else { Ok(()) }
    }

    /// Decodes what waits, on all cores, and hands out what is good.
    fn hand_out(&mut self) -> Result<(), EvaluationError> {
        let decoded = std::mem::take(&mut self.waiting).into_par_iter().map(|Encoded { name, bytes, caption }| {
            let image = bytes.and_then(|bytes| decode(&bytes));
            (name, caption, image)
        });
        let mut images = vec![];
        for (name, caption, image) in decoded.collect::<Vec<_>>() {
            match image {
                Ok(image) => images.push(self.report.count(name, caption, image)),
                Err(reason) => self.report.count_bad(&name, &reason),
            }
        }
        if images.is_empty() { Ok(()) } else { (self.work)(images, &self.report) }
    }
}

impl SetReport {
    fn count(&mut self, name: String, caption: Option<String>, image: Decoded) -> NamedImage {
        let Decoded { pixels, is_jpeg, is_animated, is_deep_grey } = image;
        self.images += 1;
        self.jpeg += usize::from(is_jpeg);
        self.animated += usize::from(is_animated);
        self.deep_grey += usize::from(is_deep_grey);
        let (_, height, width) = pixels.dim();
        *self.sizes.entry((height, width)).or_default() += 1;
        NamedImage { name, pixels, caption }
    }

    fn count_bad(&mut self, name: &str, reason: &str) {
        self.bad += 1;
        if self.bad_examples.len() < MOST_NAMED {
            self.bad_examples.push(format!("{name}: {reason}"));
        }
    }
}

#[cfg(test)]
mod tests;
