//! Several groups of shapes on one image, with captions of two or three sentences, made by the program: more of both than any
//! run sees, so that held-out losses tell how well a model has learned and not what it has memorised.
//!
//! ```text
//! two small red circles at the top left, a large black ring at the bottom left and three small blue squares at the bottom
//! right. six shapes in all. the circles are above the ring.
//! ```
//!
//! The first sentence names the groups in any order; what follows can be worked out from it, or seen on the image: the sum, and
//! where one group lies of another. A composition is held out when its hash says so, whatever its number is.

use ndarray::Array3;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::shapes::{Attribute, BACKGROUND, Count, Jitter, Place, Scene, coverage};
use super::{DataSet, Source, SourceSettings, Split, validate_images};
use crate::error::DataError;
use crate::images::{Framing, Image, ImageShape};
use crate::order::below;

/// One composition of so many is held out.
const HELD_OUT: u8 = 8;
/// The most images that are held out.
const MOST_HELD_OUT: usize = 4096;
/// Where groups lie; the middle would overlap.
const CORNERS: [Place; 4] = [Place::TopLeft, Place::TopRight, Place::BottomLeft, Place::BottomRight];
/// Sums of up to four groups of up to three shapes.
const SUMS: [&str; 12] =
    ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

/// Options of `kind = "compositions"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompositionsConfig {
    /// Training images, at least 1; an eighth as many, but at most 4096, are held out, of compositions that training does not
    /// see.
    pub images: usize,
    /// The most groups of shapes on an image, from 2 to 4.
    pub groups: usize,
}

impl Default for CompositionsConfig {
    fn default() -> Self {
        Self { images: 100_000, groups: 3 }
    }
}

impl SourceSettings for CompositionsConfig {
    fn validate(&self, shape: ImageShape) -> Result<(), DataError> {
        if shape.channels != 3 {
            return Err(DataError::config("data.channels", "3, for shapes are told by their colours", shape.channels));
        }
        if !(2..=CORNERS.len()).contains(&self.groups) {
            return Err(DataError::config("data.source.groups", "from 2 to 4", self.groups));
        }
        validate_images(self.images)
    }

    fn open(&self, Framing { shape, .. }: Framing) -> Result<DataSet, DataError> {
        let [train, held_out] = [Split::Train, Split::HeldOut].map(|split| Compositions::new(self, shape, split));
        Ok(DataSet::kept(train, Some(held_out)))
    }
}

/// What is on an image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Composition {
    /// In the order in which the caption names them; no two at one place, nor alike in both colour and shape.
    groups: Vec<Scene>,
    /// The groups of the last sentence, if there is one, and whether it says how they lie side by side or one above the other
    /// where both can be said.
    related: Option<(usize, usize, bool)>,
}

/// Compositions generated from their numbers.
struct Compositions {
    config: CompositionsConfig,
    shape: ImageShape,
    split: Split,
}

impl Compositions {
    fn new(config: &CompositionsConfig, shape: ImageShape, split: Split) -> Self {
        Self { config: config.clone(), shape, split }
    }

    /// Generates until one falls into the split.
    fn composition(&self, index: usize) -> Composition {
        let mut rng = generator(self.split, index, 0);
        loop {
            let found = Composition::draw(self.config.groups, &mut rng);
            if found.is_held_out() == (self.split == Split::HeldOut) {
                return found;
            }
        }
    }
}

impl Composition {
    fn draw(most: usize, rng: &mut ChaCha8Rng) -> Self {
        let count = 2 + below(most - 1, rng);
        let mut places = CORNERS;
        places.shuffle(rng);
        let mut groups: Vec<Scene> = vec![];
        for &place in &places[..count] {
            let group = loop {
                let (count, size, colour, shape) = (any(rng), any(rng), any(rng), any(rng));
                let group = Scene { count, size, colour, shape, place };
                if !groups.iter().any(|other| (other.colour, other.shape) == (group.colour, group.shape)) {
                    break group;
                }
            };
            groups.push(group);
        }
        let first = below(count, rng);
        let second = (first + 1 + below(count - 1, rng)) % count;
        let related = (below(4, rng) > 0).then(|| (first, second, below(2, rng) == 0));
        Self { groups, related }
    }

    fn is_held_out(&self) -> bool {
        // Of the words, so that the split is the same everywhere and for good.
        Sha256::digest(self.caption())[0].is_multiple_of(HELD_OUT)
    }

    fn caption(&self) -> String {
        let named: Vec<String> = self.groups.iter().map(|group| group.caption()).collect();
        let (last, first) = named.split_last().map_or(("", vec![]), |(last, first)| (last.as_str(), first.to_vec()));
        let sum: usize = self.groups.iter().map(|group| group.count.number() + 1).sum();
        let counted = format!("{} and {last}. {} shapes in all.", first.join(", "), SUMS[sum - 1]);
        let Some((one, other, sideways)) = self.related else { return counted };
        let (one, other) = (self.groups[one], self.groups[other]);
        let (subject, object) = (self.named(one), self.named(other));
        let verb = if one.count == Count::One { "is" } else { "are" };
        format!("{counted} {subject} {verb} {} {object}.", relation(one.place, other.place, sideways))
    }

    /// `the circles`, or `the red circles` where another group has the shape.
    fn named(&self, group: Scene) -> String {
        let plural = if group.count == Count::One { "" } else { "s" };
        let of_shape = self.groups.iter().filter(|other| other.shape == group.shape).count();
        match of_shape {
            1 => format!("the {}{plural}", group.shape.words()),
            _ => format!("the {} {}{plural}", group.colour.words(), group.shape.words()),
        }
    }

    /// `[3, height, width]`
    fn render(&self, [height, width]: [usize; 2], jitter: Jitter) -> Array3<u8> {
        let mut levels = Array3::from_elem((3, height, width), BACKGROUND);
        for group in &self.groups {
            let covered = coverage(*group, [height, width], jitter.shift);
            let colour = group.colour.levels();
            for ((channel, y, x), level) in levels.indexed_iter_mut() {
                let own = (colour[channel] + jitter.levels[channel]).clamp(0.0, 255.0);
                *level += (own - *level) * covered[[y, x]];
            }
        }
        levels.mapv(|level| level.round() as u8)
    }
}

/// How a place lies of another; of two that differ in both directions, the one that is asked for.
fn relation(one: Place, other: Place, sideways: bool) -> &'static str {
    let of = |place: Place| match place {
        Place::TopLeft => (0, 0),
        Place::TopRight => (0, 1),
        Place::BottomLeft => (1, 0),
        Place::BottomRight => (1, 1),
        Place::Middle => (0, 0),
    };
    let ((row, column), (other_row, other_column)) = (of(one), of(other));
    match (row == other_row) || (sideways && column != other_column) {
        true if column < other_column => "left of",
        true => "right of",
        false if row < other_row => "above",
        false => "below",
    }
}

fn any<A: Attribute>(rng: &mut ChaCha8Rng) -> A {
    A::ALL[below(A::ALL.len(), rng)]
}

fn generator(split: Split, index: usize, stream: u8) -> ChaCha8Rng {
    let mut key = [stream; 32];
    key[..8].copy_from_slice(&(index as u64).to_le_bytes());
    key[8] = split as u8;
    key[9] = b'c';
    ChaCha8Rng::from_seed(key)
}

impl Source for Compositions {
    fn len(&self) -> usize {
        match self.split {
            Split::Train => self.config.images,
            Split::HeldOut => (self.config.images / usize::from(HELD_OUT)).clamp(1, MOST_HELD_OUT),
        }
    }

    fn name(&self, index: usize) -> String {
        format!("compositions/{:?}/{index:06}", self.split).to_lowercase()
    }

    fn captions(&self, index: usize) -> Result<Vec<String>, DataError> {
        Ok(vec![self.composition(index).caption()])
    }

    fn image(&self, index: usize) -> Result<Image, DataError> {
        let ImageShape { channels, height, width } = self.shape;
        let jitter = Jitter::of(generator(self.split, index, 1).next_u64());
        Image::new(self.composition(index).render([height, width], jitter))?.with_channels(channels)
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn native_size(&self, _: usize) -> Result<[usize; 2], DataError> {
        Ok([self.shape.height, self.shape.width])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::sources::shapes::{Colour, Shape, Size};

    fn source(split: Split, groups: usize) -> Compositions {
        let shape = ImageShape { channels: 3, height: 32, width: 32 };
        Compositions::new(&CompositionsConfig { images: 1600, groups }, shape, split)
    }

    #[test]
    fn captions_name_the_groups_their_sum_and_a_relation() {
        let group = |count, colour, shape, place| Scene { count, size: Size::Small, colour, shape, place };
        let one = group(Count::Two, Colour::Red, Shape::Circle, Place::TopLeft);
        let other = group(Count::One, Colour::Black, Shape::Circle, Place::BottomRight);
        let caption = |related| Composition { groups: vec![one, other], related }.caption();
        let counted = "two small red circles at the top left and a small black circle at the bottom right. three shapes in \
                       all.";
        assert_eq!(caption(None), counted);
        let related = |related, expected: &str| assert_eq!(caption(Some(related)), format!("{counted} {expected}"));
        related((0, 1, false), "the red circles are above the black circle.");
        related((0, 1, true), "the red circles are left of the black circle.");
        related((1, 0, false), "the black circle is below the red circles.");
        related((1, 0, true), "the black circle is right of the red circles.");
    }

    #[test]
    fn no_held_out_composition_is_trained_on_and_hardly_any_comes_twice() {
        for groups in 2..=4 {
            let [train, held_out] = [Split::Train, Split::HeldOut].map(|split| source(split, groups));
            let captions = |source: &Compositions| -> HashSet<String> {
                (0..source.len()).map(|index| source.caption(index).unwrap()).collect()
            };
            let (train, held_out) = (captions(&train), captions(&held_out));
            assert!(train.is_disjoint(&held_out));
            assert!(train.len() > 1590 && held_out.len() > 195, "{} {}", train.len(), held_out.len());
        }
    }

    #[test]
    fn every_group_is_on_the_image_where_the_caption_says() {
        let source = source(Split::Train, 4);
        for index in 0..20 {
            let composition = source.composition(index);
            let image = source.image(index).unwrap();
            for place in CORNERS {
                let ink = |y: usize, x: usize| (0..3).any(|channel| image.pixels()[[channel, y, x]] < 250);
                // Groups reach over the middle, but not this far.
                let far = |beyond: bool| if beyond { 22..28 } else { 4..10 };
                let below = matches!(place, Place::BottomLeft | Place::BottomRight);
                let right = matches!(place, Place::TopRight | Place::BottomRight);
                let inked = far(below).any(|y| far(right).any(|x| ink(y, x)));
                let named = composition.groups.iter().any(|group| group.place == place);
                assert_eq!(inked, named, "{index} {place:?} {}", composition.caption());
            }
            assert_eq!(source.image(index).unwrap(), image);
        }
    }
}
