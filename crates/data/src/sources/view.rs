//! How an image of a source is looked at when it comes up in training.

use rand_chacha::ChaCha8Rng;

use super::Source;
use crate::error::DataError;
use crate::images::{Fit, Image};
use crate::order::{chance, uniform};

/// What of an image is looked at, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct View {
    /// Left and right change places.
    pub mirrored: bool,
    /// Where it is cropped, as fractions from 0 to 1 of what lies beyond its height and its width; as the source crops it if
    /// absent.
    pub place: Option<[f64; 2]>,
}

impl View {
    /// Mirrored with a probability, and cropped anywhere where the source crops at random.
    pub(crate) fn drawn(source: &dyn Source, horizontal_flip: f64, rng: &mut ChaCha8Rng) -> Self {
        let mirrored = chance(horizontal_flip, rng);
        let is_cropped = source.framing().fit == Fit::RandomCrop;
        Self { mirrored, place: is_cropped.then(|| [(); 2].map(|()| uniform(rng))) }
    }

    /// What is seen of an image.
    ///
    /// # Errors
    /// When the image cannot be read.
    pub fn of(self, source: &dyn Source, index: usize) -> Result<Image, DataError> {
        let image = match self.place {
            Some(place) => source.covering(index)?.cropped(place)?,
            None => source.image(index)?,
        };
        Ok(if self.mirrored { image.flipped_horizontally() } else { image })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array3;

    use super::*;
    use crate::images::{Covering, Framing, ImageShape};
    use crate::order::{Stream, generator};

    /// One image of 4 × 12 pixels, each column brighter than the one before, cropped to 4 × 4 as it says.
    struct Wide(Fit);

    impl Wide {
        fn whole() -> Image {
            Image::new(Array3::from_shape_fn((1, 4, 12), |(_, _, column)| column as u8)).unwrap()
        }
    }

    impl Source for Wide {
        fn len(&self) -> usize {
            1
        }
        fn name(&self, _: usize) -> String {
            "wide".into()
        }
        fn captions(&self, _: usize) -> Result<Vec<String>, DataError> {
            Ok(vec!["wide".into()])
        }
        fn image(&self, _: usize) -> Result<Image, DataError> {
            Self::whole().framed(&self.framing())
        }
        fn covering(&self, _: usize) -> Result<Covering, DataError> {
            Covering::of(&Self::whole(), &self.framing())
        }
        fn shape(&self) -> ImageShape {
            ImageShape { channels: 1, height: 4, width: 4 }
        }
        fn framing(&self) -> Framing {
            Framing { fit: self.0, ..self.shape().into() }
        }
        fn native_size(&self, _: usize) -> Result<[usize; 2], DataError> {
            Ok([4, 12])
        }
    }

    /// The first column of what is seen of the image in so many documents.
    fn first_columns(fit: Fit, count: u64) -> Vec<u8> {
        let source = Wide(fit);
        let seen = |number| {
            let view = View::drawn(&source, 0.0, &mut generator(7, number, Stream::Document));
            view.of(&source, 0).unwrap().pixels()[[0, 0, 0]]
        };
        (0..count).map(seen).collect()
    }

    #[test]
    fn every_place_comes_up_where_images_are_cropped_at_random() {
        let mut found = first_columns(Fit::RandomCrop, 200);
        assert_eq!(found, first_columns(Fit::RandomCrop, 200), "the same document sees the same");
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, (0..=8).collect::<Vec<u8>>());
        assert!(first_columns(Fit::Crop, 20).iter().all(|&column| column == first_columns(Fit::Crop, 1)[0]));
    }
}
