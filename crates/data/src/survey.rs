//! A quick look at a folder of captioned images, for whoever has to choose settings: how many there are, how large they are,
//! what is transparent or grey, and what the captions are like.
//!
//! [`crate::inspect`] reads every image in the shape that a configuration asks for; here no shape is known yet, and a spread of
//! the images is enough.

use std::collections::HashSet;
use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;

use crate::config::DataConfig;
use crate::error::DataError;
use crate::files::{decode::decode_upright, images_below};
use crate::sources::folder::FolderConfig;
use crate::sources::{Source, SourceConfig, evenly, open};

/// The most images that are opened.
const MOST_OPENED: usize = 256;

/// What a folder of captioned images is like.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// Captioned images, whether they can be read or not.
    pub images: usize,
    /// What was left out when the folder was opened.
    pub skipped: usize,
    /// How many of the images were opened, spread evenly.
    pub opened: usize,
    /// How many of those cannot be read.
    pub bad: usize,
    /// Height of those that were read, in pixels.
    pub height: Sides,
    /// Width of those that were read, in pixels.
    pub width: Sides,
    /// The median of width / height.
    pub aspect: f64,
    /// How many of those that were read have a pixel that is not opaque.
    pub transparent: usize,
    /// How many of those that were read have a pixel with colour.
    pub coloured: usize,
    /// Seconds that one core takes to read one, the mean.
    pub seconds_per_image: f64,
    /// All captions.
    pub captions: CaptionSurvey,
    /// One of them.
    pub example: String,
}

/// Smallest, median and largest side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    /// The smallest.
    pub min: usize,
    /// The middle one.
    pub median: usize,
    /// The largest.
    pub max: usize,
}

/// What captions are like.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CaptionSurvey {
    /// Captions over all images.
    pub captions: usize,
    /// Captions that differ from one another.
    pub distinct: usize,
    /// Words that differ from one another, between blanks.
    pub distinct_words: usize,
    /// Words of a caption, the mean.
    pub words: f64,
    /// Bytes of a caption, the mean.
    pub bytes: f64,
    /// Bytes of the longest caption.
    pub longest: usize,
}

/// What one image is like.
struct Look {
    size: [usize; 2],
    is_transparent: bool,
    is_coloured: bool,
    seconds: f64,
}

/// Looks at a folder that training would open as `data.source = { kind = "folder" }`.
///
/// # Errors
///
/// When it is no folder, holds no captioned image, or none of the images that were opened can be read; says what would mend it.
pub fn survey(folder: &Path) -> Result<Survey, DataError> {
    let source = captioned(folder)?;
    let chosen: Vec<usize> = evenly(MOST_OPENED, source.len()).collect();
    let looks: Vec<Result<Look, DataError>> =
        chosen.par_iter().map(|&index| look(&folder.join(source.name(index)))).collect();
    let opened = looks.len();
    let (good, bad): (Vec<_>, Vec<_>) = looks.into_iter().partition(Result::is_ok);
    let good: Vec<Look> = good.into_iter().flatten().collect();
    if good.is_empty() {
        let first = bad.into_iter().find_map(Result::err).map(|error| error.to_string()).unwrap_or_default();
        let found = format!("{opened} that cannot be read, the first: {first}");
        return Err(DataError::malformed(folder.display().to_string(), "images that can be read", found));
    }
    let mut aspects: Vec<f64> = good.iter().map(|look| look.size[1] as f64 / look.size[0] as f64).collect();
    aspects.sort_by(f64::total_cmp);
    Ok(Survey {
        images: source.len(),
        skipped: source.skipped().len(),
        opened,
        bad: bad.len(),
        height: Sides::of(&good, 0),
        width: Sides::of(&good, 1),
        aspect: aspects[aspects.len() / 2],
        transparent: good.iter().filter(|look| look.is_transparent).count(),
        coloured: good.iter().filter(|look| look.is_coloured).count(),
        seconds_per_image: good.iter().map(|look| look.seconds).sum::<f64>() / good.len() as f64,
        captions: CaptionSurvey::of(source.as_ref()),
        example: (0..source.len()).find_map(|index| source.caption(index).ok()).unwrap_or_default(),
    })
}

/// All captioned images of a folder, or why there are none.
fn captioned(folder: &Path) -> Result<std::sync::Arc<dyn Source>, DataError> {
    let name = || folder.display().to_string();
    if folder.is_file() {
        let expected =
            "a folder of images with captions (unpack a tar first: `mkdir images && tar -xf FILE -C images`)";
        return Err(DataError::malformed(name(), expected, "a file"));
    }
    let source = SourceConfig::Folder(FolderConfig { path: folder.into(), held_out: 0.0 });
    match open(&DataConfig { source, ..DataConfig::default() }) {
        Ok(data) => Ok(data.train),
        Err(DataError::Empty { searched }) => match images_below(folder)?.as_slice() {
            [] => Err(DataError::Empty { searched }),
            [first, rest @ ..] => {
                let (count, first) = (1 + rest.len(), first.display());
                let expected = format!(
                    "a caption for each image, since a model learns to draw from captions: a file `metadata.jsonl` with lines \
                     such as {{\"file_name\": \"{first}\", \"text\": \"what it shows\"}}, or a text file of its name beside each \
                     image"
                );
                Err(DataError::malformed(name(), expected, format!("{count} images without captions; {searched}")))
            }
        },
        Err(error) => Err(error),
    }
}

fn look(path: &Path) -> Result<Look, DataError> {
    let bytes = std::fs::read(path).map_err(DataError::io("read", path))?;
    let started = Instant::now();
    let image = decode_upright(&bytes).map_err(DataError::image(path.display().to_string()))?;
    let seconds = started.elapsed().as_secs_f64();
    let rgba = image.to_rgba8();
    Ok(Look {
        size: [image.height() as usize, image.width() as usize],
        is_transparent: image.color().has_alpha() && rgba.pixels().any(|pixel| pixel.0[3] < 255),
        is_coloured: image.color().has_color()
            && rgba.pixels().any(|pixel| pixel.0[0] != pixel.0[1] || pixel.0[1] != pixel.0[2]),
        seconds,
    })
}

impl Sides {
    fn of(looks: &[Look], axis: usize) -> Self {
        let mut sides: Vec<usize> = looks.iter().map(|look| look.size[axis]).collect();
        sides.sort_unstable();
        let at = |place: usize| sides.get(place).copied().unwrap_or_default();
        Self { min: at(0), median: at(sides.len() / 2), max: at(sides.len().saturating_sub(1)) }
    }
}

impl CaptionSurvey {
    fn of(source: &dyn Source) -> Self {
        let (mut distinct, mut distinct_words) = (HashSet::new(), HashSet::new());
        let (mut captions, mut words, mut bytes, mut longest) = (0, 0, 0, 0);
        for caption in (0..source.len()).filter_map(|index| source.captions(index).ok()).flatten() {
            captions += 1;
            bytes += caption.len();
            longest = longest.max(caption.len());
            for word in caption.split_whitespace() {
                words += 1;
                if !distinct_words.contains(word) {
                    distinct_words.insert(word.to_string());
                }
            }
            distinct.insert(caption);
        }
        let mean = |sum: usize| sum as f64 / captions.max(1) as f64;
        Self {
            captions,
            distinct: distinct.len(),
            distinct_words: distinct_words.len(),
            words: mean(words),
            bytes: mean(bytes),
            longest,
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgba, RgbaImage};

    use super::*;

    /// Images of one colour each, with captions.
    fn folder(images: &[(&str, [u32; 2], [u8; 4], &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, [height, width], colour, caption) in images {
            let image = RgbaImage::from_pixel(*width, *height, Rgba(*colour));
            image.save(folder.path().join(format!("{name}.png"))).unwrap();
            std::fs::write(folder.path().join(format!("{name}.txt")), caption).unwrap();
        }
        folder
    }

    #[test]
    fn sizes_colour_transparency_and_captions_are_counted() {
        let folder = folder(&[
            ("a", [8, 16], [200, 10, 10, 255], "a red box"),
            ("b", [10, 20], [50, 50, 50, 255], "a grey box"),
            ("c", [30, 30], [50, 50, 50, 128], "a grey box"),
        ]);
        std::fs::write(folder.path().join("d.png"), "broken").unwrap();
        std::fs::write(folder.path().join("d.txt"), "nothing").unwrap();
        let found = survey(folder.path()).unwrap();
        assert_eq!((found.images, found.opened, found.bad, found.skipped), (4, 4, 1, 0));
        assert_eq!(found.height, Sides { min: 8, median: 10, max: 30 });
        assert_eq!(found.width, Sides { min: 16, median: 20, max: 30 });
        assert_eq!((found.aspect, found.transparent, found.coloured), (2.0, 1, 1));
        let captions = found.captions;
        assert_eq!((captions.captions, captions.distinct, captions.distinct_words), (4, 3, 5));
        assert_eq!((captions.words, captions.longest), (2.5, 10));
        assert_eq!(found.example, "a red box");
    }

    #[test]
    fn what_cannot_be_trained_on_is_said_in_one_sentence() {
        let message = |path: &Path| survey(path).unwrap_err().to_string();
        let folder = folder(&[("a", [4, 4], [1, 2, 3, 255], "one")]);
        assert!(message(&folder.path().join("a.png")).contains("a folder of images"));
        assert!(message(&folder.path().join("nowhere")).contains("does not exist"));
        std::fs::remove_file(folder.path().join("a.txt")).unwrap();
        let found = message(folder.path());
        assert!(found.contains("metadata.jsonl") && found.contains("1 images without captions"), "{found}");
        std::fs::remove_file(folder.path().join("a.png")).unwrap();
        assert!(message(folder.path()).contains("no captioned images"));
        std::fs::write(folder.path().join("b.png"), "broken").unwrap();
        std::fs::write(folder.path().join("b.txt"), "one").unwrap();
        assert!(message(folder.path()).contains("1 that cannot be read"));
    }
}
