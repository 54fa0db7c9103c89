//! A model that is none: it draws what it is told by arithmetic, so that the server can be seen and tested without one.
//!
//! Its images are hills of colour that follow from the prompt and the seed; a denoising step mixes less noise into them. It reads
//! the main colour of an image as its caption.

use std::ops::ControlFlow;
use std::time::Duration;

use interfuse_serve::engine::{
    Abilities, Caption, CaptionSettings, Defaults, Description, Document, DrawSettings, Drawing, Edit, Engine,
    EngineError, ImageFormat, ImageSize, LatentKind, Observer, Piece, Question, Raster, Results, WriteSettings,
    Writing,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Settings of the model that is none.
#[derive(Debug, Clone)]
pub(crate) struct Toy {
    /// Pixels to either side.
    pub(crate) size: u32,
    /// How long a denoising step takes.
    pub(crate) step: Duration,
    /// How long a word takes.
    pub(crate) word: Duration,
    /// What it admits that it can do.
    pub(crate) abilities: Abilities,
}

impl Toy {
    /// Can do everything, at once.
    pub(crate) fn quick(size: u32) -> Self {
        let abilities =
            Abilities { draws: true, captions: true, answers: true, writes: true, continues: true, edits: true };
        Self { size, step: Duration::ZERO, word: Duration::ZERO, abilities }
    }

    /// The size that is asked for.
    fn size(&self, settings: &DrawSettings) -> ImageSize {
        settings.size.unwrap_or(ImageSize { width: self.size, height: self.size })
    }

    fn denoise(
        &self,
        targets: &[[Vec<f32>; 2]],
        settings: &DrawSettings,
        observer: &mut dyn Observer,
    ) -> Results<Raster> {
        let (steps, size) = (settings.steps, self.size(settings));
        let at = |item: usize, done: usize| {
            let t = done as f32 / steps as f32;
            let [noise, target] = &targets[item];
            let mixed = noise.iter().zip(target).map(|(noise, target)| noise * (1.0 - t) + target * t);
            raster(size, mixed)
        };
        for done in 1..=steps {
            std::thread::sleep(self.step);
            if observer.stepped(done, steps, &mut |item| Some(at(item, done))).is_break() {
                return targets.iter().map(|_| Err(EngineError::Stopped)).collect();
            }
        }
        (0..targets.len()).map(|item| Ok(at(item, steps))).collect()
    }

    fn target(&self, prompt: &str, seed: u64, settings: &DrawSettings) -> [Vec<f32>; 2] {
        let ImageSize { width, height } = self.size(settings);
        let mut noise = generator(&[], seed);
        let mut ground = generator(prompt.as_bytes(), 0);
        let count = (width * height * 3) as usize;
        let noise: Vec<f32> = (0..count).map(|_| noise.random::<f32>() * 1.6 - 0.3).collect();
        let [low, high, sun]: [[f32; 3]; 3] = std::array::from_fn(|_| std::array::from_fn(|_| ground.random()));
        let mut place = generator(prompt.as_bytes(), seed);
        let hills: [[f32; 3]; 5] = std::array::from_fn(|_| [place.random(), place.random(), place.random()]);
        let contrast = (settings.guidance as f32).clamp(0.0, 8.0) * 0.25 + 0.5;
        let mut target = Vec::with_capacity(count);
        for y in 0..height {
            for x in 0..width {
                let [x, y] = [x, y].map(|at| (at as f32 + 0.5) / height as f32);
                let [from_sun_x, from_sun_y] = [x - 0.2 - 0.6 * hills[0][0], y - 0.15 - 0.2 * hills[0][1]];
                let glow = (-(from_sun_x.powi(2) + from_sun_y.powi(2)) * 60.0).exp();
                let mut shade = y * 0.35;
                for (layer, [phase, height, speed]) in hills.iter().enumerate() {
                    let wave = (x * (3.0 + 5.0 * speed) + phase * 6.0).sin() * 0.07 * (0.4 + height);
                    let ridge = 0.42 + 0.11 * layer as f32 + wave;
                    if y > ridge {
                        shade = 0.35 + 0.16 * layer as f32 - (y - ridge) * 0.25;
                    }
                }
                for channel in 0..3 {
                    let colour = high[channel] * (1.0 - shade) + low[channel] * shade;
                    let lit = colour + (sun[channel] * 0.5 + 0.5 - colour) * glow;
                    target.push((lit - 0.5) * contrast + 0.5);
                }
            }
        }
        [noise, target]
    }
}

/// Numbers that follow from words and a seed.
fn generator(words: &[u8], seed: u64) -> ChaCha8Rng {
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    ChaCha8Rng::seed_from_u64(words.iter().fold(0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9), hash))
}

fn raster(size: ImageSize, values: impl Iterator<Item = f32>) -> Raster {
    let pixels = values.map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8).collect();
    Raster::new(size.width, size.height, 3, pixels).expect("the size fits")
}

fn colour_of(image: &Raster) -> &'static str {
    let count = (image.pixels().len() / 3).max(1) as u64;
    let mean: [u64; 3] = std::array::from_fn(|channel| {
        image.pixels().iter().skip(channel).step_by(3).map(|value| u64::from(*value)).sum::<u64>() / count
    });
    let [r, g, b] = mean;
    match (r.max(g).max(b), r.min(g).min(b)) {
        (high, low) if high - low < 24 => ["dark", "grey", "bright"][(high / 86) as usize],
        (high, _) if high == r => "red",
        (high, _) if high == g => "green",
        _ => "blue",
    }
}

impl Engine for Toy {
    fn description(&self) -> Description {
        Description {
            id: "toy-hills".into(),
            image: ImageFormat { width: self.size, height: self.size, channels: 3 },
            sizes: vec![ImageSize { width: 2 * self.size, height: self.size }],
            latents: LatentKind::Pixels,
            defaults: Defaults { steps: 24, guidance: 2.0 },
            abilities: self.abilities,
        }
    }

    fn draw(&mut self, drawings: &[Drawing], settings: &DrawSettings, observer: &mut dyn Observer) -> Results<Raster> {
        if drawings.iter().any(|drawing| drawing.prompt == "panic") {
            panic!("as the prompt says");
        }
        let targets: Vec<_> =
            drawings.iter().map(|Drawing { prompt, seed }| self.target(prompt, *seed, settings)).collect();
        let mut images = self.denoise(&targets, settings, observer);
        for (image, drawing) in images.iter_mut().zip(drawings) {
            let words = drawing.prompt.split_whitespace().count();
            if words > 40 {
                *image = Err(EngineError::Refused(format!("prompt: expected at most 40 words, found {words}")));
            }
        }
        images
    }

    fn caption(
        &mut self,
        images: &[Raster],
        settings: &CaptionSettings,
        observer: &mut dyn Observer,
    ) -> Results<Caption> {
        let sentence = |image: &Raster| {
            let size = format!("{} by {} pixels", image.width(), image.height());
            format!("a {} image of {size}, calm and wide, with hills that may or may not be there", colour_of(image))
        };
        let limit = settings.max_tokens.unwrap_or(64);
        let mut captions: Vec<(String, bool)> = images.iter().map(|_| (String::new(), false)).collect();
        let words: Vec<Vec<String>> =
            images.iter().map(|image| sentence(image).split_inclusive(' ').map(String::from).collect()).collect();
        for position in 0..words.iter().map(Vec::len).max().unwrap_or(0) {
            std::thread::sleep(self.word);
            for (item, (text, is_cut)) in captions.iter_mut().enumerate() {
                let Some(word) = words[item].get(position) else { continue };
                if position >= limit {
                    *is_cut = true;
                } else {
                    text.push_str(word);
                    if observer.wrote(item, word) == ControlFlow::Break(()) {
                        return images.iter().map(|_| Err(EngineError::Stopped)).collect();
                    }
                }
            }
        }
        captions.into_iter().map(|(text, is_cut)| Ok(Caption { text, is_cut })).collect()
    }

    fn answer(&mut self, questions: &[Question], _: &CaptionSettings, _: &mut dyn Observer) -> Results<Caption> {
        let of_piece = |piece: &Piece| match piece {
            Piece::Text(words) => words.clone(),
            Piece::Image(image) => colour_of(image).to_string(),
            _ => String::new(),
        };
        let of_turn = |turn: &Vec<Piece>| turn.iter().map(of_piece).collect::<Vec<_>>().join(" ");
        let of = |Question { turns }: &Question| {
            Ok(Caption { text: turns.iter().map(of_turn).collect::<Vec<_>>().join(" / "), is_cut: false })
        };
        questions.iter().map(of).collect()
    }

    fn write(
        &mut self,
        writings: &[Writing],
        settings: &WriteSettings,
        observer: &mut dyn Observer,
    ) -> Results<Document> {
        let mut documents = vec![];
        for (item, writing) in writings.iter().enumerate() {
            let beginning = writing.beginning.iter().filter_map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                _ => None,
            });
            let prompt = beginning.collect::<Vec<_>>().join(" ");
            let words = ["Behind the hills", "there is a sea,", "and it looks like this:"];
            for (position, words) in words.iter().enumerate() {
                std::thread::sleep(self.word);
                let _ = observer.wrote(item, if position == 0 { "" } else { " " });
                let _ = observer.wrote(item, words);
            }
            let [_, target] = self.target(&prompt, writing.seed, &settings.images);
            let image = raster(self.size(&settings.images), target.into_iter());
            let _ = observer.drew(item, &image);
            let pieces = vec![
                Piece::Text(words.join(" ")),
                Piece::Image(image),
                Piece::Text("It is the colour of its words.".into()),
            ];
            documents.push(Ok(Document { pieces, is_cut: false }));
        }
        documents
    }

    fn edit(&mut self, edits: &[Edit], settings: &DrawSettings, observer: &mut dyn Observer) -> Results<Raster> {
        let targets: Vec<_> = edits
            .iter()
            .map(|edit| {
                let [noise, mut target] = self.target(&edit.prompt, edit.seed, settings);
                let Edit { image, mask, .. } = edit;
                for (index, value) in target.iter_mut().enumerate() {
                    let (pixel, channel) = (index as u32 / 3, index % 3);
                    let [x, y] = [pixel % self.size, pixel / self.size];
                    let [x, y] = [x * image.width() / self.size, y * image.height() / self.size];
                    let place = (y * image.width() + x) as usize;
                    let share = mask.as_ref().map_or(0.5, |mask| f32::from(mask.pixels()[place]) / 255.0);
                    let before = f32::from(image.pixels()[place * 3 + channel]) / 255.0;
                    *value = *value * share + before * (1.0 - share);
                }
                [noise, target]
            })
            .collect();
        self.denoise(&targets, settings, observer)
    }
}
