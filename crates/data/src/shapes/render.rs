//! A scene as a picture, with smooth edges.

use ndarray::Array3;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::scene::{Colour, Count, Place, Scene, Shape, Size};

/// Samples of a pixel along one axis.
const SAMPLES: usize = 4;
/// Level of the background.
const BACKGROUND: f32 = 255.0;

/// What differs between two pictures of one scene.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Jitter {
    /// Shift down and to the right, in shares of the picture's sides.
    pub shift: [f32; 2],
    /// What the colour's levels are moved by.
    pub levels: [f32; 3],
}

impl Jitter {
    /// The jitter of a number, the same each time.
    pub fn of(number: u64) -> Self {
        Self::draw(&mut ChaCha8Rng::seed_from_u64(number))
    }

    /// Up to a thirty-second of the picture, and up to 12 levels.
    pub(super) fn draw(rng: &mut ChaCha8Rng) -> Self {
        let mut number = || (rng.next_u32() >> 8) as f32 / (1u32 << 23) as f32 - 1.0;
        Self { shift: [number() / 32.0, number() / 32.0], levels: [number(), number(), number()].map(|x| x * 12.0) }
    }
}

/// The picture of a scene, `[3, height, width]`.
pub fn render(scene: Scene, [height, width]: [usize; 2], jitter: Jitter) -> Array3<u8> {
    let centres = centres(scene, jitter);
    let colour = levels(scene.colour);
    let covered = |y: usize, x: usize| {
        let mut inside = 0;
        for i in 0..SAMPLES * SAMPLES {
            let [dy, dx] = [i / SAMPLES, i % SAMPLES].map(|k| (k as f32 + 0.5) / SAMPLES as f32);
            let point = [(y as f32 + dy) / height as f32, (x as f32 + dx) / width as f32];
            inside += usize::from(centres.iter().any(|&centre| is_inside(scene, point, centre)));
        }
        inside as f32 / (SAMPLES * SAMPLES) as f32
    };
    let mut pixels = Array3::zeros((3, height, width));
    for y in 0..height {
        for x in 0..width {
            let share = covered(y, x);
            for channel in 0..3 {
                let level = (colour[channel] + jitter.levels[channel]).clamp(0.0, 255.0);
                pixels[[channel, y, x]] = (BACKGROUND + (level - BACKGROUND) * share).round() as u8;
            }
        }
    }
    pixels
}

/// Red, green and blue.
fn levels(colour: Colour) -> [f32; 3] {
    match colour {
        Colour::Red => [215.0, 40.0, 40.0],
        Colour::Green => [40.0, 160.0, 60.0],
        Colour::Blue => [45.0, 75.0, 215.0],
        Colour::Yellow => [235.0, 205.0, 40.0],
        Colour::Purple => [150.0, 55.0, 175.0],
        Colour::Black => [30.0, 30.0, 30.0],
    }
}

/// Half the height of a shape, in shares of the picture.
fn radius(size: Size) -> f32 {
    match size {
        Size::Small => 0.075,
        Size::Large => 0.12,
    }
}

/// The shapes' centres, in shares of the picture.
fn centres(scene: Scene, jitter: Jitter) -> Vec<[f32; 2]> {
    let [y, x] = match scene.place {
        Place::Middle => [0.5, 0.5],
        Place::TopLeft => [0.27, 0.27],
        Place::TopRight => [0.27, 0.73],
        Place::BottomLeft => [0.73, 0.27],
        Place::BottomRight => [0.73, 0.73],
    };
    const APART: f32 = 0.125;
    let offsets: &[[f32; 2]] = match scene.count {
        Count::One => &[[0.0, 0.0]],
        Count::Two => &[[0.0, -APART], [0.0, APART]],
        Count::Three => &[[-APART, -APART], [-APART, APART], [APART, 0.0]],
    };
    let [down, right] = jitter.shift;
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
