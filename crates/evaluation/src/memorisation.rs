//! Whether generated images are copies: do they lie nearer to the training images than images do that training never saw?

use serde::Serialize;

use crate::error::EvaluationError;
use crate::retrieval::Nearest;

/// Distances to the nearest training image, of generated images and of held-out ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Memorisation {
    /// The probability that a generated image lies nearer to its nearest training image than a held-out one does to its own
    /// (Mann–Whitney's U divided by the number of pairs): ½ for a model that draws as the data does, 1 for one that copies.
    pub generated_is_nearer: f64,
    /// Root mean square distance of a value, the median over generated images; values are in [-1, 1].
    pub generated_median: f64,
    /// The same over held-out images.
    pub held_out_median: f64,
}

/// Compares the nearest training images of generated and of held-out images, which have `values` numbers each.
///
/// # Errors
/// When either list is empty.
pub fn memorisation(
    generated: &[Nearest],
    held_out: &[Nearest],
    values: usize,
) -> Result<Memorisation, EvaluationError> {
    let found = generated.len().min(held_out.len());
    if found == 0 {
        return Err(EvaluationError::TooFew { what: "generated and held-out images", least: 1, found });
    }
    let distances = |all: &[Nearest]| -> Vec<f64> {
        let mut distances: Vec<f64> =
            all.iter().map(|nearest| (f64::from(nearest.squared_distance) / values.max(1) as f64).sqrt()).collect();
        distances.sort_by(f64::total_cmp);
        distances
    };
    let (generated, held_out) = (distances(generated), distances(held_out));
    let mut nearer = 0.0;
    for distance in &generated {
        let below = held_out.partition_point(|other| other < distance);
        let until = held_out.partition_point(|other| other <= distance);
        nearer += (held_out.len() - until) as f64 + 0.5 * (until - below) as f64;
    }
    let median = |sorted: &[f64]| sorted[sorted.len() / 2];
    Ok(Memorisation {
        generated_is_nearer: nearer / (generated.len() * held_out.len()) as f64,
        generated_median: median(&generated),
        held_out_median: median(&held_out),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(distances: &[f32]) -> Vec<Nearest> {
        distances.iter().map(|&squared_distance| Nearest { index: 0, squared_distance }).collect()
    }

    #[test]
    fn copies_are_told_from_images_like_the_others() {
        let held_out = at(&[1.0, 2.0, 3.0, 4.0]);
        let copies = memorisation(&at(&[0.0, 0.1]), &held_out, 4).unwrap();
        assert_eq!(copies.generated_is_nearer, 1.0);
        assert!((copies.held_out_median - (3.0f64 / 4.0).sqrt()).abs() < 1e-9);
        let same = memorisation(&held_out, &held_out, 1).unwrap();
        assert_eq!(same.generated_is_nearer, 0.5);
        assert_eq!(memorisation(&at(&[9.0]), &held_out, 1).unwrap().generated_is_nearer, 0.0);
        assert!(memorisation(&[], &held_out, 1).is_err());
    }
}
