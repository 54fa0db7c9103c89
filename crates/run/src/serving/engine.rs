//! A trained model as the engine of the server: what it is asked for goes to `interfuse_sampling`, a batch at a time.

use std::ops::ControlFlow;

use interfuse_data::Image;
use interfuse_sampling::{
    ImageRequest, SamplingConfig, SamplingError, Watcher, caption, fits, generate_watched, write,
};
use interfuse_serve::engine::{
    Abilities, Caption, CaptionSettings, Defaults, Description, Document, DrawSettings, Drawing, Engine, EngineError,
    ImageFormat, LatentKind, Observer, Piece, Raster, Results, WriteSettings, Writing,
};
use ndarray::Array3;

use crate::loaded_run::LoadedRun;

/// A model with its usual settings of sampling.
pub struct ModelEngine {
    run: LoadedRun,
    sampling: SamplingConfig,
    id: String,
}

impl ModelEngine {
    /// Of a loaded run; clients ask for it by the name of its folder.
    pub fn new(run: LoadedRun) -> Self {
        let name = run.folder().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // Names in requests are visible ASCII.
        let visible: String = name.chars().filter(char::is_ascii_graphic).take(200).collect();
        let id = if visible.is_empty() { "interfuse".into() } else { visible };
        Self { sampling: run.sampling(), run, id }
    }

    fn with(&self, settings: &DrawSettings) -> SamplingConfig {
        SamplingConfig { steps: settings.steps, guidance: settings.guidance, ..self.sampling.clone() }
    }
}

impl Engine for ModelEngine {
    fn description(&self) -> Description {
        let card = &self.run.pretrained.card;
        let [channels, height, width] = card.image_shape.map(|size| size as u32);
        let draws = card.images.is_some();
        let latents = match (card.codes.is_some(), card.codec.vae().is_some()) {
            (true, _) => LatentKind::Codes,
            (false, true) => LatentKind::Continuous,
            (false, false) => LatentKind::Pixels,
        };
        Description {
            id: self.id.clone(),
            image: ImageFormat { width, height, channels: if channels == 1 { 1 } else { 3 } },
            latents,
            defaults: Defaults { steps: self.sampling.steps, guidance: self.sampling.guidance },
            abilities: Abilities { draws, captions: draws, writes: true, continues: false, edits: false },
        }
    }

    fn draw(&mut self, drawings: &[Drawing], settings: &DrawSettings, observer: &mut dyn Observer) -> Results<Raster> {
        let pretrained = &self.run.pretrained;
        let too_long = |drawing: &Drawing| !fits(pretrained, &drawing.prompt);
        // One prompt that does not fit must not fail the others.
        let items: Vec<usize> =
            (0..drawings.len()).filter(|&item| !too_long(&drawings[item]) && observer.is_wanted(item)).collect();
        let of = |item: &usize| ImageRequest { prompt: drawings[*item].prompt.clone(), seed: drawings[*item].seed };
        let requests: Vec<ImageRequest> = items.iter().map(of).collect();
        let generated = match requests.is_empty() {
            true => Ok(Some(vec![])),
            false => {
                let mut watching = Watching { observer, items: &items };
                generate_watched(pretrained, &requests, &self.with(settings), &mut watching)
            }
        };
        let mut results: Results<Raster> = drawings
            .iter()
            .map(|drawing| match too_long(drawing) {
                true => Err(EngineError::Refused(format!(
                    "the prompt is too long: this model was trained on texts of at most {} tokens, markers included",
                    pretrained.card.max_text_rows
                ))),
                false => Err(EngineError::Stopped),
            })
            .collect();
        match generated {
            Ok(Some(images)) => {
                for (item, image) in items.into_iter().zip(images) {
                    results[item] = raster(&image);
                }
            }
            Ok(None) => {}
            Err(error) => items.into_iter().for_each(|item| results[item] = Err(refused(&error))),
        }
        results
    }

    fn caption(
        &mut self,
        images: &[Raster],
        settings: &CaptionSettings,
        observer: &mut dyn Observer,
    ) -> Results<Caption> {
        let pretrained = &self.run.pretrained;
        let [_, height, width] = pretrained.card.image_shape;
        let fitted = |raster: &Raster| {
            image(raster).and_then(|image| {
                image.fitted([height, width]).map_err(|error| EngineError::Refused(error.to_string()))
            })
        };
        if observer.goes_on().is_break() {
            return images.iter().map(|_| Err(EngineError::Stopped)).collect();
        }
        let images: Vec<Result<Image, EngineError>> = images.iter().map(fitted).collect();
        let good: Vec<Image> = images.iter().filter_map(|image| image.as_ref().ok().cloned()).collect();
        let max_caption_tokens = settings.max_tokens.or(self.sampling.max_caption_tokens);
        let config = SamplingConfig { max_caption_tokens, ..self.sampling.clone() };
        let mut written = match caption(pretrained, &good, &config, &mut |_| {}) {
            Ok(captions) => captions.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => good.iter().map(|_| Err(refused(&error))).collect(),
        }
        .into_iter();
        let mut next = || written.next().unwrap_or(Err(EngineError::Stopped));
        let of = |image: Result<Image, EngineError>| {
            image?;
            next().map(|caption| Caption { text: caption.text, is_cut: caption.cut_at.is_some() })
        };
        images.into_iter().map(of).collect()
    }

    fn write(
        &mut self,
        writings: &[Writing],
        settings: &WriteSettings,
        observer: &mut dyn Observer,
    ) -> Results<Document> {
        if observer.goes_on().is_break() {
            return writings.iter().map(|_| Err(EngineError::Stopped)).collect();
        }
        let seeds: Vec<u64> = writings.iter().map(|writing| writing.seed).collect();
        let config = SamplingConfig {
            temperature: settings.temperature.unwrap_or(self.sampling.temperature),
            top_p: settings.top_p.unwrap_or(self.sampling.top_p),
            max_tokens: settings.max_tokens.unwrap_or(self.sampling.max_tokens),
            ..self.with(&settings.images)
        };
        match write(&self.run.pretrained, &seeds, &config) {
            Ok(documents) => documents.into_iter().map(document).collect(),
            Err(error) => seeds.iter().map(|_| Err(refused(&error))).collect(),
        }
    }
}

/// What the server hears of the denoise loop.
struct Watching<'a, 'o> {
    observer: &'a mut (dyn Observer + 'o),
    /// Of each image of the loop, which item of the batch it is.
    items: &'a [usize],
}

impl Watcher for Watching<'_, '_> {
    fn stepped(&mut self, done: usize, of: usize, look: &mut dyn FnMut(usize) -> Option<Image>) -> ControlFlow<()> {
        let items = self.items;
        let mut of_item = |item: usize| {
            let place = items.iter().position(|known| *known == item)?;
            raster(&look(place)?).ok()
        };
        self.observer.stepped(done, of, &mut of_item)
    }
}

fn document(pieces: Vec<interfuse_sampling::Piece>) -> Result<Document, EngineError> {
    let mut written = vec![];
    for piece in pieces {
        match piece {
            interfuse_sampling::Piece::Text(text) => written.push(Piece::Text(text)),
            interfuse_sampling::Piece::Image(image) => written.push(Piece::Image(raster(&image)?)),
            // The interface has words and images.
            interfuse_sampling::Piece::Speech(units) => {
                written.push(Piece::Text(format!("[{} units of speech]", units.len())))
            }
        }
    }
    Ok(Document { pieces: written, is_cut: false })
}

fn refused(error: &SamplingError) -> EngineError {
    match error {
        SamplingError::PromptTooLong { .. } | SamplingError::CannotDo { .. } | SamplingError::Setting { .. } => {
            EngineError::Refused(error.to_string())
        }
        other => EngineError::Failed(other.to_string()),
    }
}

/// Channels first to channels last.
fn raster(image: &Image) -> Result<Raster, EngineError> {
    let shape = image.shape();
    let pixels = image.pixels().permuted_axes([1, 2, 0]).iter().copied().collect();
    Raster::new(shape.width as u32, shape.height as u32, shape.channels as u8, pixels)
        .map_err(|error| EngineError::Failed(error.to_string()))
}

/// Channels last to channels first.
fn image(raster: &Raster) -> Result<Image, EngineError> {
    let [width, channels] = [raster.width() as usize, raster.channels() as usize];
    let pixels = raster.pixels();
    let of = |(c, y, x): (usize, usize, usize)| pixels.get((y * width + x) * channels + c).copied().unwrap_or_default();
    let array = Array3::from_shape_fn((channels, raster.height() as usize, width), of);
    Image::new(array).map_err(|error| EngineError::Refused(error.to_string()))
}
