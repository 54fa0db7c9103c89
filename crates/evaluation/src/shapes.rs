//! An exact score of images and captions of the procedural shapes: which attributes of the scene that was asked for are
//! there?
//!
//! An image is read by rendering every scene at several small shifts and taking the nearest, then by shifting the few nearest
//! further, in ever smaller steps, sharp and blurred: no learned classifier has a say. An image that is nearest to an empty one shows
//! nothing.

use interfuse_data::shapes::{Attribute, BACKGROUND, Colour, Scene, coverage};
use ndarray::{Array1, Array2, ArrayView3, Axis};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::EvaluationError;
use crate::proportion::Proportion;

/// Shifts of every scene that are tried, in pixels along each axis.
const SHIFTS: [f32; 3] = [-0.8, 0.0, 0.8];
/// Steps by which the nearest scenes are shifted further, in pixels.
const STEPS: [f32; 3] = [0.4, 0.2, 0.1];
/// How many scenes are shifted further.
const NEAREST: usize = 12;
/// How strongly the nearest scenes are blurred, standard deviations in pixels.
const BLURS: [f32; 3] = [0.0, 0.5, 0.9];

/// Reads scenes from images of one size.
pub struct SceneReader {
    size: [usize; 2],
    /// Every scene of one colour at every shift; colour is told apart by arithmetic.
    candidates: Vec<Candidate>,
}

/// A scene as it would look, whatever its colour.
struct Candidate {
    scene: Scene,
    /// Down and to the right, in pixels.
    shift: [f32; 2],
    covered: Covered,
}

/// How much of each pixel a scene covers, `[height, width]` row by row.
struct Covered {
    fractions: Array1<f32>,
    /// The sum of their squares.
    squares: f32,
}

impl Covered {
    fn new(scene: Scene, shift: [f32; 2], size: [usize; 2], blur: &Blur) -> Self {
        let part = [shift[0] / size[0] as f32, shift[1] / size[1] as f32];
        let fractions: Array1<f32> = blur.apply(coverage(scene, size, part)).into_iter().collect();
        Self { squares: fractions.dot(&fractions), fractions }
    }
}

/// An image less its background, `v`, and what distances to it are made of.
///
/// A scene of colour `c` that covers the fractions `s` has the squared distance `Σ (c s − v)² = c² Σ s² − 2 Σ s (c·v) + Σ v²`, so
/// that three channels cost no more than one.
struct Seen {
    /// For each colour, `c·v` of every pixel.
    along: Vec<Array1<f32>>,
    /// `Σ v²`: the distance of an empty image.
    of_nothing: f32,
}

impl Seen {
    fn new(image: ArrayView3<'_, u8>) -> Self {
        let values = image.mapv(|level| f32::from(level) - BACKGROUND);
        let along = |colour: &Colour| -> Array1<f32> {
            let colour = above_background(*colour);
            let pixels = values.lanes(Axis(0)).into_iter();
            pixels.map(|pixel| pixel.iter().zip(colour).map(|(value, c)| value * c).sum()).collect()
        };
        Self { along: Colour::ALL.iter().map(along).collect(), of_nothing: values.iter().map(|v| v * v).sum() }
    }

    /// The squared distance of a scene, over values from 0 to 255.
    fn distance(&self, covered: &Covered, colour: Colour) -> f32 {
        let length: f32 = above_background(colour).iter().map(|c| c * c).sum();
        length * covered.squares - 2.0 * covered.fractions.dot(&self.along[colour.number()]) + self.of_nothing
    }
}

fn above_background(colour: Colour) -> [f32; 3] {
    colour.levels().map(|level| level - BACKGROUND)
}

/// A Gaussian blur of a plane, edges repeated.
struct Blur {
    /// From the pixel itself outwards; one where nothing is blurred.
    weights: Vec<f32>,
}

impl Blur {
    /// Of a deviation in pixels.
    fn new(std: f32) -> Self {
        const REACH: usize = 3;
        let reach = if std == 0.0 { 0 } else { REACH };
        let weight = |x: usize| if x == 0 { 1.0 } else { (-0.5 * (x as f32 / std).powi(2)).exp() };
        let total: f32 = weight(0) + 2.0 * (1..=reach).map(weight).sum::<f32>();
        Self { weights: (0..=reach).map(|x| weight(x) / total).collect() }
    }

    fn apply(&self, plane: Array2<f32>) -> Array2<f32> {
        match self.weights.len() {
            1 => plane,
            _ => self.along_rows(&self.along_rows(&plane).reversed_axes()).reversed_axes(),
        }
    }

    fn along_rows(&self, plane: &Array2<f32>) -> Array2<f32> {
        let reach = self.weights.len() - 1;
        let mut out = Array2::zeros(plane.dim());
        let mut padded = vec![0.0; plane.ncols() + 2 * reach];
        for (row, mut out) in plane.rows().into_iter().zip(out.rows_mut()) {
            let last = plane.ncols() - 1;
            for (place, value) in padded.iter_mut().enumerate() {
                *value = row[place.saturating_sub(reach).min(last)];
            }
            for (place, out) in out.iter_mut().enumerate() {
                let centre = place + reach;
                let sides = self.weights.iter().enumerate().skip(1);
                *out = self.weights[0] * padded[centre]
                    + sides.map(|(x, weight)| weight * (padded[centre - x] + padded[centre + x])).sum::<f32>();
            }
        }
        out
    }
}

/// A shift in every direction, and none.
fn around([down, right]: [f32; 2], by: impl IntoIterator<Item = f32> + Clone) -> Vec<[f32; 2]> {
    let each = by.clone().into_iter();
    each.flat_map(|y| by.clone().into_iter().map(move |x| [down + y, right + x])).collect()
}

impl SceneReader {
    /// For images of a height and width, at least 1 each.
    pub fn new(size: [usize; 2]) -> Self {
        let scenes: Vec<Scene> = Scene::all().filter(|scene| scene.colour == Colour::ALL[0]).collect();
        let sharp = Blur::new(0.0);
        let at_every_shift = |scene: Scene| -> Vec<Candidate> {
            let shifts = around([0.0, 0.0], SHIFTS).into_iter();
            shifts.map(|shift| Candidate { scene, shift, covered: Covered::new(scene, shift, size, &sharp) }).collect()
        };
        Self { size, candidates: scenes.into_par_iter().flat_map_iter(at_every_shift).collect() }
    }

    /// The scene that is nearest to an image `[3, height, width]` of 8-bit values; `None` where an empty image is nearer.
    ///
    /// # Errors
    /// When the image is of another size.
    pub fn read(&self, image: ArrayView3<'_, u8>) -> Result<Option<Scene>, EvaluationError> {
        let expected = (3, self.size[0], self.size[1]);
        if image.dim() != expected {
            return Err(EvaluationError::mismatch("an image of shapes", expected, image.dim()));
        }
        let seen = Seen::new(image);
        let in_every_colour = |candidate: &Candidate| -> Vec<Found> {
            let of = |&colour: &Colour| Found {
                distance: seen.distance(&candidate.covered, colour),
                scene: Scene { colour, ..candidate.scene },
                shift: candidate.shift,
            };
            Colour::ALL.iter().map(of).collect()
        };
        let mut found: Vec<Found> = self.candidates.par_iter().flat_map_iter(in_every_colour).collect();
        found.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        let mut nearest: Vec<Found> = Vec::with_capacity(NEAREST);
        for candidate in found {
            if nearest.len() < NEAREST && nearest.iter().all(|other| other.scene != candidate.scene) {
                nearest.push(candidate);
            }
        }
        let blurs = BLURS.map(Blur::new);
        let refined = nearest.into_par_iter().map(|start| self.refined(start, &seen, &blurs));
        let best = refined.min_by(|a, b| a.0.total_cmp(&b.0));
        Ok(best.filter(|(distance, _)| *distance < seen.of_nothing).map(|(_, scene)| scene))
    }

    /// The least distance of a scene that is shifted further from where it is, and blurred.
    fn refined(&self, start: Found, seen: &Seen, blurs: &[Blur]) -> (f32, Scene) {
        let Found { distance: mut least, scene, shift: start } = start;
        for blur in blurs {
            let mut shift = start;
            let mut nearest = f32::INFINITY;
            for step in STEPS {
                for shifted in around(shift, [-step, 0.0, step]) {
                    let distance = seen.distance(&Covered::new(scene, shifted, self.size, blur), scene.colour);
                    if distance < nearest {
                        (nearest, shift) = (distance, shifted);
                    }
                }
            }
            least = least.min(nearest);
        }
        (least, scene)
    }
}

/// A scene somewhere, and how far it is from an image.
struct Found {
    distance: f32,
    scene: Scene,
    shift: [f32; 2],
}

/// How often each attribute is right.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SceneScore {
    /// By attribute: its name, how often it is right, and what chance has.
    pub attributes: Vec<(&'static str, Proportion, f64)>,
    /// All five.
    pub all: Proportion,
    /// What chance has of all five.
    pub chance_of_all: f64,
}

/// Scores what was found against what was wanted; `None` where a caption names no value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    right: [bool; 5],
}

impl Judged {
    /// How many of the five attributes are right.
    pub fn count_right(self) -> usize {
        self.right.into_iter().filter(|&right| right).count()
    }

    /// A scene that was read from an image; nothing is right where there is none.
    pub fn image(wanted: Scene, found: Option<Scene>) -> Self {
        let Some(found) = found else { return Self { right: [false; 5] } };
        Self {
            right: [
                wanted.count == found.count,
                wanted.size == found.size,
                wanted.colour == found.colour,
                wanted.shape == found.shape,
                wanted.place == found.place,
            ],
        }
    }

    /// A caption that was written.
    pub fn caption(wanted: Scene, written: &str) -> Self {
        let found = Scene::attributes_of(written);
        Self {
            right: [
                found.count == Some(wanted.count),
                found.size == Some(wanted.size),
                found.colour == Some(wanted.colour),
                found.shape == Some(wanted.shape),
                found.place == Some(wanted.place),
            ],
        }
    }
}

impl SceneScore {
    /// Of judgements.
    pub fn of(judged: &[Judged]) -> Self {
        use interfuse_data::shapes::{Colour, Count, Place, Shape, Size};
        fn entry<A: Attribute>(judged: &[Judged], index: usize) -> (&'static str, Proportion, f64) {
            (A::NAME, Proportion::of(judged.iter().map(|judged| judged.right[index])), 1.0 / A::ALL.len() as f64)
        }
        let attributes = vec![
            entry::<Count>(judged, 0),
            entry::<Size>(judged, 1),
            entry::<Colour>(judged, 2),
            entry::<Shape>(judged, 3),
            entry::<Place>(judged, 4),
        ];
        let chance_of_all = attributes.iter().map(|(_, _, chance)| chance).product();
        Self {
            all: Proportion::of(judged.iter().map(|j| j.right.iter().all(|&right| right))),
            attributes,
            chance_of_all,
        }
    }
}

#[cfg(test)]
mod tests {
    use interfuse_data::shapes::{Jitter, render};
    use ndarray::Array3;

    use super::*;

    /// An image as a model may draw it: blurred, and with noise.
    fn worn(image: &Array3<u8>, std: f32, index: usize) -> Array3<u8> {
        let mut state = index as u64 + 1;
        let mut noise = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        let mut out = image.clone();
        for (plane, mut out) in image.outer_iter().zip(out.outer_iter_mut()) {
            let plane = Blur::new(std).apply(plane.mapv(f32::from));
            out.assign(&plane.mapv(|level| (level + 14.0 * noise()).clamp(0.0, 255.0) as u8));
        }
        out
    }

    #[test]
    fn worn_images_of_every_kind_are_read_right_and_empty_ones_are_empty() {
        let size = [32, 32];
        let reader = SceneReader::new(size);
        for std in [0.0, 0.45, 0.6] {
            let scenes: Vec<(usize, Scene)> = Scene::all().enumerate().step_by(11).collect();
            let right = scenes.par_iter().filter(|(index, scene)| {
                let fraction = |k: usize| ((index * k) % 64) as f32 / 32.0 - 1.0;
                let jitter = Jitter { shift: [fraction(5) / 32.0, fraction(11) / 32.0], levels: [8.0, -8.0, 8.0] };
                let image = worn(&render(*scene, size, jitter), std, *index);
                reader.read(image.view()).unwrap() == Some(*scene)
            });
            let (right, of) = (right.count(), scenes.len());
            assert_eq!(right, of, "at a blur of {std} pixels");
        }
        assert_eq!(reader.read(Array3::from_elem((3, 32, 32), 250).view()).unwrap(), None);
        assert!(reader.read(Array3::zeros((3, 16, 32)).view()).is_err());
    }

    /// An image as it comes back from a JPEG file.
    fn through_jpeg(image: &Array3<u8>, quality: u8) -> Array3<u8> {
        let (_, height, width) = image.dim();
        let pixels = image::RgbImage::from_fn(width as u32, height as u32, |x, y| {
            image::Rgb([0, 1, 2].map(|channel| image[[channel, y as usize, x as usize]]))
        });
        let mut file = vec![];
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, quality).encode_image(&pixels).unwrap();
        let back = image::load_from_memory(&file).unwrap().into_rgb8();
        Array3::from_shape_fn(image.dim(), |(channel, y, x)| back.get_pixel(x as u32, y as u32).0[channel])
    }

    #[test]
    fn images_that_were_jpeg_files_are_read_right() {
        let size = [32, 32];
        let reader = SceneReader::new(size);
        for quality in [95, 75] {
            let scenes: Vec<(usize, Scene)> = Scene::all().enumerate().step_by(11).collect();
            let right = scenes.par_iter().filter(|(index, scene)| {
                let image = through_jpeg(&render(*scene, size, Jitter::of(*index as u64)), quality);
                reader.read(image.view()).unwrap() == Some(*scene)
            });
            let (right, of) = (right.count(), scenes.len());
            assert_eq!(right, of, "at quality {quality}");
        }
    }

    #[test]
    fn every_attribute_is_scored_by_itself() {
        let scenes: Vec<Scene> = Scene::all().collect();
        let (wanted, other) = (scenes[0], scenes[1]);
        let judged = [Judged::image(wanted, Some(wanted)), Judged::image(wanted, Some(other))];
        let score = SceneScore::of(&judged);
        // Neighbours in the list differ in their place alone.
        let fractions: Vec<f64> = score.attributes.iter().map(|(_, fraction, _)| fraction.fraction).collect();
        assert_eq!(fractions, [1.0, 1.0, 1.0, 1.0, 0.5]);
        assert_eq!(score.all.hits, 1);
        assert!((score.chance_of_all - 1.0 / 720.0).abs() < 1e-12);
        assert_eq!(Judged::caption(wanted, &wanted.caption()), judged[0]);
        assert_eq!(Judged::caption(wanted, "nothing"), Judged::image(wanted, None));
    }
}
