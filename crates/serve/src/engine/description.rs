//! What a model is and can do, in words and numbers that the page and the interface need.

use std::fmt;

use serde::Serialize;

use crate::error::ServeError;

/// What a model is and can do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    /// The name under which clients ask for it: 1 to 200 visible ASCII characters.
    pub id: String,
    /// The images that it draws where a request says nothing.
    pub image: ImageFormat,
    /// Sizes beside it that it draws when it is asked to.
    pub sizes: Vec<ImageSize>,
    /// What it denoises, if anything.
    pub latents: LatentKind,
    /// What holds where a request says nothing.
    pub defaults: Defaults,
    /// What it can do.
    pub abilities: Abilities,
}

/// The images of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ImageFormat {
    /// Width in pixels, from 1 to 8192.
    pub width: u32,
    /// Height in pixels, from 1 to 8192.
    pub height: u32,
    /// 1 for grey, 3 for colour.
    pub channels: u8,
}

/// A size of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ImageSize {
    /// Width in pixels, from 1 to 8192.
    pub width: u32,
    /// Height in pixels, from 1 to 8192.
    pub height: u32,
}

impl fmt::Display for ImageSize {
    /// `WIDTHxHEIGHT`, as requests name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// What an image is to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LatentKind {
    /// Pixels, which it denoises.
    Pixels,
    /// The latents of an autoencoder, which it denoises.
    Continuous,
    /// Codes, which it writes one after the other: there are no denoising steps to watch.
    Codes,
}

/// What holds where a request says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Defaults {
    /// Denoising steps, from 1.
    pub steps: usize,
    /// Scale of classifier-free guidance, from 0; 1 is the model as it is.
    pub guidance: f64,
}

/// What a model can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Abilities {
    /// Images of prompts.
    pub draws: bool,
    /// Captions of images.
    pub captions: bool,
    /// Answers to questions about an image.
    pub answers: bool,
    /// Documents of words and images, from nothing.
    pub writes: bool,
    /// The same after a given beginning; means little without `writes`.
    pub continues: bool,
    /// Images changed as a prompt says.
    pub edits: bool,
}

impl Description {
    /// Checks what the server relies on.
    pub(crate) fn validate(&self) -> Result<(), ServeError> {
        let setting =
            |key, expected: &str, found: String| Err(ServeError::Setting { key, expected: expected.into(), found });
        let visible = self.id.bytes().all(|byte| byte.is_ascii_graphic());
        if self.id.is_empty() || self.id.len() > 200 || !visible {
            return setting("model id", "1 to 200 visible ASCII characters", format!("{:?}", self.id));
        }
        let channels = self.image.channels;
        let fits = |size: &ImageSize| (1..=8192).contains(&size.width) && (1..=8192).contains(&size.height);
        if let Some(size) = std::iter::once(self.size()).chain(self.sizes.iter().copied()).find(|size| !fits(size)) {
            return setting("image size", "1 to 8192 pixels to either side", size.to_string());
        }
        if channels != 1 && channels != 3 {
            return setting("image channels", "1 or 3", channels.to_string());
        }
        if self.defaults.steps == 0 {
            return setting("default steps", "at least 1", "0".into());
        }
        let guidance = self.defaults.guidance;
        if !(guidance >= 0.0 && guidance.is_finite()) {
            return setting("default guidance", "a number from 0", guidance.to_string());
        }
        Ok(())
    }

    /// The size of images where a request says nothing.
    pub(crate) fn size(&self) -> ImageSize {
        ImageSize { width: self.image.width, height: self.image.height }
    }
}
