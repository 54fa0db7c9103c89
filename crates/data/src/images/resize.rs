//! The one resizer of the project.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use ndarray::{Array3, ArrayView3, Axis};

use crate::error::DataError;

/// Resizes the short side to fit and crops the long side at its centre, antialiased Catmull-Rom.
///
/// # Shapes
///
/// - pixels: `[channels, old height, old width]`
/// - returns `[channels, height, width]`
///
/// # Errors
///
/// When either size has no pixels.
pub(crate) fn resize(pixels: ArrayView3<u8>, [height, width]: [usize; 2]) -> Result<Array3<u8>, DataError> {
    let (channels, old_height, old_width) = pixels.dim();
    let refused = |found: String| {
        let expected = format!("a size that {old_height} × {old_width} pixels can be resized to");
        DataError::malformed("image", expected, format!("{height} × {width}: {found}"))
    };
    if height * width == 0 {
        return Err(refused("no pixels".into()));
    }
    let pixels = pixels.as_standard_layout();
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
        .fit_into_destination(Some((0.5, 0.5)));
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

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::*;

    #[test]
    fn the_long_side_is_cropped_at_its_centre() {
        // The first channel is lit on the left third, the second in the middle, the third on the right.
        let wide =
            Array3::from_shape_fn((3, 32, 96), |(channel, _, column)| if column / 32 == channel { 255 } else { 0 });
        let centre = resize(wide.view(), [8, 8]).unwrap();
        assert!(centre.slice(s![1, .., 1..7]).iter().all(|&byte| byte == 255));
        assert!(centre.slice(s![0, .., 1..7]).iter().all(|&byte| byte == 0));
        assert!(resize(wide.view(), [0, 8]).is_err());
    }

    #[test]
    fn neither_layout_nor_direction_of_the_change_matters() {
        let tall = Array3::from_shape_fn((1, 20, 10), |(_, row, _)| row as u8 * 10);
        assert_eq!(resize(tall.view(), [40, 24]).unwrap().dim(), (1, 40, 24));
        let lying = resize(tall.view().permuted_axes([0, 2, 1]), [5, 5]).unwrap();
        assert_eq!(lying.permuted_axes([0, 2, 1]), resize(tall.view(), [5, 5]).unwrap());
    }

    #[test]
    fn shrinking_averages_rather_than_skips() {
        let stripes = Array3::from_shape_fn((1, 64, 64), |(_, _, column)| (column % 2 * 255) as u8);
        let small = resize(stripes.view(), [8, 8]).unwrap();
        assert!(small.iter().all(|byte| (120..=136).contains(byte)), "{small:?}");
    }
}
