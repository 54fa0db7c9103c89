//! Images before they are cropped, so that they can be cropped anywhere.

use ndarray::s;

use super::framing::{Fit, Framing};
use super::pixels::{Image, ImageShape};
use crate::error::DataError;

/// Where an image is cropped, as fractions from 0 to 1 of what lies beyond its height and its width: 0 keeps the top and the
/// left.
pub(crate) type Place = [f64; 2];

/// In the middle.
pub(crate) const CENTRE: Place = [0.5; 2];

/// An image that covers a size, and what is left of it when it is cropped to that size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covering {
    image: Image,
    size: [usize; 2],
}

impl From<Image> for Covering {
    /// An image of which nothing is cropped.
    fn from(image: Image) -> Self {
        let ImageShape { height, width, .. } = image.shape();
        Self { image, size: [height, width] }
    }
}

impl Covering {
    /// Of an image that is resized for a framing whose [`Fit`] is to crop at random; for any other the image as it is framed.
    ///
    /// # Errors
    ///
    /// As [`Image::framed`].
    pub(crate) fn of(image: &Image, framing: &Framing) -> Result<Self, DataError> {
        if framing.fit != Fit::RandomCrop {
            return image.framed(framing).map(Self::from);
        }
        let ImageShape { height, width, .. } = image.shape();
        framing.check([height, width])?;
        let size = framing.size_of([height, width]);
        let scale = (size[0] as f64 / height as f64).max(size[1] as f64 / width as f64);
        let covered = |side: usize, least: usize| ((side as f64 * scale).round() as usize).max(least);
        let covering = [covered(height, size[0]), covered(width, size[1])];
        let image = image.resized(covering, Fit::Stretch)?.with_channels(framing.shape.channels)?;
        Ok(Self { image, size })
    }

    /// What is left of the image at a place.
    ///
    /// # Errors
    ///
    /// Never: the image covers its size.
    pub(crate) fn cropped(&self, [down, across]: Place) -> Result<Image, DataError> {
        let ImageShape { height, width, .. } = self.image.shape();
        let [rows, columns] = self.size;
        let first = |beyond: usize, place: f64| ((beyond + 1) as f64 * place.clamp(0.0, 1.0)) as usize;
        let top = first(height - rows, down).min(height - rows);
        let left = first(width - columns, across).min(width - columns);
        Image::new(self.image.pixels().slice(s![.., top..top + rows, left..left + columns]).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;

    /// A column is as bright as it is far to the right.
    fn wide() -> Image {
        Image::new(Array3::from_shape_fn((1, 8, 32), |(_, _, column)| column as u8)).unwrap()
    }

    fn framing(height: usize, width: usize) -> Framing {
        Framing { fit: Fit::RandomCrop, ..ImageShape { channels: 1, height, width }.into() }
    }

    fn columns(image: &Image) -> [u8; 2] {
        let pixels = image.pixels();
        [pixels[[0, 0, 0]], pixels[[0, 0, image.shape().width - 1]]]
    }

    #[test]
    fn an_image_is_cropped_anywhere_along_its_long_side() {
        let covering = Covering::of(&wide(), &framing(8, 8)).unwrap();
        let at = |place: f64| columns(&covering.cropped([0.5, place]).unwrap());
        assert_eq!([at(0.0), at(0.5), at(0.999), at(1.0)], [[0, 7], [12, 19], [24, 31], [24, 31]]);
        assert_eq!(wide().framed(&framing(8, 8)).unwrap(), covering.cropped(CENTRE).unwrap());
    }

    #[test]
    fn rounding_never_leaves_too_little() {
        for (height, width) in [(7, 7), (5, 3), (8, 31), (3, 8), (1, 8)] {
            let covering = Covering::of(&wide(), &framing(height, width)).unwrap();
            let ImageShape { height: rows, width: columns, .. } = covering.cropped([1.0; 2]).unwrap().shape();
            assert_eq!([rows, columns], [height, width]);
        }
    }

    #[test]
    fn any_other_fit_leaves_nothing_to_choose() {
        let crop = Framing { fit: Fit::Crop, ..framing(8, 8) };
        let covering = Covering::of(&wide(), &crop).unwrap();
        assert_eq!(covering.cropped([0.0; 2]).unwrap(), wide().framed(&crop).unwrap());
    }
}
