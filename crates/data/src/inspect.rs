//! A look at a data set before hours are spent on it: numbers about its images and captions, and
//! a sheet to look at.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use crate::error::DataError;
use crate::images::{Image, ImageShape, grid};
use crate::sources::Source;
use crate::text::Tokenizer;

/// How many bad images a summary names.
const NAMED: usize = 5;

/// The height in pixels that a contact sheet brings small images to, by whole factors.
const VISIBLE: usize = 64;

/// What is in a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Captioned images, the bad ones included.
    pub images: usize,
    /// Images that could not be read.
    pub bad: usize,
    /// The first few of them, each with the reason.
    pub bad_examples: Vec<String>,
    /// Entries that were left out when the source was opened.
    pub skipped: usize,
    /// The first few of them, each with the reason.
    pub skipped_examples: Vec<String>,
    /// Heights in pixels before resizing. `None` when every image is bad.
    pub native_height: Option<Spread>,
    /// Widths in pixels before resizing. `None` when every image is bad.
    pub native_width: Option<Spread>,
    /// The shape that images are brought to; where there are several sizes, the first.
    pub shape: ImageShape,
    /// The sizes that images are brought to, and how many fall into each.
    pub sizes: Vec<SizeCount>,
    /// Captions over all images.
    pub captions: usize,
    /// Captions that differ from one another.
    pub distinct_captions: usize,
    /// Lengths of the captions in characters.
    pub characters: Spread,
    /// Captions that could not be read, or that the tokenizer has no ids for.
    pub bad_captions: usize,
    /// The first few of them, each with the image and the reason.
    pub bad_caption_examples: Vec<String>,
    /// Lengths of the captions in tokens, where a tokenizer was given.
    pub tokens: Option<TokenLengths>,
}

/// How many images are brought to a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SizeCount {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// Images, the bad ones left out.
    pub images: usize,
}

/// Smallest, mean and largest of a set of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The smallest.
    pub min: usize,
    /// The arithmetic mean.
    pub mean: f64,
    /// The largest.
    pub max: usize,
}

/// Lengths of captions in tokens, without special tokens.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenLengths {
    /// Smallest, mean and largest.
    pub spread: Spread,
    /// How many captions have each length, by length.
    pub histogram: BTreeMap<usize, usize>,
}

impl Spread {
    /// The spread of a histogram, from number to count; zeros for an empty one.
    fn of(histogram: &BTreeMap<usize, usize>) -> Self {
        let count: usize = histogram.values().sum();
        let sum: usize = histogram.iter().map(|(number, count)| number * count).sum();
        Self {
            min: histogram.first_key_value().map_or(0, |(&number, _)| number),
            mean: sum as f64 / count.max(1) as f64,
            max: histogram.last_key_value().map_or(0, |(&number, _)| number),
        }
    }
}

/// Reads every image and every caption once.
///
/// Bad images and captions are counted and named.
pub fn summarise(source: &dyn Source, tokenizer: Option<&Tokenizer>) -> Summary {
    let look = |index: usize| {
        let both = source.image(index).and_then(|image| {
            let ImageShape { height, width, .. } = image.shape();
            Ok([source.native_size(index)?, [height, width]])
        });
        both.map_err(|error| error.to_string())
    };
    let sizes: Vec<Result<[[usize; 2]; 2], String>> = match source.blocks() {
        // What is read from front to back is read so once; two threads would each send the other back to the front.
        Some(_) => (0..source.len()).map(look).collect(),
        None => (0..source.len()).into_par_iter().map(look).collect(),
    };
    let (good, bad): (Vec<_>, Vec<_>) = sizes.into_iter().partition(Result::is_ok);
    let good: Vec<[[usize; 2]; 2]> = good.into_iter().flatten().collect();
    let bad: Vec<String> = bad.into_iter().filter_map(Result::err).collect();
    let side = |axis: usize| {
        let sides = histogram(good.iter().map(|[native, _]| (native[axis], 1)));
        (!good.is_empty()).then(|| Spread::of(&sides))
    };

    // Templates repeat: a caption is measured once, however many images share it.
    let mut captions: BTreeMap<String, Repeated> = BTreeMap::new();
    let mut bad_captions = vec![];
    for index in 0..source.len() {
        match source.captions(index) {
            Ok(found) => found.into_iter().for_each(|caption| {
                captions.entry(caption).or_insert(Repeated { count: 0, first: index }).count += 1;
            }),
            Err(error) => bad_captions.push(error.to_string()),
        }
    }
    let characters = histogram(captions.iter().map(|(caption, repeated)| (caption.chars().count(), repeated.count)));
    let tokens = tokenizer.map(|tokenizer| {
        let (tokens, bad) = token_lengths(source, &captions, tokenizer);
        bad_captions.extend(bad);
        tokens
    });
    Summary {
        images: source.len(),
        bad: bad.len(),
        bad_examples: bad.into_iter().take(NAMED).collect(),
        skipped: source.skipped().len(),
        skipped_examples: source.skipped().iter().take(NAMED).cloned().collect(),
        native_height: side(0),
        native_width: side(1),
        shape: source.shape(),
        sizes: counted(source, good.iter().map(|[_, size]| *size)),
        captions: captions.values().map(|repeated| repeated.count).sum(),
        distinct_captions: captions.len(),
        characters: Spread::of(&characters),
        bad_captions: bad_captions.len(),
        bad_caption_examples: bad_captions.into_iter().take(NAMED).collect(),
        tokens,
    }
}

/// How many images have each of a source's sizes.
fn counted(source: &dyn Source, found: impl Iterator<Item = [usize; 2]>) -> Vec<SizeCount> {
    let framing = source.framing();
    let sizes = framing.all_sizes();
    let mut counts: Vec<SizeCount> = sizes.map(|[height, width]| SizeCount { height, width, images: 0 }).collect();
    for size in found {
        if let Some(count) = counts.iter_mut().find(|count| [count.height, count.width] == size) {
            count.images += 1;
        }
    }
    counts
}

/// A caption that several images may share.
struct Repeated {
    count: usize,
    /// The first image that has it.
    first: usize,
}

/// Lengths of the captions that have ids, and a sentence for each of the others.
fn token_lengths(
    source: &dyn Source,
    captions: &BTreeMap<String, Repeated>,
    tokenizer: &Tokenizer,
) -> (TokenLengths, Vec<String>) {
    let lengths: Vec<Result<(usize, usize), String>> = captions
        .par_iter()
        .map(|(caption, repeated)| match tokenizer.encode(caption) {
            Ok(ids) => Ok((ids.len(), repeated.count)),
            Err(error) => Err(DataError::caption(source.name(repeated.first), error).to_string()),
        })
        .collect();
    let (good, bad): (Vec<_>, Vec<_>) = lengths.into_iter().partition(Result::is_ok);
    let histogram = histogram(good.into_iter().flatten());
    (TokenLengths { spread: Spread::of(&histogram), histogram }, bad.into_iter().filter_map(Result::err).collect())
}

/// How often each number occurs, from pairs of a number and its count.
fn histogram(counted: impl Iterator<Item = (usize, usize)>) -> BTreeMap<usize, usize> {
    let mut histogram = BTreeMap::new();
    for (number, count) in counted {
        *histogram.entry(number).or_default() += count;
    }
    histogram
}

/// Up to `count` images of a source, sampled by `seed`, on one sheet; small ones are enlarged. Bad
/// ones are passed over.
///
/// # Errors
///
/// When none of the sampled images can be read.
pub fn contact_sheet(source: &dyn Source, count: usize, seed: u64) -> Result<Image, DataError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = count.clamp(1, source.len().max(1));
    let mut sampled = rand::seq::index::sample(&mut rng, source.len(), count.min(source.len())).into_vec();
    // In the order of the source, so that related images lie side by side.
    sampled.sort_unstable();
    let images: Vec<Image> = sampled.iter().filter_map(|&index| source.image(index).ok()).collect();
    let columns = (images.len() as f64).sqrt().ceil() as usize;
    grid(&images, columns, 2, VISIBLE.div_ceil(source.shape().height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::config::DataConfig;
    use crate::sources::folder::FolderConfig;
    use crate::sources::{SourceConfig, open};

    fn emoji() -> Arc<dyn Source> {
        open(&DataConfig { image_size: [16, 16], ..DataConfig::default() }).unwrap().train
    }

    #[test]
    fn a_summary_counts_images_captions_and_tokens() {
        let source = emoji();
        let captions = (0..source.len()).flat_map(|index| source.captions(index).unwrap());
        let tokenizer = Tokenizer::train(captions, 300).unwrap();
        let summary = summarise(&*source, Some(&tokenizer));
        assert_eq!((summary.images, summary.bad, summary.captions), (source.len(), 0, source.len()));
        assert_eq!(summary.distinct_captions, source.len());
        assert_eq!(summary.native_height, Some(Spread { min: 72, mean: 72.0, max: 72 }));
        let characters = summary.characters;
        assert!(characters.min >= 2 && characters.max < 40, "{characters:?}");
        let tokens = summary.tokens.unwrap();
        assert_eq!(tokens.histogram.values().sum::<usize>(), source.len());
        assert!(tokens.spread.mean < characters.mean);
    }

    #[test]
    fn bad_images_are_counted_and_named() {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..7 {
            std::fs::write(folder.path().join(format!("{index}.png")), "broken").unwrap();
            std::fs::write(folder.path().join(format!("{index}.txt")), "a caption").unwrap();
        }
        std::fs::write(folder.path().join("alone.png"), "broken").unwrap();
        let folder_config = FolderConfig { path: folder.path().into(), held_out: 0.0 };
        let config = DataConfig { source: SourceConfig::Folder(folder_config), ..DataConfig::default() };
        let source = open(&config).unwrap().train;
        let summary = summarise(&*source, None);
        assert_eq!((summary.images, summary.bad, summary.bad_examples.len()), (7, 7, NAMED));
        assert_eq!((summary.skipped, summary.distinct_captions), (1, 1));
        assert!(summary.native_width.is_none() && summary.tokens.is_none());
        assert!(contact_sheet(&*source, 4, 0).is_err());
    }

    #[test]
    fn a_contact_sheet_follows_its_seed() {
        let source = emoji();
        let sheet = contact_sheet(&*source, 9, 7).unwrap();
        assert_eq!((sheet.shape().height, sheet.shape().width), (3 * 66 + 2, 3 * 66 + 2));
        assert_eq!(contact_sheet(&*source, 9, 7).unwrap(), sheet);
        assert_ne!(contact_sheet(&*source, 9, 8).unwrap(), sheet);
    }
}
