//! Weights by a formula, which stand for published files that are not ours to keep; `generate.py` of every fixture has it again.

use interfuse_parameters::{HostTensor, HostTensors};
use ndarray::{Array2, Array3};

/// Numbers in [-1, 1) that depend on their place and the salt alone.
fn formula(count: usize, salt: u64) -> impl Iterator<Item = f64> {
    (0..count as u64).map(move |index| {
        let x = (index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(salt.wrapping_mul(0xD1B5_4A32_D192_ED03));
        let x = (x ^ (x >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = x ^ (x >> 29);
        (x >> 40) as f64 / (1u64 << 24) as f64 * 2.0 - 1.0
    })
}

/// Every tensor of a layout, a JSON list of names and shapes.
pub(crate) fn formula_weights(layout: &str) -> HostTensors {
    let names: Vec<(String, Vec<usize>)> = serde_json::from_str(layout).expect("a layout");
    let tensors = names.into_iter().enumerate().map(|(salt, (name, shape))| {
        let fan_in: usize = shape.iter().skip(1).product();
        let numbers = formula(shape.iter().product(), salt as u64);
        let values: Vec<f32> = match name.rsplit('.').next() {
            _ if shape.len() > 1 => numbers.map(|x| (x * (6.0 / fan_in as f64).sqrt()) as f32).collect(),
            Some("running_var") => numbers.map(|x| (1.0 + 0.3 * x) as f32).collect(),
            Some("weight") => numbers.map(|x| (1.0 + 0.2 * x) as f32).collect(),
            _ => numbers.map(|x| (0.1 * x) as f32).collect(),
        };
        (name, HostTensor { shape, values })
    });
    tensors.collect()
}

/// An image without pattern.
pub(crate) fn formula_image([height, width]: [usize; 2]) -> Array3<u8> {
    Array3::from_shape_fn((3, height, width), |(c, y, x)| ((c * 40 + y * 7 + x * 5 + (x * y) % 23) % 256) as u8)
}

/// The largest difference, as a fraction of the largest value.
pub(crate) fn relative_gap(found: &Array2<f32>, expected: &HostTensor) -> f32 {
    assert_eq!(found.len(), expected.values.len());
    let largest = expected.values.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    found.iter().zip(&expected.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}
