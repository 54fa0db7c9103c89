//! Pictures brought to a network's size in the three ways that published numbers use. They differ enough to change an FID by
//! whole points (Parmar et al., 2104.11222).
//!
//! All three are a weighted sum along each axis; they differ in where the samples lie and how far a sample reaches.

use ndarray::{Array2, Array3, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::error::EvaluationError;

/// How pictures are resized.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resize {
    /// pytorch-fid: bilinear, half-pixel centres, no antialiasing (`F.interpolate(…, align_corners=False)`).
    #[default]
    Pytorch,
    /// clean-fid: Pillow's bicubic with antialiasing on floats, clipped to 0..=255.
    Clean,
    /// torch-fidelity: bilinear as in TensorFlow 1, corners at 0, no antialiasing.
    Tensorflow1,
}

/// The inputs that one output is made of.
struct Taps {
    first: usize,
    weights: Vec<f64>,
}

impl Resize {
    /// A picture `[channels, height, width]` of 8-bit values as floats from 0 to 255 of another size.
    ///
    /// # Errors
    /// When the picture has no pixels.
    pub fn apply(self, picture: &Array3<u8>, [height, width]: [usize; 2]) -> Result<Array3<f32>, EvaluationError> {
        let (channels, old_height, old_width) = picture.dim();
        if channels * old_height * old_width == 0 {
            return Err(EvaluationError::TooFew { what: "pixels of a picture", least: 1, found: 0 });
        }
        let (rows, columns) = (self.taps(old_height, height), self.taps(old_width, width));
        let mut out = Array3::zeros((channels, height, width));
        for (plane, mut out) in picture.axis_iter(Axis(0)).zip(out.axis_iter_mut(Axis(0))) {
            let plane = plane.mapv(f64::from);
            // Columns first and then rows, as Pillow does.
            let narrow = along_columns(plane.view(), &columns);
            let resized = along_columns(narrow.t(), &rows);
            out.assign(&resized.t().mapv(|value| self.finished(value)));
        }
        Ok(out)
    }

    fn finished(self, value: f64) -> f32 {
        match self {
            Self::Clean => value.clamp(0.0, 255.0) as f32,
            Self::Pytorch | Self::Tensorflow1 => value as f32,
        }
    }

    fn taps(self, from: usize, to: usize) -> Vec<Taps> {
        let scale = from as f64 / to as f64;
        (0..to)
            .map(|place| match self {
                Self::Pytorch => linear_taps(((place as f64 + 0.5) * scale - 0.5).max(0.0), from),
                Self::Tensorflow1 => linear_taps(place as f64 * scale, from),
                Self::Clean => cubic_taps((place as f64 + 0.5) * scale, scale, from),
            })
            .collect()
    }
}

fn linear_taps(at: f64, from: usize) -> Taps {
    let first = (at as usize).min(from - 1);
    let share = at - first as f64;
    let weights = if first + 1 < from { vec![1.0 - share, share] } else { vec![1.0] };
    Taps { first, weights }
}

/// Pillow's `precompute_coeffs`: a cubic of a = −½ that reaches two inputs, or two outputs where the picture shrinks.
fn cubic_taps(centre: f64, scale: f64, from: usize) -> Taps {
    let reach = scale.max(1.0);
    let support = 2.0 * reach;
    let first = (centre - support + 0.5).max(0.0) as usize;
    let last = ((centre + support + 0.5) as usize).min(from);
    let weights: Vec<f64> = (first..last).map(|x| cubic((x as f64 - centre + 0.5) / reach)).collect();
    let sum: f64 = weights.iter().sum();
    Taps { first, weights: weights.into_iter().map(|weight| weight / sum).collect() }
}

fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn along_columns(x: ArrayView2<'_, f64>, taps: &[Taps]) -> Array2<f64> {
    Array2::from_shape_fn((x.nrows(), taps.len()), |(row, column)| {
        let Taps { first, weights } = &taps[column];
        weights.iter().enumerate().map(|(offset, weight)| weight * x[[row, first + offset]]).sum()
    })
}

/// Digits behind the point of Pillow's fixed-point weights.
const PRECISION: u32 = 32 - 8 - 2;

/// Pillow's `resize(…, BICUBIC)` of 8-bit pictures `[channels, height, width]`, to the very level: weights in fixed point,
/// columns first, rounded in between.
///
/// # Errors
/// When either picture has no pixels.
pub fn pillow_bicubic(picture: &Array3<u8>, [height, width]: [usize; 2]) -> Result<Array3<u8>, EvaluationError> {
    let (channels, old_height, old_width) = picture.dim();
    if channels * old_height * old_width * height * width == 0 {
        return Err(EvaluationError::TooFew { what: "pixels of a picture", least: 1, found: 0 });
    }
    let (rows, columns) = (fixed_taps(old_height, height), fixed_taps(old_width, width));
    let mut out = Array3::zeros((channels, height, width));
    for (plane, mut out) in picture.axis_iter(Axis(0)).zip(out.axis_iter_mut(Axis(0))) {
        let narrow = along_fixed(plane, &columns);
        out.assign(&along_fixed(narrow.t(), &rows).t());
    }
    Ok(out)
}

/// The inputs that one output is made of, in fixed point.
struct FixedTaps {
    first: usize,
    weights: Vec<i64>,
}

fn fixed_taps(from: usize, to: usize) -> Vec<FixedTaps> {
    let fixed = |Taps { first, weights }: Taps| FixedTaps {
        first,
        weights: weights.into_iter().map(|weight| (weight * f64::from(1u32 << PRECISION)).round() as i64).collect(),
    };
    Resize::Clean.taps(from, to).into_iter().map(fixed).collect()
}

fn along_fixed(x: ArrayView2<'_, u8>, taps: &[FixedTaps]) -> Array2<u8> {
    Array2::from_shape_fn((x.nrows(), taps.len()), |(row, column)| {
        let FixedTaps { first, weights } = &taps[column];
        let products = weights.iter().enumerate().map(|(offset, weight)| weight * i64::from(x[[row, first + offset]]));
        let sum = (1i64 << (PRECISION - 1)) + products.sum::<i64>();
        (sum >> PRECISION).clamp(0, 255) as u8
    })
}

#[cfg(test)]
mod tests {
    use interfuse_parameters::read_tensors;

    use super::*;

    /// The picture of `resize_fixture/generate.py`.
    fn picture(height: usize, width: usize) -> Array3<u8> {
        Array3::from_shape_fn((3, height, width), |(c, y, x)| ((c * 40 + y * 7 + x * 5 + (x * y) % 23) % 256) as u8)
    }

    #[test]
    fn all_modes_are_those_of_the_reference_implementations() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/features/resize_fixture/expected.safetensors");
        let expected = read_tensors(std::path::Path::new(path)).unwrap();
        let modes = [("pytorch", Resize::Pytorch), ("clean", Resize::Clean), ("tensorflow1", Resize::Tensorflow1)];
        for (name, mode) in modes {
            for (index, [height, width]) in [[37, 53], [11, 9], [23, 31]].into_iter().enumerate() {
                let found = mode.apply(&picture(height, width), [23, 31]).unwrap();
                let expected = &expected[&format!("{name}.{index}")].values;
                let gap = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                // Of 255.
                assert!(gap < 1e-3, "{name} from {height} × {width}: {gap}");
            }
        }
        assert!(Resize::Clean.apply(&Array3::zeros((3, 0, 4)), [2, 2]).is_err());
    }
}
