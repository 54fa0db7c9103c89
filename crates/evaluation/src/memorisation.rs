//! Whether drawn pictures are copies: do they lie nearer to the training pictures than pictures do that training never saw?

use serde::Serialize;

use crate::error::EvaluationError;
use crate::retrieval::Nearest;

/// Distances to the nearest training picture, of drawn pictures and of held-out ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Memorisation {
    /// The probability that a drawn picture lies nearer to its nearest training picture than a held-out one does to its own
    /// (Mann–Whitney's U divided by the number of pairs): ½ for a model that draws as the data does, 1 for one that copies.
    pub drawn_is_nearer: f64,
    /// Root mean square distance of a value, the median over drawn pictures; values are in [-1, 1].
    pub drawn_median: f64,
    /// The same over held-out pictures.
    pub held_out_median: f64,
}

/// Compares the nearest training pictures of drawn and of held-out pictures, which have `values` numbers each.
///
/// # Errors
/// When either list is empty.
pub fn memorisation(drawn: &[Nearest], held_out: &[Nearest], values: usize) -> Result<Memorisation, EvaluationError> {
    let found = drawn.len().min(held_out.len());
    if found == 0 {
        return Err(EvaluationError::TooFew { what: "drawn and held-out pictures", least: 1, found });
    }
    let distances = |all: &[Nearest]| -> Vec<f64> {
        let mut distances: Vec<f64> =
            all.iter().map(|nearest| (f64::from(nearest.squared_distance) / values.max(1) as f64).sqrt()).collect();
        distances.sort_by(f64::total_cmp);
        distances
    };
    let (drawn, held_out) = (distances(drawn), distances(held_out));
    let mut nearer = 0.0;
    for distance in &drawn {
        let below = held_out.partition_point(|other| other < distance);
        let until = held_out.partition_point(|other| other <= distance);
        nearer += (held_out.len() - until) as f64 + 0.5 * (until - below) as f64;
    }
    let median = |sorted: &[f64]| sorted[sorted.len() / 2];
    Ok(Memorisation {
        drawn_is_nearer: nearer / (drawn.len() * held_out.len()) as f64,
        drawn_median: median(&drawn),
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
    fn copies_are_told_from_pictures_like_the_others() {
        let held_out = at(&[1.0, 2.0, 3.0, 4.0]);
        let copies = memorisation(&at(&[0.0, 0.1]), &held_out, 4).unwrap();
        assert_eq!(copies.drawn_is_nearer, 1.0);
        assert!((copies.held_out_median - (3.0f64 / 4.0).sqrt()).abs() < 1e-9);
        let same = memorisation(&held_out, &held_out, 1).unwrap();
        assert_eq!(same.drawn_is_nearer, 0.5);
        assert_eq!(memorisation(&at(&[9.0]), &held_out, 1).unwrap().drawn_is_nearer, 0.0);
        assert!(memorisation(&[], &held_out, 1).is_err());
    }
}
