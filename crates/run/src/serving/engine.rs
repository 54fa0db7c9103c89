//! A trained model as the engine of the server: what it is asked for goes to `interfuse_sampling`, a batch at a time.

use std::ops::ControlFlow;

use interfuse_data::conversations::{Speaker, Turn, TurnPart};
use interfuse_data::{Framing, Image};
use interfuse_sampling::{
    EditRequest, ImageRequest, Listener, SamplingConfig, SamplingError, Watcher, answer_heard, caption_heard,
    edit_watched, fits, fits_beside_an_image, generate_watched, write,
};
use interfuse_serve::engine::{
    Abilities, Caption, CaptionSettings, Defaults, Description, Document, DrawSettings, Drawing, Edit, Engine,
    EngineError, ImageFormat, ImageSize, LatentKind, Observer, Piece, Question, Raster, Results, WriteSettings,
    Writing,
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

    fn writing(&self, settings: &CaptionSettings) -> SamplingConfig {
        let max_caption_tokens = settings.max_tokens.or(self.sampling.max_caption_tokens);
        SamplingConfig { max_caption_tokens, ..self.sampling.clone() }
    }

    /// A client's image in the size that the model converses about.
    fn fitted(&self, raster: &Raster) -> Result<Image, EngineError> {
        framed(raster, &self.run.pretrained.card.conversing_framing())
    }

    /// A client's conversation, its images as the model has them.
    fn asked(&self, question: &Question) -> Result<interfuse_sampling::Question, EngineError> {
        let part = |piece: &Piece| match piece {
            Piece::Text(words) => Ok(TurnPart::Text(words.clone())),
            Piece::Image(image) => Ok(TurnPart::Image(self.fitted(image)?)),
            _ => Err(EngineError::Refused("expected words and images in a conversation, found something else".into())),
        };
        let turn = |(place, pieces): (usize, &Vec<Piece>)| {
            let speaker = if place % 2 == 0 { Speaker::User } else { Speaker::Model };
            Ok(Turn { speaker, parts: pieces.iter().map(part).collect::<Result<_, _>>()? })
        };
        let turns = question.turns.iter().enumerate().map(turn).collect::<Result<_, _>>()?;
        Ok(interfuse_sampling::Question { turns })
    }

    /// The edited image where a mask is white, the image before where it is black, and between them in between.
    fn masked(&self, before: &Image, edited: &Raster, mask: &Raster) -> Result<Raster, EngineError> {
        let (edited, mask) = (image(edited)?, self.fitted(mask)?);
        let mut pixels = before.pixels().to_owned();
        for ((channel, y, x), level) in pixels.indexed_iter_mut() {
            let share = f32::from(mask.pixels()[[0, y, x]]) / 255.0;
            let mixed = f32::from(edited.pixels()[[channel, y, x]]) * share + f32::from(*level) * (1.0 - share);
            *level = mixed.round() as u8;
        }
        Image::new(pixels).map_err(|error| EngineError::Failed(error.to_string())).and_then(|image| raster(&image))
    }

    fn too_long(&self) -> EngineError {
        EngineError::Refused(format!(
            "the prompt is too long: this model was trained on texts of at most {} tokens, markers included",
            self.run.pretrained.card.max_text_rows
        ))
    }

    /// Whether the run learned from conversations; a checkpoint without its run may have.
    fn converses(&self) -> bool {
        self.run.settings.is_none() || self.run.question_warning().is_none()
    }
}

/// Images of those requests that fit and that somebody waits for, made by `make` as one batch.
fn watched<R>(
    requests: Vec<Result<R, EngineError>>,
    observer: &mut dyn Observer,
    make: impl FnOnce(&[R], &mut dyn Watcher) -> Result<Option<Vec<Image>>, SamplingError>,
) -> Results<Raster> {
    let (mut items, mut wanted, mut results) = (vec![], vec![], vec![]);
    for (item, request) in requests.into_iter().enumerate() {
        match request {
            Ok(request) if observer.is_wanted(item) => {
                items.push(item);
                wanted.push(request);
                results.push(Err(EngineError::Stopped));
            }
            Ok(_) => results.push(Err(EngineError::Stopped)),
            Err(error) => results.push(Err(error)),
        }
    }
    if wanted.is_empty() {
        return results;
    }
    match make(&wanted, &mut Watching { observer, items: &items }) {
        Ok(Some(images)) => items.iter().zip(images).for_each(|(&item, image)| results[item] = raster(&image)),
        Ok(None) => {}
        Err(error) => items.iter().for_each(|&item| results[item] = Err(refused(&error))),
    }
    results
}

/// What `write` says to those requests that fit, heard while it is written.
fn written<R: Clone>(
    requests: Vec<Result<R, EngineError>>,
    observer: &mut dyn Observer,
    write: impl FnOnce(&[R], &mut dyn Listener) -> Result<Option<Vec<interfuse_sampling::Caption>>, SamplingError>,
) -> Results<Caption> {
    let (items, good): (Vec<usize>, Vec<R>) = requests
        .iter()
        .enumerate()
        .filter_map(|(item, request)| request.as_ref().ok().map(|request| (item, request.clone())))
        .unzip();
    let mut written = match write(&good, &mut Listening { observer, items: &items }) {
        Ok(Some(captions)) => captions.into_iter().map(Ok).collect::<Vec<_>>(),
        Ok(None) => vec![],
        Err(error) => good.iter().map(|_| Err(refused(&error))).collect(),
    }
    .into_iter();
    let mut next = || written.next().unwrap_or(Err(EngineError::Stopped));
    let of = |request: Result<R, EngineError>| {
        request?;
        next().map(|caption| Caption { text: caption.text, is_cut: caption.cut_at.is_some() })
    };
    requests.into_iter().map(of).collect()
}

impl Engine for ModelEngine {
    fn description(&self) -> Description {
        let card = &self.run.pretrained.card;
        let [channels, height, width] = card.image_shape.map(|size| size as u32);
        let draws = card.images.is_some();
        let answers = draws && self.converses();
        let latents = match (card.codes.is_some(), card.codec.vae().is_some()) {
            (true, _) => LatentKind::Codes,
            (false, true) => LatentKind::Continuous,
            (false, false) => LatentKind::Pixels,
        };
        Description {
            id: self.id.clone(),
            image: ImageFormat { width, height, channels: if channels == 1 { 1 } else { 3 } },
            sizes: card
                .image_sizes
                .iter()
                .map(|&[height, width]| ImageSize { width: width as u32, height: height as u32 })
                .collect(),
            latents,
            defaults: Defaults { steps: self.sampling.steps, guidance: self.sampling.guidance },
            abilities: Abilities { draws, captions: draws, answers, writes: true, continues: false, edits: answers },
        }
    }

    fn draw(&mut self, drawings: &[Drawing], settings: &DrawSettings, observer: &mut dyn Observer) -> Results<Raster> {
        let pretrained = &self.run.pretrained;
        let size = settings.size.map(|size| [size.height as usize, size.width as usize]);
        // One prompt that does not fit must not fail the others.
        let request = |drawing: &Drawing| match fits(pretrained, &drawing.prompt) {
            true => Ok(ImageRequest::new(drawing.prompt.clone(), drawing.seed).of_size(size)),
            false => Err(self.too_long()),
        };
        let config = self.with(settings);
        watched(drawings.iter().map(request).collect(), observer, |requests, watcher| {
            generate_watched(pretrained, requests, &config, watcher)
        })
    }

    fn edit(&mut self, edits: &[Edit], settings: &DrawSettings, observer: &mut dyn Observer) -> Results<Raster> {
        let pretrained = &self.run.pretrained;
        let request = |edit: &Edit| match fits_beside_an_image(pretrained, &edit.prompt) {
            true => {
                let images = vec![self.fitted(&edit.image)?];
                Ok(EditRequest { images, instruction: edit.prompt.clone(), seed: edit.seed })
            }
            false => Err(self.too_long()),
        };
        let config = self.with(settings);
        let requests: Vec<_> = edits.iter().map(request).collect();
        let before: Vec<Option<Image>> = requests
            .iter()
            .map(|request| request.as_ref().ok().and_then(|request| request.images.first().cloned()))
            .collect();
        let edited =
            watched(requests, observer, |requests, watcher| edit_watched(pretrained, requests, &config, watcher));
        let masked = |((edited, edit), before): ((Result<Raster, EngineError>, &Edit), Option<Image>)| match (
            &edit.mask, before,
        ) {
            (Some(mask), Some(before)) => self.masked(&before, &edited?, mask),
            _ => edited,
        };
        edited.into_iter().zip(edits).zip(before).map(masked).collect()
    }

    fn caption(
        &mut self,
        images: &[Raster],
        settings: &CaptionSettings,
        observer: &mut dyn Observer,
    ) -> Results<Caption> {
        if observer.goes_on().is_break() {
            return images.iter().map(|_| Err(EngineError::Stopped)).collect();
        }
        let config = self.writing(settings);
        let framing = self.run.pretrained.card.reading_framing();
        let images = images.iter().map(|image| framed(image, &framing)).collect();
        written(images, observer, |images, listener| caption_heard(&self.run.pretrained, images, &config, listener))
    }

    fn answer(
        &mut self,
        questions: &[Question],
        settings: &CaptionSettings,
        observer: &mut dyn Observer,
    ) -> Results<Caption> {
        if observer.goes_on().is_break() {
            return questions.iter().map(|_| Err(EngineError::Stopped)).collect();
        }
        let pretrained = &self.run.pretrained;
        let config = self.writing(settings);
        let of = |question: &Question| {
            let question = self.asked(question)?;
            question.check_length(pretrained).map_err(|error| refused(&error))?;
            Ok(question)
        };
        let questions = questions.iter().map(of).collect();
        written(questions, observer, |questions, listener| answer_heard(pretrained, questions, &config, listener))
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

/// A client's image as a framing has it.
fn framed(raster: &Raster, framing: &Framing) -> Result<Image, EngineError> {
    image(raster)?.framed(framing).map_err(|error| EngineError::Refused(error.to_string()))
}

/// What the server hears of text.
struct Listening<'a, 'o> {
    observer: &'a mut (dyn Observer + 'o),
    /// Which item each text of the batch is of.
    items: &'a [usize],
}

impl Listener for Listening<'_, '_> {
    fn wrote(&mut self, item: usize, words: &str) -> ControlFlow<()> {
        self.observer.wrote(self.items[item], words)
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
