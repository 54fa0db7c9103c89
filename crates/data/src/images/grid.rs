//! Many images on one sheet, in the look of torchvision's `make_grid`.

use ndarray::{Array3, Axis, s};

use super::pixels::Image;
use crate::error::DataError;

/// Lays images out row by row on black.
///
/// Every cell is as large as the largest image; smaller ones lie in its upper left corner. A grey
/// image among coloured ones is drawn in grey.
///
/// - `columns`: images in a row, at most as many as there are; 0 counts as 1
/// - `padding`: black pixels between the images and around them, 2 in torchvision
/// - `scale`: how many pixels a side each pixel becomes, for images too small to see; 0 counts as
///   1
///
/// # Errors
///
/// When there is no image.
pub fn grid(images: &[Image], columns: usize, padding: usize, scale: usize) -> Result<Image, DataError> {
    let shapes: Vec<_> = images.iter().map(Image::shape).collect();
    let largest = |side: fn(&super::ImageShape) -> usize| shapes.iter().map(side).max().unwrap_or(0);
    let (channels, scale) = (largest(|shape| shape.channels), scale.max(1));
    let (height, width) =
        (largest(|shape| shape.height) * scale + padding, largest(|shape| shape.width) * scale + padding);
    let columns = columns.clamp(1, images.len().max(1));
    let rows = images.len().div_ceil(columns);
    let mut sheet = Array3::zeros((channels, rows * height + padding, columns * width + padding));
    for (index, image) in images.iter().enumerate() {
        let (top, left) = (index / columns * height + padding, index % columns * width + padding);
        let enlarged = enlarged(&image.with_channels(channels)?, scale);
        let (_, high, wide) = enlarged.dim();
        sheet.slice_mut(s![.., top..top + high, left..left + wide]).assign(&enlarged);
    }
    Image::new(sheet)
}

/// Each pixel as a square of `scale` × `scale` pixels.
fn enlarged(image: &Image, scale: usize) -> Array3<u8> {
    let pixels = image.pixels();
    let (channels, height, width) = pixels.dim();
    let mut enlarged = Array3::zeros((channels, height * scale, width * scale));
    for (row, mut to) in enlarged.axis_iter_mut(Axis(1)).enumerate() {
        for (column, mut to) in to.axis_iter_mut(Axis(1)).enumerate() {
            to.assign(&pixels.slice(s![.., row / scale, column / scale]));
        }
    }
    enlarged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(channels: usize, height: usize, width: usize, value: u8) -> Image {
        Image::new(Array3::from_elem((channels, height, width), value)).unwrap()
    }

    #[test]
    fn the_sheet_has_the_size_that_torchvision_gives_it() {
        let images = vec![plain(3, 28, 20, 200); 10];
        let shape = grid(&images, 8, 2, 1).unwrap().shape();
        assert_eq!((shape.channels, shape.height, shape.width), (3, 2 * (28 + 2) + 2, 8 * (20 + 2) + 2));
        let shape = grid(&images[..3], 8, 2, 4).unwrap().shape();
        assert_eq!((shape.height, shape.width), (28 * 4 + 4, 3 * (20 * 4 + 2) + 2));
    }

    #[test]
    fn every_image_lies_in_its_cell() {
        let images = [plain(1, 2, 2, 10), plain(3, 2, 2, 20), plain(1, 1, 2, 30)];
        let sheet = grid(&images, 2, 1, 2).unwrap();
        let pixels = sheet.pixels();
        assert_eq!(pixels.dim(), (3, 11, 11));
        assert_eq!(pixels.slice(s![0, .., 1]).to_vec(), [0, 10, 10, 10, 10, 0, 30, 30, 0, 0, 0]);
        assert_eq!(pixels.slice(s![2, 1, ..]).to_vec(), [0, 10, 10, 10, 10, 0, 20, 20, 20, 20, 0]);
    }

    #[test]
    fn no_images_are_an_error_and_no_columns_are_one() {
        assert!(grid(&[], 8, 2, 1).is_err());
        assert_eq!(grid(&[plain(1, 2, 2, 1), plain(1, 2, 2, 2)], 0, 0, 0).unwrap().shape().height, 4);
    }
}
