//! CLIP score: how well images fit their captions, by vectors of unit length.
//!
//! Three numbers of one mean: the cosine itself, `100 · max(0, cos)` (torchmetrics), and `2.5 · max(0, cos)` (Hessel et al.,
//! 2104.08718, equation 1, who put "A photo depicts" before every caption).

use std::collections::HashMap;

use ndarray::{ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use crate::bootstrap::Mean;
use crate::error::EvaluationError;
use crate::proportion::Proportion;

/// Images that are compared with all candidates at once.
const BLOCK: usize = 256;

/// The scores of a set.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ClipScore {
    /// The mean cosine.
    pub cosine: Mean,
    /// The mean of `100 · max(0, cos)`.
    pub score_100: Mean,
    /// The mean of `2.5 · max(0, cos)`.
    pub hessel: Mean,
    /// Images whose own caption is nearer than any other of the distinct captions.
    pub r_precision: Proportion,
    /// Distinct captions; chance is one in so many.
    pub candidates: usize,
    /// The cosine of each image and its caption.
    #[serde(skip)]
    pub cosines: Vec<f64>,
}

/// Compares images with their captions, row by row; vectors are of unit length, `[count, dim]`.
///
/// # Errors
/// When the two differ in number or length, there are none, or a value is NaN or infinite.
pub fn clip_score(
    images: ArrayView2<'_, f32>,
    texts: ArrayView2<'_, f32>,
    captions: &[String],
    seed: u64,
) -> Result<ClipScore, EvaluationError> {
    if images.dim() != texts.dim() || captions.len() != texts.nrows() {
        return Err(EvaluationError::mismatch("images and captions", images.dim(), texts.dim()));
    }
    if captions.is_empty() {
        return Err(EvaluationError::TooFew { what: "images with a caption", least: 1, found: 0 });
    }
    if images.iter().chain(texts).any(|value| !value.is_finite()) {
        return Err(EvaluationError::NotFinite("the vectors of images and captions"));
    }
    let cosines = cosines(images, texts);
    let positive: Vec<f64> = cosines.iter().map(|cosine| cosine.max(0.0)).collect();
    let Candidates { rows, own } = candidates(captions);
    let found = own_is_nearest(images, texts.select(Axis(0), &rows).view(), &own);
    Ok(ClipScore {
        cosine: Mean::of(&cosines, seed),
        score_100: Mean::of(&positive, seed).scaled(100.0),
        hessel: Mean::of(&positive, seed).scaled(2.5),
        r_precision: Proportion::of(found),
        candidates: rows.len(),
        cosines,
    })
}

/// The cosine of each image and its caption, row by row; vectors are of unit length, `[count, dim]`.
fn cosines(images: ArrayView2<'_, f32>, texts: ArrayView2<'_, f32>) -> Vec<f64> {
    let cosine = |(image, text): (ArrayView1<'_, f32>, ArrayView1<'_, f32>)| -> f64 {
        image.iter().zip(text).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    images.rows().into_iter().zip(texts.rows()).map(cosine).collect()
}

/// The distinct captions.
struct Candidates {
    /// Where each stands first.
    rows: Vec<usize>,
    /// For each image, which of them is its own.
    own: Vec<usize>,
}

fn candidates(captions: &[String]) -> Candidates {
    let (mut rows, mut places) = (vec![], HashMap::new());
    let mut place = |(row, caption): (usize, &String)| {
        *places.entry(caption.clone()).or_insert_with(|| {
            rows.push(row);
            rows.len() - 1
        })
    };
    let own = captions.iter().enumerate().map(&mut place).collect();
    Candidates { rows, own }
}

/// For each image, whether every other candidate is further away than its own; one equally near is enough for a miss.
///
/// # Shapes
/// - `images`: `[count, dim]`, `candidates`: `[candidates, dim]`
fn own_is_nearest(images: ArrayView2<'_, f32>, candidates: ArrayView2<'_, f32>, own: &[usize]) -> Vec<bool> {
    let blocks: Vec<_> = images.axis_chunks_iter(Axis(0), BLOCK).zip(own.chunks(BLOCK)).collect();
    let in_block = |(images, own): (ArrayView2<'_, f32>, &[usize])| -> Vec<bool> {
        // A product of matrices, because thirty thousand images have a billion pairs.
        let cosines = images.dot(&candidates.t());
        let nearest = |(row, &own): (ArrayView1<'_, f32>, &usize)| {
            row.iter().enumerate().all(|(other, &cosine)| other == own || cosine < row[own])
        };
        cosines.rows().into_iter().zip(own).map(nearest).collect()
    };
    blocks.into_par_iter().map(in_block).flatten_iter().collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn scores_are_of_the_cosine_and_precision_of_the_nearest_caption() {
        let captions: Vec<String> = ["a", "b", "a"].map(String::from).to_vec();
        let images = array![[1.0f32, 0.0], [0.0, 1.0], [-1.0, 0.0]];
        let texts = array![[0.6f32, 0.8], [0.0, 1.0], [0.6, 0.8]];
        let found = clip_score(images.view(), texts.view(), &captions, 0).unwrap();
        assert!((found.cosine.value - (0.6 + 1.0 - 0.6) / 3.0).abs() < 1e-6);
        assert!((found.score_100.value - 100.0 * 1.6 / 3.0).abs() < 1e-4);
        assert!((found.hessel.value - 2.5 * 1.6 / 3.0).abs() < 1e-6);
        // The third lies nearer to b than to its own.
        assert_eq!((found.r_precision.hits, found.candidates), (2, 2));
        assert!(clip_score(images.view(), texts.view(), &captions[..2], 0).is_err());
    }

    #[test]
    fn blocks_do_not_change_who_is_nearest_and_a_tie_is_a_miss() {
        let count = 2 * BLOCK + 7;
        let captions: Vec<String> = (0..count).map(|row| format!("caption {}", row / 2)).collect();
        // Two images to each caption, and captions side by side on a circle.
        let at = |turn: f32| {
            Array2::from_shape_fn((count, 2), |(row, axis)| {
                let angle = (row / 2) as f32 * 0.01 + turn;
                if axis == 0 { angle.cos() } else { angle.sin() }
            })
        };
        let found = clip_score(at(0.001).view(), at(0.0).view(), &captions, 0).unwrap();
        assert_eq!((found.r_precision.hits, found.candidates), (count, count.div_ceil(2)));
        let turned = clip_score(at(0.006).view(), at(0.0).view(), &captions, 0).unwrap();
        // Every image is nearer to the next caption, but for the last, which has none.
        assert_eq!(turned.r_precision.hits, 1);
        let same = Array2::from_elem((2, 2), 0.5f32.sqrt());
        let tied = clip_score(same.view(), same.view(), &captions[1..3], 0).unwrap();
        assert_eq!((tied.r_precision.hits, tied.candidates), (0, 2));
        let nan = array![[f32::NAN, 0.0]];
        let refused = clip_score(nan.view(), nan.view(), &captions[..1], 0);
        assert!(matches!(refused, Err(EvaluationError::NotFinite(_))));
    }
}
