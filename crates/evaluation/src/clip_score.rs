//! CLIP score: how well pictures fit their captions, by vectors of unit length.
//!
//! Three numbers of one mean: the cosine itself, `100 · max(0, cos)` (torchmetrics), and `2.5 · max(0, cos)` (Hessel et al.,
//! 2104.08718, equation 1, who put "A photo depicts" before every caption).

use ndarray::ArrayView2;

use crate::bootstrap::Mean;
use crate::error::EvaluationError;
use crate::proportion::Proportion;

/// The scores of a set.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ClipScore {
    /// The mean cosine.
    pub cosine: Mean,
    /// The mean of `100 · max(0, cos)`.
    pub score_100: Mean,
    /// The mean of `2.5 · max(0, cos)`.
    pub hessel: Mean,
    /// Pictures whose own caption is the nearest of all distinct captions.
    pub r_precision: Proportion,
    /// Distinct captions; chance is one in so many.
    pub candidates: usize,
}

/// Compares pictures with their captions, row by row; vectors are of unit length, `[count, dim]`.
///
/// # Errors
/// When the two differ in number or length, or there are none.
pub fn clip_score(
    pictures: ArrayView2<'_, f32>,
    texts: ArrayView2<'_, f32>,
    captions: &[String],
    seed: u64,
) -> Result<ClipScore, EvaluationError> {
    if pictures.dim() != texts.dim() || captions.len() != texts.nrows() {
        return Err(EvaluationError::mismatch("pictures and captions", pictures.dim(), texts.dim()));
    }
    if captions.is_empty() {
        return Err(EvaluationError::TooFew { what: "pictures with a caption", least: 1, found: 0 });
    }
    let cosine = |picture: usize, text: usize| -> f64 {
        let pair = pictures.row(picture).into_iter().zip(texts.row(text));
        pair.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let cosines: Vec<f64> = (0..captions.len()).map(|row| cosine(row, row)).collect();
    let positive: Vec<f64> = cosines.iter().map(|cosine| cosine.max(0.0)).collect();
    let mut distinct: Vec<usize> = vec![];
    for row in 0..captions.len() {
        if distinct.iter().all(|&other| captions[other] != captions[row]) {
            distinct.push(row);
        }
    }
    let nearest = |row: usize| {
        let own = cosines[row];
        distinct.iter().all(|&text| captions[text] == captions[row] || cosine(row, text) < own)
    };
    Ok(ClipScore {
        cosine: Mean::of(&cosines, seed),
        score_100: Mean::of(&positive, seed).scaled(100.0),
        hessel: Mean::of(&positive, seed).scaled(2.5),
        r_precision: Proportion::of((0..captions.len()).map(nearest)),
        candidates: distinct.len(),
    })
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn scores_are_of_the_cosine_and_precision_of_the_nearest_caption() {
        let captions: Vec<String> = ["a", "b", "a"].map(String::from).to_vec();
        let pictures = array![[1.0f32, 0.0], [0.0, 1.0], [-1.0, 0.0]];
        let texts = array![[0.6f32, 0.8], [0.0, 1.0], [0.6, 0.8]];
        let found = clip_score(pictures.view(), texts.view(), &captions, 0).unwrap();
        assert!((found.cosine.value - (0.6 + 1.0 - 0.6) / 3.0).abs() < 1e-6);
        assert!((found.score_100.value - 100.0 * 1.6 / 3.0).abs() < 1e-4);
        assert!((found.hessel.value - 2.5 * 1.6 / 3.0).abs() < 1e-6);
        // The third lies nearer to b than to its own.
        assert_eq!((found.r_precision.hits, found.candidates), (2, 2));
        assert!(clip_score(pictures.view(), texts.view(), &captions[..2], 0).is_err());
    }
}
