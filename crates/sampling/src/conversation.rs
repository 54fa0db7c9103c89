//! Answers to questions about images, and images that are edited: what the user brings is read as it is in training
//! (`interfuse_data::conversations`), and the model's turn begins behind its EOS.
//!
//! ```text
//! BOS BOI [image] EOI which colour is it? EOS   …
//! BOS BOI [image] EOI which colour is it? EOS red EOS how many are there? EOS   …
//! BOS BOI [image] EOI make it red EOS BOI       …
//! ```
//!
//! An edit is guided by its words against the same images without words, and where `image_guidance` is not 1 by its images
//! against nothing at all ([`crate::guidance`]).

use interfuse_checkpoint::Pretrained;
use interfuse_data::Image;
use interfuse_data::conversations::{Speaker, Turn, TurnPart};
use ndarray::Array3;

use crate::caption::{Caption, encode, likeliest_text, read_images};
use crate::config::SamplingConfig;
use crate::error::SamplingError;
use crate::generate::{Batches, Drawing, draw_behind};
use crate::listening::Listener;
use crate::session::Session;
use crate::size::latent_shape;
use crate::watching::Watcher;

/// What is to be answered: the last turn of a conversation, behind all that was said and shown before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The user's and the model's, the last of them the user's. Images are of sizes that fit the model.
    pub turns: Vec<Turn>,
}

impl Question {
    /// The first question about images, which stand before the words.
    pub fn new(images: Vec<Image>, text: impl Into<String>) -> Self {
        Self::behind(images, &[], text)
    }

    /// A question about images behind others that were answered; the images stand before them all.
    pub fn behind(images: Vec<Image>, earlier: &[Exchange], text: impl Into<String>) -> Self {
        let answered = earlier.iter().flat_map(|Exchange { question, answer }| {
            [(Speaker::User, question.clone()), (Speaker::Model, answer.clone())]
        });
        let turn = |(speaker, text)| Turn { speaker, parts: vec![TurnPart::Text(text)] };
        let mut turns: Vec<Turn> = answered.chain([(Speaker::User, text.into())]).map(turn).collect();
        turns[0].parts.splice(0..0, images.into_iter().map(TurnPart::Image));
        Self { turns }
    }

    fn shows_images(&self) -> bool {
        self.turns.iter().any(|turn| turn.images().next().is_some())
    }

    /// Whether it is short enough for the rows that the model was trained on.
    ///
    /// # Errors
    /// When it is not, by how much; and when a text cannot be encoded.
    pub fn check_length(&self, pretrained: &Pretrained) -> Result<(), SamplingError> {
        Stretches::of(pretrained, &self.turns).map(drop)
    }
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What was asked.
    pub question: String,
    /// What was answered.
    pub answer: String,
}

/// An image that is to be made of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditRequest {
    /// What is to be edited, of a size that fits the model; several where the model learned from several. The edited image has
    /// the size of the first.
    pub images: Vec<Image>,
    /// What is to be done.
    pub instruction: String,
    /// Decides the noise.
    pub seed: u64,
}

/// Answers questions, the likeliest word each time; `progress` hears how many are done.
///
/// # Errors
/// When a setting, an image or a question does not fit the model.
pub fn answer(
    pretrained: &Pretrained,
    questions: &[Question],
    config: &SamplingConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Caption>, SamplingError> {
    let of_batch = |batch: &[Question]| answer_heard(pretrained, batch, config, &mut ()).map(Option::unwrap_or_default);
    Batches { pretrained, at_once: config.max_batch }.run(questions, of_batch, progress)
}

/// As [`answer`], of one batch that is heard while it is written; `None` where it was given up.
///
/// # Errors
/// As [`answer`].
pub fn answer_heard(
    pretrained: &Pretrained,
    questions: &[Question],
    config: &SamplingConfig,
    listener: &mut dyn Listener,
) -> Result<Option<Vec<Caption>>, SamplingError> {
    config.validate()?;
    if pretrained.card.images.is_none() && questions.iter().any(Question::shows_images) {
        return Err(SamplingError::CannotDo { missing: "images", task: "look at one" });
    }
    if questions.is_empty() {
        return Ok(Some(vec![]));
    }
    let limit = config.max_caption_tokens.unwrap_or(pretrained.card.max_text_rows).max(1);
    let asked = questions.iter().map(|question| Asked::of(pretrained, &question.turns));
    let asked: Vec<Asked> = asked.collect::<Result<_, _>>()?;
    let mut session = Session::token_by_token(pretrained, questions.len())?;
    let last = read(pretrained, &mut session, &asked.iter().map(Asked::whole).collect::<Vec<_>>());
    let logits = session.append_tokens(&last);
    likeliest_text(pretrained, &mut session, (logits, limit), listener)
}

/// Edits images; `progress` hears how many are done. An image depends on its own request, never on the rest of the batch.
///
/// # Errors
/// When a setting, an image or an instruction does not fit the model.
pub fn edit(
    pretrained: &Pretrained,
    requests: &[EditRequest],
    config: &SamplingConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Image>, SamplingError> {
    let branches = branches(pretrained, config)?;
    let of_batch = |batch: &[EditRequest]| edit_batch(pretrained, batch, config, None).map(Option::unwrap_or_default);
    Batches { pretrained, at_once: config.max_batch / branches }.run_by(requests, size_of, of_batch, progress)
}

/// As [`edit`], of one batch of images of one size that is watched; `None` where it was given up. Images of codes have no steps to watch.
///
/// # Errors
/// As [`edit`].
pub fn edit_watched(
    pretrained: &Pretrained,
    requests: &[EditRequest],
    config: &SamplingConfig,
    watcher: &mut dyn Watcher,
) -> Result<Option<Vec<Image>>, SamplingError> {
    branches(pretrained, config)?;
    edit_batch(pretrained, requests, config, Some(watcher))
}

/// Whether words are short enough beside one image for the rows that the model was trained on.
pub fn fits_beside_an_image(pretrained: &Pretrained, words: &str) -> bool {
    let encoded = pretrained.tokenizer.encode(words);
    encoded.is_ok_and(|words| rows(words.len(), 1) <= pretrained.card.max_text_rows)
}

/// Rows of text of a document that asks with so many words and images: BOS and EOS, BOI and EOI of each image, and what the
/// model says at the least.
fn rows(words: usize, images: usize) -> usize {
    words + 2 * images + 3
}

/// How many sequences an edited image takes.
fn branches(pretrained: &Pretrained, config: &SamplingConfig) -> Result<usize, SamplingError> {
    config.validate()?;
    let card = &pretrained.card;
    if card.images.is_none() {
        return Err(SamplingError::CannotDo { missing: "images", task: "edit" });
    }
    let by_image = config.image_guidance != 1.0;
    if by_image && card.codes.is_some() {
        let expected = "1, for the images of this model are codes, which are guided by words alone";
        return Err(SamplingError::setting("image_guidance", expected, config.image_guidance));
    }
    Ok(match (by_image, config.is_guided()) {
        (true, _) => 3,
        (false, true) => 2,
        (false, false) => 1,
    })
}

fn edit_batch(
    pretrained: &Pretrained,
    requests: &[EditRequest],
    config: &SamplingConfig,
    watcher: Option<&mut dyn Watcher>,
) -> Result<Option<Vec<Image>>, SamplingError> {
    let asked = requests.iter().map(|EditRequest { images, instruction, .. }| {
        Asked::of(pretrained, &Question::new(images.clone(), instruction).turns)
    });
    let asked: Vec<Asked> = asked.collect::<Result<_, _>>()?;
    let seeds: Vec<u64> = requests.iter().map(|request| request.seed).collect();
    let [whole, wordless] = [Asked::whole, Asked::wordless].map(|of| asked.iter().map(of).collect::<Vec<_>>());
    let nothing = vec![Read::NOTHING; requests.len()];
    let branches: Vec<_> = [whole, wordless, nothing].into_iter().take(branches(pretrained, config)?).collect();
    let open = |session: &mut Session<'_>, asked: &[Read<'_>]| open_image(pretrained, session, asked);
    let drawing =
        Drawing { seeds: &seeds, latent_shape: latent_shape(pretrained, requests.first().and_then(size_of))?, config };
    draw_behind(pretrained, &branches, open, &drawing, watcher)
}

/// Height and width of what is to be edited, and of what comes out.
fn size_of(request: &EditRequest) -> Option<[usize; 2]> {
    request.images.first().map(|image| [image.shape().height, image.shape().width])
}

/// The turns of a conversation as ids with images between them: every turn but the last ends with EOS, whoever speaks.
struct Stretches<'a> {
    /// Of each image the ids before it.
    before: Vec<Vec<u32>>,
    images: Vec<&'a Image>,
    /// The ids behind the last image.
    behind: Vec<u32>,
}

impl<'a> Stretches<'a> {
    fn of(pretrained: &Pretrained, turns: &'a [Turn]) -> Result<Self, SamplingError> {
        let mut stretches = Self { before: vec![], images: vec![], behind: vec![] };
        for (place, turn) in turns.iter().enumerate() {
            if place > 0 {
                stretches.behind.push(pretrained.card.special_tokens.eos);
            }
            for part in &turn.parts {
                match part {
                    TurnPart::Text(text) => stretches.behind.extend(pretrained.tokenizer.encode(text)?),
                    TurnPart::Image(image) => {
                        stretches.before.push(std::mem::take(&mut stretches.behind));
                        stretches.images.push(image);
                    }
                }
            }
        }
        let words = stretches.before.iter().map(Vec::len).sum::<usize>() + stretches.behind.len();
        let (found, limit) = (rows(words, stretches.images.len()), pretrained.card.max_text_rows);
        if found > limit {
            let prompt = turns.last().into_iter().flat_map(Turn::texts).collect::<Vec<_>>().join(" ");
            return Err(SamplingError::PromptTooLong { prompt, found, limit });
        }
        Ok(stretches)
    }
}

/// What a user asks, encoded.
struct Asked {
    /// Of each image the ids before it, and its latents.
    images: Vec<(Vec<u32>, Array3<f32>)>,
    /// Behind the last image.
    words: Vec<u32>,
}

/// What a sequence reads of it.
#[derive(Clone, Copy)]
struct Read<'a> {
    images: &'a [(Vec<u32>, Array3<f32>)],
    words: &'a [u32],
    /// Whether there is a user's turn at all.
    is_turn: bool,
}

impl Read<'_> {
    const NOTHING: Self = Self { images: &[], words: &[], is_turn: false };
}

impl Asked {
    fn of(pretrained: &Pretrained, turns: &[Turn]) -> Result<Self, SamplingError> {
        let Stretches { before, images, behind } = Stretches::of(pretrained, turns)?;
        let latents = encode(pretrained, &images)?;
        Ok(Self { images: before.into_iter().zip(latents).collect(), words: behind })
    }

    fn whole(&self) -> Read<'_> {
        Read { images: &self.images, words: &self.words, is_turn: true }
    }

    /// An edit without its words, which stand behind the images.
    fn wordless(&self) -> Read<'_> {
        Read { words: &[], ..self.whole() }
    }
}

/// Reads what sequences were asked up to its last image; returns the tokens that are still to be read, EOS included.
fn read(pretrained: &Pretrained, session: &mut Session<'_>, asked: &[Read<'_>]) -> Vec<Vec<u32>> {
    let special = pretrained.card.special_tokens;
    let mut pending = vec![vec![special.bos]; asked.len()];
    let most = asked.iter().map(|asked| asked.images.len()).max().unwrap_or(0);
    for place in 0..most {
        let next = pending.iter_mut().zip(asked).map(|(pending, asked)| match asked.images.get(place) {
            Some((before, _)) => {
                pending.extend(before);
                pending.push(special.boi);
                std::mem::replace(pending, vec![special.eoi])
            }
            None => vec![],
        });
        let next: Vec<Vec<u32>> = next.collect();
        session.append_tokens(&next);
        let images: Vec<_> = asked.iter().map(|asked| asked.images.get(place).map(|(_, image)| image)).collect();
        read_images(pretrained, session, &images);
    }
    for (pending, asked) in pending.iter_mut().zip(asked) {
        pending.extend(asked.words);
        pending.extend(asked.is_turn.then_some(special.eos));
    }
    pending
}

/// Reads all that sequences were asked, and BOI.
fn open_image(
    pretrained: &Pretrained,
    session: &mut Session<'_>,
    asked: &[Read<'_>],
) -> Option<burn::tensor::Tensor<2>> {
    let mut last = read(pretrained, session, asked);
    last.iter_mut().for_each(|ids| ids.push(pretrained.card.special_tokens.boi));
    session.append_tokens(&last)
}
