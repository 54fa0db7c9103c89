//! How like two images are, pixel by pixel: what a reconstruction is measured by.
//!
//! Images are `[channels, height, width]` of 8-bit values.

use ndarray::{Array2, ArrayView2, ArrayView3, Axis};

use crate::error::EvaluationError;

/// The largest difference of two values.
const RANGE: f64 = 255.0;
/// Half the side of the window, `⌊3.5 σ + ½⌋`.
const RADIUS: usize = 5;
/// The window's standard deviation in pixels.
const SIGMA: f64 = 1.5;

/// Peak signal-to-noise ratio over all values, in dB; infinite for equal images.
///
/// # Errors
/// When the shapes differ.
pub fn psnr(a: ArrayView3<'_, u8>, b: ArrayView3<'_, u8>) -> Result<f64, EvaluationError> {
    same_shape(&a, &b)?;
    let squares: f64 = a.iter().zip(&b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    Ok(10.0 * (RANGE * RANGE * a.len() as f64 / squares).log10())
}

/// Structural similarity, from -1 to 1 (Wang et al., IEEE TIP 13(4), 2004): a Gaussian window of σ 1.5 and 11 × 11 pixels,
/// K₁ 0.01, K₂ 0.03, the mean over all windows that lie within the image and over channels. scikit-image's
/// `structural_similarity(…, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`.
///
/// # Errors
/// When the shapes differ, or a side is smaller than the window.
pub fn ssim(a: ArrayView3<'_, u8>, b: ArrayView3<'_, u8>) -> Result<f64, EvaluationError> {
    same_shape(&a, &b)?;
    let (_, height, width) = a.dim();
    if height.min(width) <= 2 * RADIUS {
        let least = 2 * RADIUS + 1;
        return Err(EvaluationError::TooFew { what: "pixels of a side", least, found: height.min(width) });
    }
    let channels = a.axis_iter(Axis(0)).zip(b.axis_iter(Axis(0)));
    let sum: f64 = channels.map(|(a, b)| ssim_of_channel(a, b)).sum();
    Ok(sum / a.len_of(Axis(0)).max(1) as f64)
}

fn ssim_of_channel(a: ArrayView2<'_, u8>, b: ArrayView2<'_, u8>) -> f64 {
    let (a, b) = (a.mapv(f64::from), b.mapv(f64::from));
    let [mean_a, mean_b] = [&a, &b].map(blurred);
    let [aa, bb, ab] = [&a * &a, &b * &b, &a * &b].map(|product| blurred(&product));
    let (c1, c2) = ((0.01 * RANGE).powi(2), (0.03 * RANGE).powi(2));
    let mut sum = 0.0;
    for (place, &ma) in mean_a.indexed_iter() {
        let mb = mean_b[place];
        let (variance_a, variance_b, covariance) = (aa[place] - ma * ma, bb[place] - mb * mb, ab[place] - ma * mb);
        sum += (2.0 * ma * mb + c1) * (2.0 * covariance + c2)
            / ((ma * ma + mb * mb + c1) * (variance_a + variance_b + c2));
    }
    sum / mean_a.len() as f64
}

/// The Gaussian mean of every window that lies within the image.
fn blurred(x: &Array2<f64>) -> Array2<f64> {
    let weights: Vec<f64> =
        (0..=2 * RADIUS).map(|i| (-0.5 * ((i as f64 - RADIUS as f64) / SIGMA).powi(2)).exp()).collect();
    let total: f64 = weights.iter().sum();
    let along_rows = along(x, &weights, total);
    along(&along_rows.reversed_axes(), &weights, total).reversed_axes()
}

/// The weighted mean of every run of columns.
fn along(x: &Array2<f64>, weights: &[f64], total: f64) -> Array2<f64> {
    let (rows, columns) = x.dim();
    Array2::from_shape_fn((rows, columns + 1 - weights.len()), |(row, column)| {
        weights.iter().enumerate().map(|(offset, weight)| weight * x[[row, column + offset]]).sum::<f64>() / total
    })
}

fn same_shape(a: &ArrayView3<'_, u8>, b: &ArrayView3<'_, u8>) -> Result<(), EvaluationError> {
    match a.dim() == b.dim() {
        true => Ok(()),
        false => Err(EvaluationError::mismatch("two images that are compared", a.dim(), b.dim())),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    /// The images of `similarity_fixture/generate.py`.
    fn images(channels: usize, height: usize, width: usize) -> [Array3<u8>; 2] {
        let value = |c: usize, y: usize, x: usize| (c * 40 + y * 7 + x * 5 + (x * y) % 23) % 256;
        let a = Array3::from_shape_fn((channels, height, width), |(c, y, x)| value(c, y, x) as u8);
        let b = Array3::from_shape_fn((channels, height, width), |(c, y, x)| {
            (value(c, y, x) + (3 * x + 5 * y + c) % 17).min(255) as u8
        });
        [a, b]
    }

    #[test]
    fn the_numbers_are_those_of_scikit_image() {
        let expected: Vec<[f64; 2]> = serde_json::from_str(include_str!("similarity_fixture/expected.json")).unwrap();
        for ([channels, height, width], [peak, structure]) in [[3, 24, 31], [1, 11, 40]].into_iter().zip(expected) {
            let [a, b] = images(channels, height, width);
            let (found_peak, found) = (psnr(a.view(), b.view()).unwrap(), ssim(a.view(), b.view()).unwrap());
            assert!((found_peak - peak).abs() < 1e-9, "{found_peak} {peak}");
            assert!((found - structure).abs() < 1e-9, "{found} {structure}");
        }
    }

    #[test]
    fn equal_images_are_as_like_as_can_be_and_others_are_refused() {
        let [a, _] = images(3, 16, 16);
        assert_eq!(psnr(a.view(), a.view()).unwrap(), f64::INFINITY);
        assert!((ssim(a.view(), a.view()).unwrap() - 1.0).abs() < 1e-12);
        let [other, _] = images(3, 16, 17);
        assert!(psnr(a.view(), other.view()).is_err() && ssim(a.view(), other.view()).is_err());
        let [small, _] = images(3, 10, 16);
        assert!(ssim(small.view(), small.view()).unwrap_err().to_string().contains("at least 11"));
    }
}
