//! Dropout (Srivastava et al., 2014): in training, each element is left out with a probability p, and what stays is scaled by
//! 1 / (1 − p), so that the expectation is what it was.
//!
//! ```text
//! y = mask · x        mask = 1 / (1 − p) or 0        ∂x = mask · ∂y
//! ```
//!
//! Which elements are left out is a function of a key and of an element's place alone, not of a generator that something else
//! could have drawn from: a resume, other ranks and other workers leave out the same. Masks are made on the host, on every
//! device.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use crate::cpu::array::CHUNK;

/// 2⁶⁴ over the golden ratio: the step of splitmix64 (Steele, Lea and Flood, 2014).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// How often elements are left out, and which.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    rate: f64,
    key: u64,
}

impl Dropout {
    /// Leaves out elements with probability `rate`, below 1, by a key such as (seed, step, micro-batch). `None` where nothing is
    /// left out.
    pub fn new(rate: f64, key: &[u64]) -> Option<Self> {
        let start = Self { rate, key: 0 };
        (rate > 0.0).then(|| key.iter().fold(start, |dropout, part| dropout.at(*part)))
    }

    /// At one of several places, such as a layer: other elements are left out than at another.
    pub fn at(self, place: u64) -> Self {
        // What is mixed twice depends on the order of the places too.
        Self { key: mixed(self.key ^ mixed(place.wrapping_add(STEP))), ..self }
    }

    /// What is left of `x`.
    pub fn apply<const R: usize>(self, x: Tensor<R>) -> Tensor<R> {
        let shape = x.shape();
        let mask = TensorData::new(self.mask(shape.num_elements()), shape);
        let mask = Tensor::<R>::from_data(mask, &x.device()).cast(x.dtype());
        x * mask
    }

    /// What so many elements are multiplied by.
    fn mask(self, count: usize) -> Vec<f32> {
        // Of 2³² numbers, those below it leave an element out.
        let below = (self.rate * 2f64.powi(32)) as u64;
        let kept = (1.0 / (1.0 - self.rate)) as f32;
        let mut mask = vec![0.0; count];
        mask.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, mask)| {
            let first = (chunk * CHUNK) as u64;
            for (place, factor) in (first..).zip(mask) {
                let number = mixed(self.key.wrapping_add(place.wrapping_add(1).wrapping_mul(STEP))) >> 32;
                *factor = if number < below { 0.0 } else { kept };
            }
        });
        mask
    }
}

/// The output function of splitmix64.
fn mixed(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    const COUNT: usize = 100_000;

    fn mask(rate: f64, key: &[u64]) -> Vec<f32> {
        Dropout::new(rate, key).unwrap().mask(COUNT)
    }

    #[test]
    fn the_rate_is_left_out_and_the_mean_stays() {
        for rate in [0.1, 0.5, 0.9] {
            let mask = mask(rate, &[1, 2, 3]);
            let kept = mask.iter().filter(|factor| **factor > 0.0).count() as f64 / COUNT as f64;
            // Six standard deviations of a fraction of so many.
            let most = 6.0 * (rate * (1.0 - rate) / COUNT as f64).sqrt();
            assert!((kept - (1.0 - rate)).abs() < most, "{rate}: {kept}");
            assert!(mask.iter().all(|factor| *factor == 0.0 || *factor == (1.0 / (1.0 - rate)) as f32));
            // Neighbours know nothing of each other.
            let both = mask.windows(2).filter(|pair| pair.iter().all(|factor| *factor > 0.0)).count() as f64;
            assert!((both / COUNT as f64 - (1.0 - rate).powi(2)).abs() < 2.0 * most, "{rate}: {both} pairs");
        }
        assert_eq!(Dropout::new(0.0, &[1]), None);
    }

    #[test]
    fn every_part_of_the_key_and_every_place_leaves_out_others() {
        let agree = |a: &[f32], b: &[f32]| a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / COUNT as f64;
        let first = mask(0.5, &[1, 2, 3]);
        assert_eq!(first, mask(0.5, &[1, 2, 3]));
        let place = Dropout::new(0.5, &[1, 2, 3]).unwrap().at(0).mask(COUNT);
        for other in [mask(0.5, &[2, 2, 3]), mask(0.5, &[1, 3, 3]), mask(0.5, &[1, 2, 4]), mask(0.5, &[2, 1, 3]), place]
        {
            assert!((agree(&first, &other) - 0.5).abs() < 0.01, "{}", agree(&first, &other));
        }
    }

    #[test]
    fn the_gradient_is_the_mask() {
        let device = Device::flex().autodiff();
        let dropout = Dropout::new(0.3, &[7]).unwrap();
        let x = Tensor::<2>::full([20, 50], 3.0, &device).require_grad();
        let y = dropout.apply(x.clone());
        let values = |x: Tensor<2>| x.into_data().try_to_vec::<f32>().unwrap();
        let gradient = x.grad(&y.clone().sum().backward()).unwrap();
        let mask = dropout.mask(1000);
        assert_eq!(values(gradient), mask);
        assert_eq!(values(y), mask.iter().map(|factor| factor * 3.0).collect::<Vec<f32>>());
    }
}
