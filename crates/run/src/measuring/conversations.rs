//! Conversations are measured by what the model answers: words by whether they are those that were expected, edits of the
//! procedural shapes by whether the scene that was asked for is on the image, and other edits by how near they come to the image
//! that was expected.
//!
//! Conversations of one question are asked; those of more turns, and images behind words, have losses alone.

use std::path::Path;

use interfuse_checkpoint::Pretrained;
use interfuse_data::conversations::{Conversations, Speaker, Turn, TurnPart};
use interfuse_data::shapes::Scene;
use interfuse_data::{Collections, Image, evenly, grid};
use interfuse_evaluation::bootstrap::Mean;
use interfuse_evaluation::proportion::Proportion;
use interfuse_evaluation::shapes::{Judged, SceneReader, SceneScore};
use interfuse_evaluation::similarity::psnr;
use interfuse_sampling::{EditRequest, Question, SamplingConfig, answer, edit};
use serde_json::{Map, Value, json};

use super::report::Report;
use crate::error::Result;
use crate::observer::RunObserver;

/// Conversations of each split, unless the user says how many.
const USUAL_COUNT: usize = 256;
/// Answers that are shown.
const SHOWN: usize = 3;
/// Edits on the grid.
const ON_THE_GRID: usize = 16;

/// What is asked with, and where grids of edits go.
pub(super) struct Asking<'a> {
    pub(super) pretrained: &'a Pretrained,
    pub(super) sampling: &'a SamplingConfig,
    pub(super) count: Option<usize>,
    pub(super) seed: u64,
    pub(super) folder: &'a Path,
}

/// One question or instruction, and what it should lead to.
struct Asked {
    images: Vec<Image>,
    text: String,
    /// What the model should say, if anything.
    words: String,
    /// What it should draw, if anything.
    image: Option<Image>,
    /// The scene on that image, where it is known.
    scene: Option<Scene>,
}

impl Asking<'_> {
    /// Adds what each collection of conversations comes to to a report.
    pub(super) fn measure(
        &self,
        data: &Collections,
        report: &mut Report,
        observer: &mut dyn RunObserver,
    ) -> Result<()> {
        for (part, set) in data.conversations() {
            let mut found = Map::new();
            let held_out = (!set.held_out_is_train()).then_some(("held_out", &set.held_out));
            for (split, conversations) in [("train", &set.train)].into_iter().chain(held_out) {
                let chosen = evenly(self.count.unwrap_or(USUAL_COUNT), conversations.len());
                let asked: Vec<Asked> = chosen.filter_map(|index| asked_of(conversations.as_ref(), index)).collect();
                let name = format!("{}, {}", part.name, split.replace('_', "-"));
                let (edits, questions): (Vec<_>, Vec<_>) = asked.into_iter().partition(|asked| asked.image.is_some());
                let mut numbers = Map::new();
                if !questions.is_empty() {
                    numbers.insert("answers".into(), self.answers(&name, &questions, report, observer)?);
                }
                if !edits.is_empty() {
                    let grid = self.folder.join(format!("{}-{split}.png", part.name));
                    numbers.insert("edits".into(), self.edits(&name, &edits, &grid, (report, observer))?);
                }
                if numbers.is_empty() {
                    report.note(format!("{name}: no conversation of one question to ask"));
                }
                found.insert(split.into(), Value::Object(numbers));
            }
            report.value["conversations"][&part.name] = Value::Object(found);
        }
        Ok(())
    }

    fn answers(
        &self,
        name: &str,
        asked: &[Asked],
        report: &mut Report,
        observer: &mut dyn RunObserver,
    ) -> Result<Value> {
        let questions: Vec<Question> =
            asked.iter().map(|asked| Question::new(asked.images.clone(), asked.text.clone())).collect();
        let mut progress = |done| observer.progress("questions answered", done, questions.len());
        let answers = answer(self.pretrained, &questions, self.sampling, &mut progress)?;
        let answers = super::generated::texts(answers, observer);
        for (asked, answer) in asked.iter().zip(&answers).take(SHOWN) {
            report.note(format!("{name}: {} {answer} (expected {})", asked.text, asked.words));
        }
        let right = asked.iter().zip(&answers).map(|(asked, answer)| plain(&asked.words) == plain(answer));
        let exact = Proportion::of(right);
        report.fraction(format!("{name} questions answered exactly"), &exact, None);
        Ok(json!({ "exact": exact }))
    }

    fn edits(
        &self,
        name: &str,
        asked: &[Asked],
        path: &Path,
        (report, observer): (&mut Report, &mut dyn RunObserver),
    ) -> Result<Value> {
        let of = |(number, asked): (usize, &Asked)| EditRequest {
            images: asked.images.clone(),
            instruction: asked.text.clone(),
            seed: self.seed.wrapping_add(number as u64),
        };
        let requests: Vec<EditRequest> = asked.iter().enumerate().map(of).collect();
        let mut progress = |done| observer.progress("images edited", done, requests.len());
        let edited = edit(self.pretrained, &requests, self.sampling, &mut progress)?;
        write_grid(asked, &edited, path)?;
        report.note(format!("{name}: before, after and expected: {}", path.display()));

        let pairs = asked.iter().zip(&edited);
        let expected = pairs.clone().filter_map(|(asked, image)| Some((asked.image.as_ref()?, image)));
        let near: Vec<f64> =
            expected.map(|(one, other)| psnr(one.pixels(), other.pixels())).collect::<Result<_, _>>()?;
        // An image that is met exactly has no finite one.
        let near = Mean::of(&near.into_iter().filter(|psnr| psnr.is_finite()).collect::<Vec<_>>(), self.seed);
        report.note(format!("{name} edits against what was expected: PSNR {near} dB"));
        let mut numbers = json!({ "psnr": near });
        let [_, height, width] = self.pretrained.card.image_shape;
        let reader = SceneReader::new([height, width]);
        let known = pairs.filter_map(|(asked, image)| Some((asked.scene?, image)));
        let judged: Vec<Judged> = known
            .map(|(scene, image)| Ok(Judged::image(scene, reader.read(image.pixels())?)))
            .collect::<Result<_>>()?;
        if !judged.is_empty() {
            let score = SceneScore::of(&judged);
            report.fraction(format!("{name} edits that show the scene asked for"), &score.all, None);
            for (attribute, fraction, _) in &score.attributes {
                report.fraction(format!("  {attribute}"), fraction, None);
            }
            numbers["scenes"] = serde_json::to_value(score)?;
        }
        Ok(numbers)
    }
}

/// A conversation of one question, whose images stand before its words; nothing of any other, or where it cannot be read.
fn asked_of(conversations: &dyn Conversations, index: usize) -> Option<Asked> {
    let turns = conversations.turns(index).ok()?;
    let [user, model] = turns.as_slice() else { return None };
    if (user.speaker, model.speaker) != (Speaker::User, Speaker::Model) {
        return None;
    }
    let words_begin = user.parts.iter().position(|part| matches!(part, TurnPart::Text(_)))?;
    if user.parts[words_begin..].iter().any(|part| matches!(part, TurnPart::Image(_))) {
        return None;
    }
    let said = |turn: &Turn| turn.texts().collect::<Vec<_>>().join(" ");
    let scene = conversations.scene(index);
    Some(Asked {
        images: user.images().cloned().collect(),
        text: said(user),
        words: said(model),
        image: model.images().next().cloned(),
        scene: scene.and_then(|caption| Scene::all().find(|scene| scene.caption() == caption)),
    })
}

/// Words but for their case and the space around them.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// The first edits: what was given last, what came of it, and what was expected.
fn write_grid(asked: &[Asked], edited: &[Image], path: &Path) -> Result<()> {
    let shown = asked.iter().zip(edited).take(ON_THE_GRID);
    let images = shown.flat_map(|(asked, edited)| {
        let expected = asked.image.as_ref();
        [asked.images.last().or(expected), Some(edited), expected]
    });
    let images: Vec<Image> = images.flatten().cloned().collect();
    let scale = images.first().map_or(1, |image| (128 / image.shape().width.max(1)).max(1));
    grid(&images, 6, 4, scale)?.save_png(path)?;
    Ok(())
}
