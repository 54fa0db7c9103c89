//! What is known before anything is chosen.

use std::path::PathBuf;

use burn::tensor::Device;
use interfuse_data::sources::KEPT_BYTES;
use interfuse_data::survey::Survey;

use super::recipe::Recipe;
use crate::error::{Result, refuse, require};
use crate::memory;

/// The largest side, as `data.image_size` has it.
const LARGEST_SIDE: usize = 4096;
/// The most patches of an image: attention over more takes most of a step.
pub(super) const MOST_PATCHES: usize = 1024;
/// The largest patch in pixels; larger ones show grain (LOG.md, emoji of 64 × 64).
const LARGEST_PATCH: usize = 16;
/// The shortest and longest training that is planned: a minute's twentieth, and four weeks.
const MINUTES: (f64, f64) = (0.05, 40_320.0);
/// Short side of images in pixels where nothing else is asked for: that of the quickstart.
const USUAL_SIDE: usize = 32;
/// The same where there are [`LONG`] minutes or more.
const LARGE_SIDE: usize = 64;
/// Minutes from which larger images are proposed: those of 64 × 64 took the presets 11 minutes with one patch in 16 × 16.
const LONG: f64 = 30.0;
/// The longest image that is proposed, in short sides.
const LONGEST_ASPECT: f64 = 2.0;

/// Height and width in pixels that every image is brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
}

/// What somebody wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Wishes {
    /// The folder of images, as it is named in the configuration.
    pub images: PathBuf,
    /// The size of the images.
    pub size: Size,
    /// How many minutes training may take.
    pub minutes: f64,
    /// The run folder.
    pub dir: PathBuf,
    /// `auto`, `cpu`, `wgpu`, `wgpu:N`, `cuda` or `cuda:N`.
    pub device: String,
}

/// What the rules know of data, wishes and machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// What somebody wants.
    pub wishes: Wishes,
    /// The data.
    pub survey: Survey,
    /// Bytes that training may take; unknown means without a limit.
    pub memory: Option<usize>,
    /// Micro-batches that are computed at once: cores of a CPU, 1 on a GPU.
    pub at_once: usize,
}

impl Size {
    /// Reads `32`, a square, or height and width as in `48x64`.
    ///
    /// # Errors
    /// When it is neither, a side is not from 1 to 4096, or no patch divides both sides into few enough patches.
    pub fn parse(text: &str) -> Result<Self> {
        let sides: Vec<Option<usize>> = text.split(['x', 'X', '×']).map(|side| side.trim().parse().ok()).collect();
        let size = match sides[..] {
            [Some(side)] => Self { height: side, width: side },
            [Some(height), Some(width)] => Self { height, width },
            _ => refuse!("--size: expected a side such as 32, or height and width such as 48x64, found {text:?}"),
        };
        let sides = [size.height, size.width];
        require!(
            sides.iter().all(|side| (1..=LARGEST_SIDE).contains(side)),
            "--size: expected height and width from 1 to {LARGEST_SIDE} pixels, found {text}"
        );
        if size.patches().is_empty() {
            let near = size.near();
            refuse!(
                "--size: expected a height and width with a common divisor of at most 16 that cuts an image into at most \
                 {MOST_PATCHES} patches, found {text}; {near} is near, and less is quicker"
            );
        }
        Ok(size)
    }

    /// A size that patches of 16 pixels cut into few enough.
    fn near(self) -> Self {
        let most = (MOST_PATCHES * LARGEST_PATCH * LARGEST_PATCH) as f64;
        let shrunk = (most / (self.height * self.width) as f64).sqrt().min(1.0);
        let near = |side: usize| {
            let patches = (side as f64 * shrunk) as usize / LARGEST_PATCH;
            LARGEST_PATCH * patches.max(1)
        };
        Self { height: near(self.height), width: near(self.width) }
    }

    /// The sides of square patches that divide the image into few enough patches, largest first.
    pub(super) fn patches(self) -> Vec<usize> {
        let fits = |&patch: &usize| {
            self.height.is_multiple_of(patch)
                && self.width.is_multiple_of(patch)
                && self.patches_of(patch) <= MOST_PATCHES
        };
        (1..=LARGEST_PATCH).rev().filter(fits).collect()
    }

    /// How many patches of a side an image has.
    pub(super) fn patches_of(self, patch: usize) -> usize {
        (self.height / patch) * (self.width / patch)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

/// The size that is proposed: the images' own where they are all alike and small, else one of their shape with a short side of
/// 32 pixels, or of 64 where there is time.
pub fn default_size(survey: &Survey, minutes: Option<f64>) -> Size {
    let side = if minutes.is_some_and(|minutes| minutes >= LONG) { LARGE_SIDE } else { USUAL_SIDE };
    let (height, width) = (survey.height, survey.width);
    let own = Size { height: height.median, width: width.median };
    let is_one = height.min == height.max && width.min == width.max;
    if is_one && own.height.max(own.width) <= side && own.patches().iter().any(|&patch| patch > 1) {
        return own;
    }
    // Images are cropped at their centre, so a shape that is nearly square costs little as a square.
    let long = |aspect: f64| {
        let long = side as f64 * aspect.min(LONGEST_ASPECT);
        ((long / 8.0).round() as usize * 8).max(side)
    };
    Size { height: long(1.0 / survey.aspect), width: long(survey.aspect) }
}

impl Facts {
    /// Of data, wishes and this machine. `memory` are the GiB that training may take; three quarters of what is free where the
    /// device is the CPU, and as much as there is on a GPU, if absent.
    ///
    /// # Errors
    /// When there is no such device, or a wish is out of its range.
    pub fn of(wishes: Wishes, survey: Survey, memory: Option<f64>) -> Result<Self> {
        let on_cpu = crate::device::open(&wishes.device)? == Device::flex();
        if let Some(gib) = memory {
            require!(gib > 0.0 && gib.is_finite(), "--memory: expected a number of GiB above 0, found {gib}");
        }
        let free = || memory::free().filter(|_| on_cpu).map(|bytes| bytes / 4 * 3);
        let at_once = if on_cpu { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 };
        let memory = memory.map(|gib| (gib * f64::from(1 << 30)) as usize).or_else(free);
        let facts = Self { wishes, survey, memory, at_once };
        facts.validate()?;
        Ok(facts)
    }

    /// Checks what somebody wants.
    ///
    /// # Errors
    /// When the minutes are out of their range.
    pub fn validate(&self) -> Result<()> {
        let (least, most) = MINUTES;
        let minutes = self.wishes.minutes;
        require!(
            (least..=most).contains(&minutes),
            "--minutes: expected a number from {least} to {most}, found {minutes}"
        );
        Ok(())
    }

    /// 1 where no image that was opened has colour, else 3.
    pub fn channels(&self) -> usize {
        if self.survey.coloured == 0 { 1 } else { 3 }
    }

    /// Which of the kinds of data that presets were tuned on this is most like.
    pub fn recipe(&self) -> Recipe {
        Recipe::of(self.survey.images, self.survey.captions.distinct)
    }

    /// The fraction that is held out: none of a few images, 5 % of most sets, and no more than a thousand.
    pub fn held_out(&self) -> f64 {
        match self.survey.images {
            0..40 => 0.0,
            40..=20_000 => 0.05,
            images => 1000.0 / images as f64,
        }
    }

    /// Images that are trained on.
    pub fn trained_on(&self) -> usize {
        let images = self.survey.images as f64 * (1.0 - self.held_out());
        (images as usize).max(1)
    }

    /// Ids of the tokenizer: as many as let the words that come up often have one each.
    pub fn vocab_size(&self) -> usize {
        match self.survey.captions.distinct_words {
            0..=32 => 300,
            33..=1_000 => 512,
            1_001..=4_000 => 1024,
            4_001..=16_000 => 2048,
            16_001..=64_000 => 4096,
            _ => 8192,
        }
    }

    /// Tokens of a caption, the mean, before there is a tokenizer: three for two words, or one for four bytes where words are long
    /// or not set apart by blanks.
    pub fn tokens(&self) -> f64 {
        let captions = &self.survey.captions;
        f64::max(1.5 * captions.words, captions.bytes / 4.0).clamp(1.0, 256.0)
    }

    /// Tokens of the longest caption, likewise; longer ones are cut.
    pub(super) fn longest_tokens(&self) -> usize {
        (self.survey.captions.longest / 2).clamp(1, 256)
    }

    /// Seconds of reading images before all of them are kept in memory, and seconds of reading for each document where they
    /// are too many to keep.
    pub fn reading_seconds(&self) -> (f64, f64) {
        let Size { height, width } = self.wishes.size;
        let bytes = self.trained_on().saturating_mul(self.channels() * height * width);
        let seconds = self.survey.seconds_per_image;
        match bytes <= KEPT_BYTES {
            true => (seconds * self.trained_on() as f64, 0.0),
            false => (0.0, seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::facts;
    use super::*;

    #[test]
    fn sizes_are_read_and_nonsense_is_named() {
        assert_eq!(Size::parse("32").unwrap(), Size { height: 32, width: 32 });
        assert_eq!(Size::parse("8x16").unwrap(), Size { height: 8, width: 16 });
        assert_eq!(Size::parse("48 × 64").unwrap(), Size { height: 48, width: 64 });
        for text in ["", "x", "0x8", "wide", "32x", "1x2x3", "-4", "5000", "257x263", "4096"] {
            let message = Size::parse(text).unwrap_err().to_string();
            assert!(message.starts_with("--size: expected"), "{text}: {message}");
        }
        assert!(Size::parse("257x263").unwrap_err().to_string().contains("256x256"));
    }

    #[test]
    fn a_size_is_proposed_of_the_images_own_shape() {
        let size = |height: usize, width: usize, minutes| {
            let survey = facts(|facts| {
                let sides = |side| interfuse_data::survey::Sides { min: side, median: side, max: side };
                facts.survey.height = sides(height);
                facts.survey.width = sides(width);
                facts.survey.aspect = width as f64 / height as f64;
            })
            .survey;
            default_size(&survey, minutes).to_string()
        };
        assert_eq!(size(28, 28, None), "28x28");
        assert_eq!(size(8, 16, None), "8x16");
        assert_eq!(size(480, 640, None), "32x40");
        assert_eq!(size(640, 480, Some(60.0)), "88x64");
        assert_eq!(size(100, 1000, Some(5.0)), "32x64");
        // No patch but a pixel divides these.
        assert_eq!(size(31, 17, None), "56x32");
    }

    #[test]
    fn little_is_held_out_and_the_vocabulary_grows_with_the_words() {
        let held_out = |images| facts(|facts| facts.survey.images = images).held_out();
        assert_eq!((held_out(8), held_out(300), held_out(100_000)), (0.0, 0.05, 0.01));
        let ids = |words| facts(|facts| facts.survey.captions.distinct_words = words).vocab_size();
        assert_eq!((ids(8), ids(400), ids(5_000), ids(1_000_000)), (300, 512, 2048, 8192));
        assert_eq!(facts(|facts| facts.survey.coloured = 0).channels(), 1);
    }

    #[test]
    fn minutes_out_of_range_are_named() {
        for minutes in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            let message = facts(|facts| facts.wishes.minutes = minutes).validate().unwrap_err().to_string();
            assert!(message.starts_with("--minutes: expected"), "{message}");
        }
    }
}
