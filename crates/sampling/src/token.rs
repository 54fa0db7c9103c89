//! The next id out of logits: temperature, the `k` likeliest, the nucleus of probability `p`.
//!
//! Dimensions: `B` sequences, `V` ids to choose from.

use burn::tensor::Tensor;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// How an id is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenChoice {
    /// Divides the logits; 0 takes the likeliest id.
    pub temperature: f64,
    /// Only so many of the likeliest are sampled among.
    pub top_k: Option<usize>,
    /// Only the likeliest that together have this probability are sampled among, the one that reaches it included
    /// (1904.09751, section 3.1). It is taken of what temperature and `top_k` leave, as in transformers.
    pub top_p: f64,
}

impl TokenChoice {
    /// The likeliest id.
    pub const LIKELIEST: Self = Self { temperature: 0.0, top_k: None, top_p: 1.0 };

    /// An id for every sequence that wants one, each by its own generator, which takes one number whatever is chosen and none
    /// where nothing is wanted; so what a sequence says does not depend on how long the others talk. `[B, V]`
    pub fn choose(&self, logits: &Tensor<2>, wanted: &[bool], generators: &mut [ChaCha8Rng]) -> Vec<u32> {
        if self.temperature == 0.0 {
            return likeliest(logits);
        }
        let [_, vocab] = logits.dims();
        let values = logits.to_data().convert::<f32>().try_to_vec::<f32>().unwrap_or_default();
        let rows = values.chunks_exact(vocab.max(1)).zip(wanted).zip(generators);
        let choose = |((row, &wanted), rng): ((&[f32], &bool), &mut ChaCha8Rng)| match wanted {
            true => self.of_row(row, (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64),
            false => 0,
        };
        rows.map(choose).collect()
    }

    /// The id at which the running sum of probabilities, the likeliest first, passes `uniform` of [0, 1).
    fn of_row(&self, logits: &[f32], uniform: f64) -> u32 {
        let peak = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = |x: f32| (f64::from(x - peak) / self.temperature).exp();
        let mut ranked: Vec<(u32, f64)> = logits.iter().enumerate().map(|(id, &x)| (id as u32, weight(x))).collect();
        // Equal ones keep the order of their ids, so that the choice is the same everywhere.
        ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        ranked.truncate(self.top_k.unwrap_or(usize::MAX).max(1));
        let total: f64 = ranked.iter().map(|(_, weight)| weight).sum();
        let (mut mass, mut kept) = (0.0, 0);
        while kept < ranked.len() && (kept == 0 || mass < self.top_p * total) {
            mass += ranked[kept].1;
            kept += 1;
        }
        ranked.truncate(kept);
        let mut rest = uniform * mass;
        let passed = ranked.iter().find(|(_, weight)| {
            rest -= weight;
            rest < 0.0
        });
        passed.or(ranked.last()).map_or(0, |(id, _)| *id)
    }
}

/// The likeliest id of every sequence. `[B, V]`
pub fn likeliest(logits: &Tensor<2>) -> Vec<u32> {
    let ids = logits.clone().argmax(1).into_data().convert::<i64>().try_to_vec::<i64>().unwrap_or_default();
    ids.into_iter().map(|id| id as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 4] = [1.0, 3.0, 2.0, 3.0];

    fn seen(choice: TokenChoice) -> Vec<u32> {
        let mut found: Vec<u32> = (0..1000).map(|k| choice.of_row(&LOGITS, f64::from(k) / 1000.0)).collect();
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn what_lies_beyond_top_k_and_top_p_is_never_chosen() {
        let all = TokenChoice { temperature: 1.0, top_k: None, top_p: 1.0 };
        assert_eq!(seen(all), [0, 1, 2, 3]);
        assert_eq!(seen(TokenChoice { top_k: Some(1), ..all }), [1]);
        assert_eq!(seen(TokenChoice { top_k: Some(3), ..all }), [1, 2, 3]);
        // The two likeliest have 0.799 together.
        assert_eq!(seen(TokenChoice { top_p: 0.79, ..all }), [1, 3]);
        assert_eq!(seen(TokenChoice { top_p: 0.81, ..all }), [1, 2, 3]);
        assert_eq!(seen(TokenChoice { top_p: 1e-9, ..all }), [1]);
        // Of the three likeliest, two have 0.84 of what is left; a high temperature makes them all alike.
        assert_eq!(seen(TokenChoice { top_k: Some(3), top_p: 0.83, ..all }), [1, 3]);
        assert_eq!(seen(TokenChoice { top_k: Some(3), top_p: 0.83, temperature: 9.0 }), [1, 2, 3]);
    }

    #[test]
    fn ids_come_as_often_as_their_probability_says() {
        let choice = TokenChoice { temperature: 2.0, top_k: None, top_p: 1.0 };
        let count = 20_000;
        let chosen = (0..count).map(|k| choice.of_row(&LOGITS, f64::from(k) / f64::from(count)));
        let mut counts = [0u32; 4];
        chosen.for_each(|id| counts[id as usize] += 1);
        let total: f64 = LOGITS.iter().map(|&x| (f64::from(x) / 2.0).exp()).sum();
        for (count, logit) in counts.iter().zip(LOGITS) {
            let probability = (f64::from(logit) / 2.0).exp() / total;
            assert!((f64::from(*count) / 20_000.0 - probability).abs() < 1e-3);
        }
    }
}
