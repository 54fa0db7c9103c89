//! The codebook (van den Oord et al., 1711.00937): every vector becomes its nearest code.
//!
//! Dimensions: `K` codes, `D` numbers of a code, `N` vectors.
//!
//! ```text
//! id      = argmin_k |z − e_k|²
//! loss    = |sg(z) − e_id|² + β |z − sg(e_id)|²          (equation 3, the mean over all numbers; β is the commitment)
//! decoded = z + sg(e_id − z)                             (straight through: the gradient of e_id goes to z)
//! ```

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData};
use interfuse_kernels::WeightInit;
use interfuse_parameters::replaced;

/// The codebook. Field names are diffusers' (`quantize.embedding.weight`).
#[derive(Module, Debug)]
pub struct Quantizer {
    embedding: Codebook,
}

#[derive(Module, Debug)]
struct Codebook {
    /// `[K, D]`
    weight: Param<Tensor<2>>,
}

/// Vectors after quantization.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The nearest codes, with the gradient of the vectors. `[B, D, h, w]`
    pub vectors: Tensor<4>,
    /// `[B, h, w]`
    pub ids: Tensor<3, Int>,
    /// `|sg(z) − e|²`: what moves the codes. `[1]`
    pub codebook_loss: Tensor<1>,
    /// `|z − sg(e)|²`: what keeps the encoder near its codes. `[1]`
    pub commitment_loss: Tensor<1>,
}

/// `codes` with `vectors` in the places of some of them.
///
/// # Shapes
/// - `codes`: `[K, D]`; `places`: ids below K; `vectors`: as many rows of D numbers
pub fn put(codes: Tensor<2>, places: &[usize], vectors: &[f32]) -> Tensor<2> {
    let ([count, dim], device) = (codes.dims(), codes.device());
    let mut values = codes.into_data().convert::<f32>().try_to_vec::<f32>().unwrap_or_default();
    for (&place, vector) in places.iter().zip(vectors.chunks_exact(dim)) {
        values[place * dim..][..dim].copy_from_slice(vector);
    }
    Tensor::from_data(TensorData::new(values, [count, dim]), &device)
}

impl Quantizer {
    /// The name of the codes among the weights of an autoencoder.
    pub const CODES: &str = "quantize.embedding.weight";

    /// Codes with normal numbers of deviation `1 / √D`, about as long as the vectors of a fresh encoder.
    pub fn new(codes: usize, dim: usize, init: &mut WeightInit) -> Self {
        Self { embedding: Codebook { weight: init.normal([codes, dim], 1.0 / (dim as f64).sqrt()) } }
    }

    /// Number of codes.
    pub fn codes(&self) -> usize {
        self.embedding.weight.dims()[0]
    }

    /// # Shapes
    /// - `z`: `[B, D, h, w]`
    pub fn forward(&self, z: Tensor<4>) -> Quantized {
        let ids = self.ids(z.clone());
        let codes = self.look_up(ids.clone());
        let codebook_loss = (codes.clone() - z.clone().detach()).square().mean();
        let commitment_loss = (z.clone() - codes.clone().detach()).square().mean();
        let vectors = z.clone() + (codes - z).detach();
        Quantized { vectors, ids, codebook_loss, commitment_loss }
    }

    /// The nearest code of every vector.
    ///
    /// # Shapes
    /// - `z`: `[B, D, h, w]`; returns `[B, h, w]`
    pub fn ids(&self, z: Tensor<4>) -> Tensor<3, Int> {
        let [batch, dim, height, width] = z.dims();
        let vectors = z.detach().permute([0, 2, 3, 1]).reshape([batch * height * width, dim]);
        let codes = self.embedding.weight.val().detach();
        // |z|² is the same for all codes of a vector and left out.
        let lengths = codes.clone().square().sum_dim(1).swap_dims(0, 1);
        let distances = lengths - vectors.matmul(codes.swap_dims(0, 1)).mul_scalar(2.0);
        distances.argmin(1).reshape([batch, height, width])
    }

    /// # Shapes
    /// - `ids`: `[B, h, w]`; returns `[B, D, h, w]`
    pub fn look_up(&self, ids: Tensor<3, Int>) -> Tensor<4> {
        let [batch, height, width] = ids.dims();
        let codes = self.embedding.weight.val();
        let [_, dim] = codes.dims();
        let rows = codes.select(0, ids.reshape([batch * height * width]));
        rows.reshape([batch, height, width, dim]).permute([0, 3, 1, 2])
    }

    /// Puts vectors in the places of codes that nobody uses.
    ///
    /// # Shapes
    /// - `places`: ids of codes; `vectors`: as many rows of `D` numbers
    pub fn revive(self, places: &[usize], vectors: &[f32]) -> Self {
        let weight = replaced(self.embedding.weight, |codes| put(codes, places, vectors));
        Self { embedding: Codebook { weight } }
    }
}

/// How often every code was used lately.
#[derive(Clone, Debug, PartialEq)]
pub struct CodeUsage {
    counts: Vec<f64>,
    decay: f64,
}

impl CodeUsage {
    /// Of `codes` codes, none used yet; counts of a step ago weigh `decay`.
    pub fn new(codes: usize, decay: f64) -> Self {
        Self { counts: vec![0.0; codes], decay }
    }

    /// Takes in the ids of a step.
    pub fn add(&mut self, ids: &[u32]) {
        self.counts.iter_mut().for_each(|count| *count *= self.decay);
        for &id in ids {
            if let Some(count) = self.counts.get_mut(id as usize) {
                *count += 1.0 - self.decay;
            }
        }
    }

    /// The fraction of codes that are used at least `least` times a step.
    pub fn fraction(&self, least: f64) -> f64 {
        let used = self.counts.iter().filter(|&&count| count >= least).count();
        used as f64 / self.counts.len().max(1) as f64
    }

    /// `exp` of the entropy: as many codes used equally often would say as much.
    pub fn perplexity(&self) -> f64 {
        let total: f64 = self.counts.iter().sum();
        let entropy: f64 = self
            .counts
            .iter()
            .filter(|&&count| count > 0.0)
            .map(|&count| -(count / total) * (count / total).ln())
            .sum();
        entropy.exp()
    }

    /// Codes that are used less than `least` times a step.
    pub fn dead(&self, least: f64) -> Vec<usize> {
        (0..self.counts.len()).filter(|&code| self.counts[code] < least).collect()
    }

    /// Counts a revived code as used, so that it is not revived again at once.
    pub fn give_time(&mut self, codes: &[usize], count: f64) {
        codes.iter().for_each(|&code| self.counts[code] = count);
    }

    /// The counts, for a checkpoint.
    pub fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// Restores the counts of a checkpoint.
    pub fn restore(&mut self, counts: Vec<f64>) {
        self.counts = counts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn quantizer(device: &Device) -> Quantizer {
        let quantizer = Quantizer::new(3, 2, &mut WeightInit::new(0, device));
        quantizer.revive(&[0, 1, 2], &[0.0, 0.0, 1.0, 1.0, -1.0, 2.0])
    }

    #[test]
    fn vectors_become_their_nearest_code_and_the_gradient_goes_straight_through() {
        let device = Device::flex().autodiff();
        let quantizer = quantizer(&device);
        let z = Tensor::<4>::from_floats([[[[0.1, 0.8]], [[0.2, 1.3]]]], &device).require_grad();
        let quantized = quantizer.forward(z.clone());
        assert_eq!(quantized.ids.into_data().iter::<i64>().collect::<Vec<_>>(), [0, 1]);
        let values = quantized.vectors.clone().into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(values, [0.0, 1.0, 0.0, 1.0]);
        let grads = quantized.vectors.mul_scalar(3.0).sum().backward();
        let gradient = z.grad(&grads).unwrap().into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(gradient, [3.0; 4]);
    }

    #[test]
    fn the_codebook_loss_moves_codes_alone_and_the_commitment_vectors_alone() {
        let device = Device::flex().autodiff();
        let quantizer = quantizer(&device);
        let z = Tensor::<4>::from_floats([[[[0.2]], [[0.4]]]], &device).require_grad();
        let quantized = quantizer.forward(z.clone());
        let grads = quantized.codebook_loss.backward();
        assert!(z.grad(&grads).is_none_or(|gradient| gradient.abs().sum().into_scalar::<f32>() == 0.0));
        let codes = quantizer.embedding.weight.val().grad(&grads).unwrap();
        let codes = codes.into_data().try_to_vec::<f32>().unwrap();
        assert!((codes[0] + 0.2).abs() < 1e-6 && (codes[1] + 0.4).abs() < 1e-6 && codes[2..] == [0.0; 4], "{codes:?}");
        let grads = quantized.commitment_loss.backward();
        let gradient = z.grad(&grads).unwrap().into_data().try_to_vec::<f32>().unwrap();
        assert!((gradient[0] - 0.2).abs() < 1e-6 && (gradient[1] - 0.4).abs() < 1e-6, "{gradient:?}");
    }

    #[test]
    fn usage_counts_what_is_used_and_finds_what_is_dead() {
        let mut usage = CodeUsage::new(4, 0.5);
        usage.add(&[0, 0, 1, 1]);
        assert_eq!(usage.fraction(0.1), 0.5);
        assert!((usage.perplexity() - 2.0).abs() < 1e-9);
        assert_eq!(usage.dead(0.1), [2, 3]);
        usage.give_time(&[2], 1.0);
        assert_eq!(usage.dead(0.1), [3]);
    }
}
