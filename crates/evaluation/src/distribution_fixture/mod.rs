//! Features by a formula, and what the reference implementations make of them (`generate.py`).

use std::collections::BTreeMap;

use ndarray::Array2;

/// The features of `generate.py`.
pub(crate) fn features(count: usize, dim: usize, salt: usize, scale: f64) -> Array2<f32> {
    Array2::from_shape_fn((count, dim), |(row, column)| {
        let x = ((row * 7919 + column * 104_729 + salt * 1_299_709 + row * column * 31) % 10_007) as f64 / 10_007.0;
        ((x * 2.0 - 1.0) * scale + 0.1 * salt as f64) as f32
    })
}

/// What they come to, by name.
pub(crate) fn expected() -> BTreeMap<String, f64> {
    serde_json::from_str(include_str!("expected.json")).expect("the fixture is JSON")
}
