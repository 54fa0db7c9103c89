//! An exact score of pictures and captions of the procedural shapes: which attributes of the scene that was asked for are
//! there?
//!
//! A picture is read by rendering every scene at several small shifts and taking the nearest, then by shifting the few nearest
//! further, in ever smaller steps: no learned judge has a say.

use interfuse_data::shapes::{Attribute, Jitter, Scene, render};
use ndarray::ArrayView3;
use rayon::prelude::*;
use serde::Serialize;

use crate::error::EvaluationError;
use crate::proportion::Proportion;

/// Shifts of every scene that are tried, in pixels along each axis.
const SHIFTS: [f32; 3] = [-0.8, 0.0, 0.8];
/// Steps by which the nearest scenes are shifted further, in pixels.
const STEPS: [f32; 3] = [0.4, 0.2, 0.1];
/// How many scenes are shifted further.
const NEAREST: usize = 8;

/// Reads scenes from pictures of one size.
pub struct SceneReader {
    size: [usize; 2],
    /// Every scene at every shift.
    candidates: Vec<Candidate>,
}

/// A scene as it would look.
struct Candidate {
    scene: Scene,
    /// Down and to the right, in pixels.
    shift: [f32; 2],
    /// From 0 to 255.
    values: Vec<f32>,
}

impl Candidate {
    fn new(scene: Scene, shift: [f32; 2], size: [usize; 2]) -> Self {
        let shares = [shift[0] / size[0] as f32, shift[1] / size[1] as f32];
        let picture = render(scene, size, Jitter { shift: shares, ..Jitter::default() });
        Self { scene, shift, values: picture.iter().map(|&level| f32::from(level)).collect() }
    }

    fn distance(&self, values: &[f32]) -> f32 {
        self.values.iter().zip(values).map(|(a, b)| (a - b) * (a - b)).sum()
    }
}

/// A shift in every direction, and none.
fn around([down, right]: [f32; 2], by: impl IntoIterator<Item = f32> + Clone) -> Vec<[f32; 2]> {
    let each = by.clone().into_iter();
    each.flat_map(|y| by.clone().into_iter().map(move |x| [down + y, right + x])).collect()
}

impl SceneReader {
    /// For pictures of a height and width.
    pub fn new(size: [usize; 2]) -> Self {
        let scenes: Vec<Scene> = Scene::all().collect();
        let at_every_shift =
            |scene: Scene| around([0.0, 0.0], SHIFTS).into_iter().map(move |shift| Candidate::new(scene, shift, size));
        Self { size, candidates: scenes.into_par_iter().flat_map_iter(at_every_shift).collect() }
    }

    /// The scene that is nearest to a picture `[3, height, width]` of 8-bit values.
    ///
    /// # Errors
    /// When the picture is of another size.
    pub fn read(&self, picture: ArrayView3<'_, u8>) -> Result<Scene, EvaluationError> {
        let expected = (3, self.size[0], self.size[1]);
        if picture.dim() != expected {
            return Err(EvaluationError::mismatch("a picture of shapes", expected, picture.dim()));
        }
        let values: Vec<f32> = picture.iter().map(|&level| f32::from(level)).collect();
        let mut found: Vec<(f32, Scene, [f32; 2])> = self
            .candidates
            .par_iter()
            .map(|candidate| (candidate.distance(&values), candidate.scene, candidate.shift))
            .collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut nearest: Vec<(f32, Scene, [f32; 2])> = Vec::with_capacity(NEAREST);
        for candidate in found {
            if nearest.len() < NEAREST && nearest.iter().all(|(_, scene, _)| *scene != candidate.1) {
                nearest.push(candidate);
            }
        }
        let refined = nearest.into_par_iter().map(|start| self.refined(start, &values));
        let best = refined.min_by(|a, b| a.0.total_cmp(&b.0));
        best.map(|(_, scene)| scene).ok_or(EvaluationError::TooFew { what: "scenes", least: 1, found: 0 })
    }

    /// The least distance of a scene that is shifted further from where it is.
    fn refined(&self, (mut least, scene, mut shift): (f32, Scene, [f32; 2]), values: &[f32]) -> (f32, Scene) {
        for step in STEPS {
            for shifted in around(shift, [-step, 0.0, step]) {
                let distance = Candidate::new(scene, shifted, self.size).distance(values);
                if distance < least {
                    (least, shift) = (distance, shifted);
                }
            }
        }
        (least, scene)
    }
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
    /// A scene that was read from a picture.
    pub fn picture(wanted: Scene, found: Scene) -> Self {
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
    use ndarray::Array3;

    use super::*;

    /// A picture as a model may draw it: blurred, and with noise.
    fn worn(picture: &Array3<u8>, index: usize) -> Array3<u8> {
        let (_, height, width) = picture.dim();
        Array3::from_shape_fn(picture.dim(), |(channel, y, x)| {
            let mut sum = 0.0;
            for (dy, dx, weight) in [(0, 0, 0.6), (0, 1, 0.1), (1, 0, 0.1), (0, -1, 0.1), (-1, 0, 0.1)] {
                let at =
                    |place: usize, step: i32, side: usize| (place as i32 + step).clamp(0, side as i32 - 1) as usize;
                sum += weight * f32::from(picture[[channel, at(y, dy, height), at(x, dx, width)]]);
            }
            let noise = ((index * 7919 + channel * 104_729 + y * 1_299_709 + x * 15_485_863) % 41) as f32 - 20.0;
            (sum + noise).clamp(0.0, 255.0) as u8
        })
    }

    #[test]
    fn worn_pictures_of_every_scene_are_read_right() {
        let reader = SceneReader::new([32, 32]);
        let mut right = 0;
        for (index, scene) in Scene::all().enumerate().step_by(5) {
            let share = |k: usize| ((index * k) % 64) as f32 / 32.0 - 1.0;
            let jitter = Jitter { shift: [share(5) / 32.0, share(11) / 32.0], levels: [8.0, -8.0, 8.0] };
            let picture = worn(&render(scene, [32, 32], jitter), index);
            let found = reader.read(picture.view()).unwrap();
            right += usize::from(found == scene);
        }
        assert!(right as f64 >= 0.99 * 144.0, "{right} of 144");
        assert!(reader.read(Array3::zeros((3, 16, 32)).view()).is_err());
    }

    #[test]
    fn every_attribute_is_scored_by_itself() {
        let scenes: Vec<Scene> = Scene::all().collect();
        let (wanted, other) = (scenes[0], scenes[1]);
        let judged = [Judged::picture(wanted, wanted), Judged::picture(wanted, other)];
        let score = SceneScore::of(&judged);
        // Neighbours in the list differ in their place alone.
        let shares: Vec<f64> = score.attributes.iter().map(|(_, share, _)| share.share).collect();
        assert_eq!(shares, [1.0, 1.0, 1.0, 1.0, 0.5]);
        assert_eq!(score.all.hits, 1);
        assert!((score.chance_of_all - 1.0 / 720.0).abs() < 1e-12);
        assert_eq!(Judged::caption(wanted, &wanted.caption()), judged[0]);
        assert_ne!(Judged::caption(wanted, "nothing"), judged[0]);
    }
}
