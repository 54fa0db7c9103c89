//! The one resizer of the project.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use ndarray::{Array3, ArrayView3, Axis, s};

use super::framing::Fit;
use crate::error::DataError;

/// Resizes to a size, antialiased Catmull-Rom, after `fit` where the proportions are others; what is cropped is cropped at the
/// centre.
///
/// # Shapes
///
/// - pixels: `[channels, old height, old width]`
/// - returns `[channels, height, width]`
///
/// # Errors
///
/// When either size has no pixels.
pub(crate) fn resize(pixels: ArrayView3<u8>, [height, width]: [usize; 2], fit: Fit) -> Result<Array3<u8>, DataError> {
    let (channels, old_height, old_width) = pixels.dim();
    if fit == Fit::Pad && height * width > 0 {
        return pad(pixels, [height, width]);
    }
    let refused = |found: String| {
        let expected = format!("a size that {old_height} × {old_width} pixels can be resized to");
        DataError::malformed("image", expected, format!("{height} × {width}: {found}"))
    };
    if height * width == 0 {
        return Err(refused("no pixels".into()));
    }
    let pixels = pixels.as_standard_layout();
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    let crops = matches!(fit, Fit::Crop | Fit::RandomCrop);
    let options = if crops { options.fit_into_destination(Some((0.5, 0.5))) } else { options };
    let mut resizer = Resizer::new();
    let mut resized = Array3::zeros((channels, height, width));
    for (from, mut to) in pixels.axis_iter(Axis(0)).zip(resized.axis_iter_mut(Axis(0))) {
        // A plane of an array in standard layout is one slice.
        let (Some(from), Some(to)) = (from.as_slice(), to.as_slice_mut()) else {
            return Err(refused("planes that are not contiguous".into()));
        };
        // The typed call compiles one pixel type; the untyped one compiles all thirteen, for minutes.
        let from = TypedImageRef::<U8>::from_buffer(old_width as u32, old_height as u32, from)
            .map_err(|error| refused(error.to_string()))?;
        let mut to = TypedImage::<U8>::from_buffer(width as u32, height as u32, to)
            .map_err(|error| refused(error.to_string()))?;
        resizer.resize_typed(&from, &mut to, &options).map_err(|error| refused(error.to_string()))?;
    }
    Ok(resized)
}

/// The whole image, as large as it fits, in the middle of white.
fn pad(pixels: ArrayView3<u8>, [height, width]: [usize; 2]) -> Result<Array3<u8>, DataError> {
    let (_, old_height, old_width) = pixels.dim();
    // The side that fills its place decides the other one, of which at least one pixel is left.
    let inner = match old_height * width > old_width * height {
        true => [height, ((old_width * height) as f64 / old_height as f64).round().max(1.0) as usize],
        false => [((old_height * width) as f64 / old_width.max(1) as f64).round().max(1.0) as usize, width],
    };
    let inner = resize(pixels, [inner[0].min(height), inner[1].min(width)], Fit::Stretch)?;
    Ok(padded(inner.view(), [height, width]))
}

/// The image as it is in the middle of white; it must not be larger.
///
/// # Shapes
///
/// - pixels: `[channels, at most height, at most width]`
/// - returns `[channels, height, width]`
pub(crate) fn padded(pixels: ArrayView3<u8>, [height, width]: [usize; 2]) -> Array3<u8> {
    let (channels, inner_height, inner_width) = pixels.dim();
    let (top, left) = ((height - inner_height) / 2, (width - inner_width) / 2);
    let mut padded = Array3::from_elem((channels, height, width), u8::MAX);
    padded.slice_mut(s![.., top..top + inner_height, left..left + inner_width]).assign(&pixels);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_side_is_cropped_at_its_centre() {
        // The first channel is lit on the left third, the second in the middle, the third on the right.
        let wide =
            Array3::from_shape_fn((3, 32, 96), |(channel, _, column)| if column / 32 == channel { 255 } else { 0 });
        let centre = resize(wide.view(), [8, 8], Fit::Crop).unwrap();
        assert!(centre.slice(s![1, .., 1..7]).iter().all(|&byte| byte == 255));
        assert!(centre.slice(s![0, .., 1..7]).iter().all(|&byte| byte == 0));
        assert!(resize(wide.view(), [0, 8], Fit::Crop).is_err());
    }

    #[test]
    fn padding_keeps_the_whole_image_in_the_middle_of_white() {
        let shown = |height, width, size: [usize; 2]| {
            let dark = Array3::<u8>::from_elem((3, height, width), 20);
            let padded = resize(dark.view(), size, Fit::Pad).unwrap();
            assert_eq!(padded.dim(), (3, size[0], size[1]));
            [1, 2].map(|axis| {
                let is_dark = |&at: &usize| padded.index_axis(Axis(axis), at).iter().any(|&level| level < 100);
                let lit: Vec<usize> = (0..size[axis - 1]).filter(is_dark).collect();
                [lit[0], lit[lit.len() - 1]]
            })
        };
        assert_eq!(shown(32, 96, [12, 12]), [[4, 7], [0, 11]]);
        assert_eq!(shown(96, 32, [12, 12]), [[0, 11], [4, 7]]);
        assert_eq!(shown(10, 10, [8, 8]), [[0, 7], [0, 7]]);
        assert_eq!(shown(1, 4000, [9, 9]), [[4, 4], [0, 8]]);
        assert!(resize(Array3::zeros((1, 4, 4)).view(), [0, 3], Fit::Pad).is_err());
    }

    #[test]
    fn stretching_keeps_both_ends_and_cropping_loses_them() {
        let wide = Array3::from_shape_fn((1, 8, 64), |(_, _, column)| column as u8 * 4);
        let ends = |fit| {
            let square = resize(wide.view(), [8, 8], fit).unwrap();
            [square[[0, 4, 0]], square[[0, 4, 7]]]
        };
        let ([first, last], [from, to]) = (ends(Fit::Stretch), ends(Fit::Crop));
        assert!(first < 32 && last > 220, "{first} {last}");
        assert!(from > 96 && to < 160, "{from} {to}");
    }

    #[test]
    fn neither_layout_nor_direction_of_the_change_matters() {
        let tall = Array3::from_shape_fn((1, 20, 10), |(_, row, _)| row as u8 * 10);
        assert_eq!(resize(tall.view(), [40, 24], Fit::Crop).unwrap().dim(), (1, 40, 24));
        let lying = resize(tall.view().permuted_axes([0, 2, 1]), [5, 5], Fit::Crop).unwrap();
        assert_eq!(lying.permuted_axes([0, 2, 1]), resize(tall.view(), [5, 5], Fit::Crop).unwrap());
    }

    #[test]
    fn shrinking_averages_rather_than_skips() {
        let stripes = Array3::from_shape_fn((1, 64, 64), |(_, _, column)| (column % 2 * 255) as u8);
        let small = resize(stripes.view(), [8, 8], Fit::Crop).unwrap();
        assert!(small.iter().all(|byte| (120..=136).contains(byte)), "{small:?}");
    }
}
