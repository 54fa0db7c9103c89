//! A scene as an image, with smooth edges.

use ndarray::{Array2, Array3};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::scene::{Colour, Count, Place, Scene, Shape, Size};

/// Samples of a pixel along one axis.
const SAMPLES: usize = 4;
/// Level of the background, in all channels.
pub const BACKGROUND: f32 = 255.0;

/// What differs between two images of one scene.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Jitter {
    /// Shift down and to the right, in fractions of the image's sides.
    pub shift: [f32; 2],
    /// What the colour's levels are moved by.
    pub levels: [f32; 3],
}

impl Jitter {
    /// The jitter of a number, the same each time.
    pub fn of(number: u64) -> Self {
        Self::draw(&mut ChaCha8Rng::seed_from_u64(number))
    }

    /// Up to a thirty-second of the image, and up to 12 levels.
    pub(super) fn draw(rng: &mut ChaCha8Rng) -> Self {
        let mut number = || (rng.next_u32() >> 8) as f32 / (1u32 << 23) as f32 - 1.0;
        Self { shift: [number() / 32.0, number() / 32.0], levels: [number(), number(), number()].map(|x| x * 12.0) }
    }
}

/// The image of a scene, `[3, height, width]`.
pub fn render(scene: Scene, [height, width]: [usize; 2], jitter: Jitter) -> Array3<u8> {
    let fraction = coverage(scene, [height, width], jitter.shift);
    let colour = scene.colour.levels();
    Array3::from_shape_fn((3, height, width), |(channel, y, x)| {
        let level = (colour[channel] + jitter.levels[channel]).clamp(0.0, 255.0);
        (BACKGROUND + (level - BACKGROUND) * fraction[[y, x]]).round() as u8
    })
}

/// What fraction of every pixel the shapes cover, from 0 to 1, `[height, width]`; `shift` as in [`Jitter`].
pub fn coverage(scene: Scene, [height, width]: [usize; 2], shift: [f32; 2]) -> Array2<f32> {
    let centres = centres(scene, shift);
    // No shape reaches further than this from its centre, along either axis.
    let reach = 1.1 * radius(scene.size);
    let near = |point: f32, side: usize, axis: usize| {
        centres.iter().any(|centre| (point - centre[axis]).abs() < reach + 1.0 / side as f32)
    };
    let [in_row, in_column] = [(height, 0), (width, 1)].map(|(side, axis)| -> Vec<bool> {
        (0..side).map(|place| near((place as f32 + 0.5) / side as f32, side, axis)).collect()
    });
    Array2::from_shape_fn((height, width), |(y, x)| {
        if !in_row[y] || !in_column[x] {
            return 0.0;
        }
        let mut inside = 0;
        for i in 0..SAMPLES * SAMPLES {
            let [dy, dx] = [i / SAMPLES, i % SAMPLES].map(|k| (k as f32 + 0.5) / SAMPLES as f32);
            let point = [(y as f32 + dy) / height as f32, (x as f32 + dx) / width as f32];
            inside += usize::from(centres.iter().any(|&centre| is_inside(scene, point, centre)));
        }
        inside as f32 / (SAMPLES * SAMPLES) as f32
    })
}

impl Colour {
    /// Red, green and blue, from 0 to 255.
    pub fn levels(self) -> [f32; 3] {
        match self {
            Self::Red => [215.0, 40.0, 40.0],
            Self::Green => [40.0, 160.0, 60.0],
            Self::Blue => [45.0, 75.0, 215.0],
            Self::Yellow => [235.0, 205.0, 40.0],
            Self::Purple => [150.0, 55.0, 175.0],
            Self::Black => [30.0, 30.0, 30.0],
        }
    }
}

/// Half the height of a shape, in fractions of the image.
fn radius(size: Size) -> f32 {
    match size {
        Size::Small => 0.09,
        Size::Large => 0.13,
    }
}

/// The shapes' centres, in fractions of the image.
fn centres(scene: Scene, [down, right]: [f32; 2]) -> Vec<[f32; 2]> {
    let [y, x] = match scene.place {
        Place::Middle => [0.5, 0.5],
        Place::TopLeft => [0.3, 0.3],
        Place::TopRight => [0.3, 0.7],
        Place::BottomLeft => [0.7, 0.3],
        Place::BottomRight => [0.7, 0.7],
    };
    const APART: f32 = 0.138;
    let offsets: &[[f32; 2]] = match scene.count {
        Count::One => &[[0.0, 0.0]],
        Count::Two => &[[0.0, -APART], [0.0, APART]],
        Count::Three => &[[-APART, -APART], [-APART, APART], [APART, 0.0]],
    };
    offsets.iter().map(|[dy, dx]| [y + dy + down, x + dx + right]).collect()
}

fn is_inside(scene: Scene, [y, x]: [f32; 2], [cy, cx]: [f32; 2]) -> bool {
    // In units of the radius; down is positive.
    let r = radius(scene.size);
    let [dy, dx] = [(y - cy) / r, (x - cx) / r];
    match scene.shape {
        Shape::Circle => dx * dx + dy * dy <= 1.0,
        Shape::Ring => (0.3..=1.0).contains(&(dx * dx + dy * dy)),
        Shape::Square => dx.abs().max(dy.abs()) <= 0.9,
        // The point is above; a side leans by half of the height.
        Shape::Triangle => (-1.0..=1.0).contains(&dy) && dx.abs() <= (dy + 1.0) / 2.0 * 1.1,
    }
}
