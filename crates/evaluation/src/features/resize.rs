//! Images brought to a network's size in the three ways that published numbers use. They differ enough to change an FID by
//! whole points (Parmar et al., 2104.11222).
//!
//! All three are a weighted sum along each axis; they differ in where the samples lie and how far a sample reaches.

use ndarray::{Array2, Array3, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::error::EvaluationError;

/// How images are resized.
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
    /// An image `[channels, height, width]` of 8-bit values as floats from 0 to 255 of another size.
    ///
    /// # Errors
    /// When the image has no pixels.
    pub fn apply(self, image: &Array3<u8>, [height, width]: [usize; 2]) -> Result<Array3<f32>, EvaluationError> {
        let (channels, old_height, old_width) = image.dim();
        if channels * old_height * old_width == 0 {
            return Err(EvaluationError::TooFew { what: "pixels of an image", least: 1, found: 0 });
        }
        let (rows, columns) = (self.taps(old_height, height), self.taps(old_width, width));
        let mut out = Array3::zeros((channels, height, width));
        for (plane, mut out) in image.axis_iter(Axis(0)).zip(out.axis_iter_mut(Axis(0))) {
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
    let fraction = at - first as f64;
    let weights = if first + 1 < from { vec![1.0 - fraction, fraction] } else { vec![1.0] };
    Taps { first, weights }
}

/// Pillow's `precompute_coeffs`: a cubic of a = −½ that reaches two inputs, or two outputs where the image shrinks.
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

/// The centre `[side, side]` of Pillow's `resize(size, BICUBIC)` of 8-bit images `[channels, height, width]`, to the very
/// level: weights in fixed point, columns first, rounded in between.
///
/// Only what is kept is computed, so that a long strip costs no more than its pixels.
///
/// # Errors
/// When the image has no pixels, or `size` is smaller than the centre.
pub fn pillow_bicubic_centre(image: &Array3<u8>, size: [usize; 2], side: usize) -> Result<Array3<u8>, EvaluationError> {
    let (channels, old_height, old_width) = image.dim();
    if channels * old_height * old_width == 0 {
        return Err(EvaluationError::TooFew { what: "pixels of an image", least: 1, found: 0 });
    }
    if side == 0 || size.iter().any(|&length| length < side) {
        return Err(EvaluationError::mismatch("an image and its centre", size, [side, side]));
    }
    let [rows, columns] = [(old_height, size[0]), (old_width, size[1])].map(|(from, to)| fixed_taps(from, to, side));
    let mut out = Array3::zeros((channels, side, side));
    for (plane, mut out) in image.axis_iter(Axis(0)).zip(out.axis_iter_mut(Axis(0))) {
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

/// Those of the `kept` outputs in the middle of `to`; what does not halve lies behind them.
fn fixed_taps(from: usize, to: usize, kept: usize) -> Vec<FixedTaps> {
    let scale = from as f64 / to as f64;
    let first = (to - kept) / 2;
    let fixed = |weight: f64| (weight * f64::from(1u32 << PRECISION)).round() as i64;
    let taps = (first..first + kept).map(|place| cubic_taps((place as f64 + 0.5) * scale, scale, from));
    taps.map(|Taps { first, weights }| FixedTaps { first, weights: weights.into_iter().map(fixed).collect() }).collect()
}

fn along_fixed(x: ArrayView2<'_, u8>, taps: &[FixedTaps]) -> Array2<u8> {
    let mut out = Array2::zeros((x.nrows(), taps.len()));
    for (line, mut out) in x.rows().into_iter().zip(out.rows_mut()) {
        // A line of a transposed image lies scattered.
        let line = line.to_vec();
        for (FixedTaps { first, weights }, out) in taps.iter().zip(&mut out) {
            let products = weights.iter().zip(&line[*first..]).map(|(weight, &level)| weight * i64::from(level));
            let sum = (1i64 << (PRECISION - 1)) + products.sum::<i64>();
            *out = (sum >> PRECISION).clamp(0, 255) as u8;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use interfuse_parameters::read_tensors;

    use super::*;

    /// The image of `resize_fixture/generate.py`.
    fn image(height: usize, width: usize) -> Array3<u8> {
        Array3::from_shape_fn((3, height, width), |(c, y, x)| ((c * 40 + y * 7 + x * 5 + (x * y) % 23) % 256) as u8)
    }

    #[test]
    fn all_modes_are_those_of_the_reference_implementations() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/features/resize_fixture/expected.safetensors");
        let expected = read_tensors(std::path::Path::new(path)).unwrap();
        let modes = [("pytorch", Resize::Pytorch), ("clean", Resize::Clean), ("tensorflow1", Resize::Tensorflow1)];
        for (name, mode) in modes {
            for (index, [height, width]) in [[37, 53], [11, 9], [23, 31]].into_iter().enumerate() {
                let found = mode.apply(&image(height, width), [23, 31]).unwrap();
                let expected = &expected[&format!("{name}.{index}")].values;
                let gap = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                // Of 255.
                assert!(gap < 1e-3, "{name} from {height} × {width}: {gap}");
            }
        }
        assert!(Resize::Clean.apply(&Array3::zeros((3, 0, 4)), [2, 2]).is_err());
    }

    #[test]
    fn a_long_strip_costs_no_more_than_its_centre() {
        // Whole, the resized strip would have 45 million columns.
        let strip = Array3::from_elem((3, 1, 200_000), 9);
        let centre = pillow_bicubic_centre(&strip, [224, 224 * 200_000], 224).unwrap();
        assert!(centre.dim() == (3, 224, 224) && centre.iter().all(|&level| level == 9));
        assert!(pillow_bicubic_centre(&strip, [223, 224], 224).is_err());
        assert!(pillow_bicubic_centre(&Array3::zeros((3, 4, 0)), [224, 224], 224).is_err());
    }
}
