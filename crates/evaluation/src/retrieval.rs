//! Whether a generated image can be told, among all that could have been asked for, to be the one that was.
//!
//! For a model that has learned a set of single images by name, this is the score: draw each by its name, and look for the
//! nearest reference. It needs no learned classifier, and chance is known exactly.

use ndarray::{ArrayView4, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{EvaluationError, proportion::Proportion};

/// How many running sums [`squared_distance`] keeps: enough for two AVX registers.
const LANES: usize = 16;

/// How often the reference that was asked for is the nearest, or among the five nearest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retrieval {
    /// No other reference is nearer.
    pub top1: Proportion,
    /// At most four other references are nearer.
    pub top5: Proportion,
    /// The fraction that `top1` has by chance, from 0 to 1.
    pub chance_top1: f64,
    /// The fraction that `top5` has by chance, from 0 to 1.
    pub chance_top5: f64,
    /// How many references there are.
    pub references: usize,
}

/// The reference nearest to an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearest {
    /// Its place among the references; the first of those equally near.
    pub index: usize,
    /// The squared distance, summed over all values; with values in [-1, 1] at most 4 each.
    pub squared_distance: f32,
}

/// Scores `images`, of which image `i` was to be `references[wanted[i]]`.
///
/// A reference exactly as near as the wanted one does not count as nearer. An image with NaN in it is always a miss.
///
/// # Shapes
/// - `images`: `[images, channels, height, width]`
/// - `references`: `[references, channels, height, width]`
/// - `wanted`: one index into `references` for each image
///
/// # Errors
/// The shapes do not fit, there are no images or no references, or an index of `wanted` is out of range.
pub fn retrieval(
    images: ArrayView4<'_, f32>,
    references: ArrayView4<'_, f32>,
    wanted: &[usize],
) -> Result<Retrieval, EvaluationError> {
    let (images, references) = rows(images, references)?;
    if wanted.len() != images.len() {
        return Err(EvaluationError::mismatch("wanted references, one an image", images.len(), wanted.len()));
    }
    if let Some(&index) = wanted.iter().find(|&&index| index >= references.len()) {
        return Err(EvaluationError::mismatch("a wanted reference", 0..references.len(), index));
    }
    let nearer: Vec<usize> =
        images.par_iter().zip(wanted).map(|(image, &wanted)| count_nearer(image, &references, wanted)).collect();
    let within = |count: usize| Proportion::of(nearer.iter().map(|&nearer| nearer < count));
    let chance = |count: usize| (count as f64 / references.len() as f64).min(1.0);
    Ok(Retrieval {
        top1: within(1),
        top5: within(5),
        chance_top1: chance(1),
        chance_top5: chance(5),
        references: references.len(),
    })
}

/// The reference nearest to each image.
///
/// The mean of these distances to the training set, beside that to images held out, shows what was memorised.
///
/// # Shapes
/// - `images`: `[images, channels, height, width]`
/// - `references`: `[references, channels, height, width]`
///
/// # Errors
/// The shapes do not fit, there are no images or no references, or a value is not finite.
pub fn nearest(images: ArrayView4<'_, f32>, references: ArrayView4<'_, f32>) -> Result<Vec<Nearest>, EvaluationError> {
    let (images, references) = rows(images, references)?;
    let finite = |rows: &[Vec<f32>]| rows.iter().flatten().all(|value| value.is_finite());
    if !finite(&images) || !finite(&references) {
        return Err(EvaluationError::NotFinite("the images' values"));
    }
    let nearest_of = |image: &Vec<f32>| {
        let distances = references.iter().map(|reference| squared_distance(image, reference)).enumerate();
        distances
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .map(|(index, squared_distance)| Nearest { index, squared_distance })
    };
    Ok(images.par_iter().filter_map(nearest_of).collect())
}

/// How many references are nearer to `image` than the wanted one: all of them where the distance is non-finite.
fn count_nearer(image: &[f32], references: &[Vec<f32>], wanted: usize) -> usize {
    let distance = squared_distance(image, &references[wanted]);
    if !distance.is_finite() {
        return references.len().max(5);
    }
    references.iter().filter(|reference| squared_distance(image, reference) < distance).count()
}

type Rows = Vec<Vec<f32>>;

/// Both sets as one contiguous row of values an image, once they are known to fit.
fn rows(images: ArrayView4<'_, f32>, references: ArrayView4<'_, f32>) -> Result<(Rows, Rows), EvaluationError> {
    for (what, set) in [("images", &images), ("reference images", &references)] {
        if set.is_empty() {
            return Err(EvaluationError::TooFew { what, least: 1, found: 0 });
        }
    }
    let (a, b) = (&images.shape()[1..], &references.shape()[1..]);
    if a != b {
        return Err(EvaluationError::mismatch("the shape of images and references", b, a));
    }
    let flat = |set: ArrayView4<'_, f32>| set.axis_iter(Axis(0)).map(|each| each.iter().copied().collect()).collect();
    Ok((flat(images), flat(references)))
}

/// Σ (aᵢ − bᵢ)², in lanes, because the compiler may not reorder a single sum into vector instructions.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let rest: f32 = rest.map(|(a, b)| (a - b) * (a - b)).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += (a - b) * (a - b);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;

    /// `count` images of 3 x 5 x 7, each with its own pattern.
    fn patterns(count: usize) -> Array4<f32> {
        Array4::from_shape_fn((count, 3, 5, 7), |(n, c, y, x)| ((n * 31 + c * 17 + y * 5 + x * 3) as f32 * 0.7).sin())
    }

    #[test]
    fn a_noisy_copy_is_found_again() {
        let references = patterns(8);
        let noisy = &references + &patterns(8).mapv(|value| 0.2 * (91.0 * value).sin());
        let found = retrieval(noisy.view(), references.view(), &[0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
        assert_eq!((found.top1.hits, found.top1.total, found.references), (8, 8, 8));
        assert_eq!((found.chance_top1, found.chance_top5), (0.125, 0.625));
    }

    #[test]
    fn the_rank_of_the_wanted_reference_decides() {
        // References 0, 1, … 9 are grey levels; the image is 0, so the wanted reference 4 is fifth, and 5 is sixth.
        let references = Array4::from_shape_fn((10, 1, 2, 2), |(n, ..)| n as f32 / 10.0);
        let images = Array4::zeros((3, 1, 2, 2));
        let found = retrieval(images.view(), references.view(), &[0, 4, 5]).unwrap();
        assert_eq!((found.top1.hits, found.top5.hits), (1, 2));
    }

    #[test]
    fn equal_references_are_not_nearer_and_nan_is_never_right() {
        let references = Array4::<f32>::zeros((6, 1, 2, 2));
        let mut images = Array4::<f32>::ones((2, 1, 2, 2));
        images[[1, 0, 0, 0]] = f32::NAN;
        let found = retrieval(images.view(), references.view(), &[5, 5]).unwrap();
        assert_eq!((found.top1.hits, found.top5.hits), (1, 1));
        assert!(matches!(nearest(images.view(), references.view()), Err(EvaluationError::NotFinite(_))));
    }

    #[test]
    fn nearest_gives_the_place_and_the_distance() {
        let references = patterns(4);
        let images = references.slice(ndarray::s![2..3, .., .., ..]).mapv(|value| value + 0.1);
        let found = nearest(images.view(), references.view()).unwrap();
        assert_eq!(found[0].index, 2);
        assert!((found[0].squared_distance - 105.0 * 0.01).abs() < 1e-4, "{found:?}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let references = patterns(2);
        let none = Array4::zeros((0, 3, 5, 7));
        let other = Array4::zeros((1, 3, 5, 8));
        assert!(matches!(nearest(none.view(), references.view()), Err(EvaluationError::TooFew { .. })));
        assert!(matches!(nearest(other.view(), references.view()), Err(EvaluationError::Mismatch { .. })));
        let wanted_error = |wanted: &[usize]| retrieval(references.view(), references.view(), wanted).unwrap_err();
        assert!(wanted_error(&[0]).to_string().contains("expected 2, found 1"));
        assert!(wanted_error(&[0, 2]).to_string().contains("expected 0..2, found 2"));
    }
}
