//! Images, and captions if there are any, from a folder or a WebDataset tar, one batch in memory at a time.
//!
//! Images are read as Pillow's `convert("RGB")` reads them, which published numbers rest on: grey becomes three equal
//! channels, a palette its colours, and transparency is dropped, not composited. 16-bit values are scaled to 8 bits; Pillow
//! clips those of grey images at 255 instead, which leaves nothing to measure. Of JPEG files with halved colour a value may
//! be up to 4 levels off, 0.2 or 0.3 on average, because decoders enlarge the colour differently.

mod decode;
mod folder;
mod tar_file;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::Array3;
use rayon::prelude::*;

use self::decode::{Decoded, decode};
use self::folder::{beside, list_files, metadata};
use crate::error::EvaluationError;

/// File extensions of images, in lower case.
const EXTENSIONS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];
/// How many bad images are named.
const MOST_NAMED: usize = 8;

/// One image.
#[derive(Debug, Clone)]
pub struct NamedImage {
    /// Its path below the folder, or its name in the tar.
    pub name: String,
    /// `[3, height, width]`
    pub pixels: Array3<u8>,
    /// What stands beside it.
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
    /// How many images are JPEG files.
    pub jpeg: usize,
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
}

#[derive(Debug, Clone)]
enum Kind {
    /// Images below the folder, in the order of their names, and captions of a `metadata.jsonl`.
    Folder(Vec<PathBuf>, BTreeMap<PathBuf, String>),
    Tar,
}

impl ImageSet {
    /// Opens a folder or a file that ends in `.tar`.
    ///
    /// # Errors
    /// When it is not there, or a folder holds no image.
    pub fn open(path: &Path) -> Result<Self, EvaluationError> {
        let unfit = |reason: &str| EvaluationError::Images { path: path.to_path_buf(), reason: reason.into() };
        let kind = if path.is_dir() {
            let mut images = Vec::new();
            list_files(path, Path::new(""), &mut images)?;
            if images.is_empty() {
                return Err(unfit(&format!("expected images ({}), found none", EXTENSIONS.join(", "))));
            }
            images.sort();
            Kind::Folder(images, metadata(path)?)
        } else if path.extension().is_some_and(|extension| extension == "tar") {
            Kind::Tar
        } else if path.exists() {
            return Err(unfit("expected a folder of images, a .tar or a .npz"));
        } else {
            return Err(unfit("there is no such file or folder"));
        };
        Ok(Self { path: path.to_path_buf(), kind, most: None })
    }

    /// Reads no more than `most` images, spread evenly over all of them, for folders are often sorted by what is on them.
    pub fn at_most(self, most: usize) -> Self {
        Self { most: Some(most), ..self }
    }

    /// How many files there are to read, bad ones included; unknown of a tar.
    pub fn len(&self) -> Option<usize> {
        match &self.kind {
            Kind::Folder(images, _) => Some(images.len().min(self.most.unwrap_or(usize::MAX))),
            Kind::Tar => None,
        }
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
        let mut batches = Batches { size: size.max(1), waiting: vec![], report: SetReport::default(), work };
        match &self.kind {
            Kind::Folder(images, captions) => {
                let spread = Spread::new(self.most, || Ok(images.len()))?;
                for name in images.iter().enumerate().filter(|(index, _)| spread.keeps(*index)).map(|(_, name)| name) {
                    let read = std::fs::read(self.path.join(name)).map_err(|error| error.to_string());
                    let caption = captions.get(name).cloned().or_else(|| beside(&self.path.join(name)));
                    batches.take(Encoded { name: name.display().to_string(), bytes: read, caption })?;
                }
            }
            Kind::Tar => tar_file::read(&self.path, self.most, &mut batches)?,
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
        let Decoded { pixels, is_jpeg, is_animated } = image;
        self.images += 1;
        self.jpeg += usize::from(is_jpeg);
        self.animated += usize::from(is_animated);
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
mod tests {
    use std::fs::File;

    use image::{DynamicImage, ImageFormat};

    use super::*;

    fn save(folder: &Path, name: &str, image: impl Into<DynamicImage>) {
        image.into().save(folder.join(name)).unwrap();
    }

    fn read(path: &Path) -> (Vec<NamedImage>, SetReport) {
        let mut all = vec![];
        let report = ImageSet::open(path)
            .unwrap()
            .for_each_batch(2, &mut |batch, _| {
                assert!(batch.len() <= 2);
                all.extend(batch);
                Ok(())
            })
            .unwrap();
        (all, report)
    }

    #[test]
    fn images_become_rgb_as_in_pillow_and_bad_ones_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        save(root, "a.png", image::GrayImage::from_pixel(3, 2, image::Luma([7])));
        save(root, "b.png", image::RgbaImage::from_pixel(3, 2, image::Rgba([10, 20, 30, 0])));
        save(root, "c.jpg", image::RgbImage::from_pixel(8, 8, image::Rgb([90, 90, 90])));
        std::fs::write(root.join("d.png"), "no image").unwrap();
        std::fs::write(root.join("b.txt"), "a blue square\nfr.utf8=un carré bleu\n").unwrap();
        std::fs::write(root.join("metadata.jsonl"), "{\"file_name\": \"a.png\", \"text\": \"grey\"}\n").unwrap();
        let (all, report) = read(root);
        assert_eq!(all.iter().map(|image| image.name.as_str()).collect::<Vec<_>>(), ["a.png", "b.png", "c.jpg"]);
        assert!(all[0].pixels.iter().all(|&value| value == 7));
        assert_eq!(all[1].pixels.slice(ndarray::s![.., 0, 0]).to_vec(), [10, 20, 30], "transparency is dropped");
        let captions: Vec<_> = all.iter().map(|image| image.caption.as_deref()).collect();
        assert_eq!(captions, [Some("grey"), Some("a blue square"), None]);
        assert_eq!((report.images, report.bad, report.jpeg), (3, 1, 1));
        assert!(report.bad_examples[0].starts_with("d.png: "), "{report:?}");
        assert_eq!(report.sizes[&(2, 3)], 2);
    }

    #[test]
    fn every_kind_of_pixel_is_read_as_by_pillow() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image_set/fixture/kinds");
        let expected = interfuse_parameters::read_tensors(&fixture.join("expected.safetensors")).unwrap();
        let (all, report) = read(&fixture);
        assert_eq!((all.len(), report.bad), (expected.len(), 0));
        for NamedImage { name, pixels, .. } in all {
            let expected = &expected[name.trim_end_matches(".png")];
            assert_eq!(pixels.shape(), expected.shape, "{name}");
            assert!(pixels.iter().zip(&expected.values).all(|(&level, &value)| f32::from(level) == value), "{name}");
        }
    }

    /// Decoders may round differently, and enlarge halved colour differently; published numbers rest on libjpeg-turbo.
    #[test]
    fn jpeg_files_are_read_within_a_few_levels_of_pillow() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image_set/fixture");
        let ((ours, report), (by_pillow, _)) = (read(&fixture.join("jpeg")), read(&fixture.join("jpeg_by_pillow")));
        assert_eq!((ours.len(), report.jpeg), (5, 5));
        for (NamedImage { name, pixels, .. }, by_pillow) in ours.iter().zip(&by_pillow) {
            let gap = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b));
            let gaps: Vec<f64> = pixels.iter().zip(&by_pillow.pixels).map(gap).collect();
            let (most, mean) = (gaps.iter().copied().fold(0.0, f64::max), gaps.iter().sum::<f64>() / gaps.len() as f64);
            assert!(most <= 4.0 && mean < 0.4, "{name}: {most} at most, {mean} on average");
        }
    }

    #[test]
    fn the_first_frame_of_an_animated_image_is_taken_and_counted() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image_set/fixture/animated");
        let (all, report) = read(&fixture);
        assert_eq!((all.len(), report.bad, report.animated), (3, 0, 2));
        for NamedImage { name, pixels, .. } in all {
            let is_red = |channel: usize| if channel == 0 { 255 } else { 0 };
            assert!(pixels.indexed_iter().all(|((channel, ..), &level)| level == is_red(channel)), "{name}");
        }
    }

    #[test]
    fn a_tar_gives_what_the_folder_gives() {
        let folder = tempfile::tempdir().unwrap();
        let mut builder = tar::Builder::new(File::create(folder.path().join("set.tar")).unwrap());
        for index in 0..3u8 {
            let mut png = std::io::Cursor::new(vec![]);
            let image = image::RgbImage::from_pixel(4, 4, image::Rgb([index; 3]));
            image.write_to(&mut png, ImageFormat::Png).unwrap();
            for (extension, bytes) in [("txt", format!("number {index}").into_bytes()), ("png", png.into_inner())] {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o644);
                header.set_cksum();
                builder.append_data(&mut header, format!("0000{index}.{extension}"), bytes.as_slice()).unwrap();
            }
        }
        builder.into_inner().unwrap();
        let (all, report) = read(&folder.path().join("set.tar"));
        assert_eq!(report.images, 3);
        assert_eq!(all[2].caption.as_deref(), Some("number 2"));
        assert!(all[2].pixels.iter().all(|&value| value == 2));
        let some = |most| {
            let mut names = vec![];
            let mut work = |batch: Vec<NamedImage>, _: &SetReport| {
                names.extend(batch.into_iter().map(|image| image.name));
                Ok(())
            };
            let set = ImageSet::open(&folder.path().join("set.tar")).unwrap().at_most(most);
            set.for_each_batch(2, &mut work).unwrap();
            names
        };
        let names: Vec<String> = all.iter().map(|image| image.name.clone()).collect();
        assert_eq!((some(1), some(2), some(9)), (names[2..].to_vec(), names[1..].to_vec(), names.clone()));
    }

    #[test]
    fn some_of_all_are_spread_evenly() {
        for (kept, of) in [(3, 10), (10, 10), (1, 7), (99, 100)] {
            let spread = Spread::new(Some(kept), || Ok(of)).unwrap();
            let places: Vec<usize> = (0..of).filter(|&index| spread.keeps(index)).collect();
            assert_eq!(places.len(), kept);
            assert!(places.windows(2).all(|pair| (pair[1] - pair[0]).abs_diff(of / kept) <= 1), "{places:?}");
        }
        assert!(Spread::new(None, || unreachable!()).unwrap().keeps(3));
    }

    #[test]
    fn what_holds_no_image_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| ImageSet::open(path).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message(folder.path()).contains("found none"));
        assert!(message(&folder.path().join("gone")).contains("no such file"));
        std::fs::write(folder.path().join("x.csv"), "").unwrap();
        assert!(message(&folder.path().join("x.csv")).contains("expected a folder"));
        std::fs::write(folder.path().join("x.png"), "").unwrap();
        let error = ImageSet::open(folder.path()).unwrap().for_each_batch(2, &mut |_, _| Ok(())).unwrap_err();
        assert!(error.to_string().contains("1 bad ones, such as x.png"), "{error}");
    }
}
