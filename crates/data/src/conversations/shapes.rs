//! Two tasks on the scenes of [`crate::shapes`], whose right answers are known exactly: change one attribute of a scene, and
//! name one.
//!
//! What is held out are combinations of attributes, as for the drawing of shapes: an edit towards a scene that training does
//! not see, a question about one.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{ConversationSet, Conversations, Speaker, Turn, TurnPart};
use crate::error::DataError;
use crate::images::{Image, ImageShape};
use crate::order::{Stream, below, generator};
use crate::sources::Split;
use crate::sources::shapes::{Attribute, Count, Jitter, Scene, render};

/// One held-out example for so many of training.
const HELD_OUT: usize = 8;
/// The most examples of training; beyond it, a typing error is likelier than a wish.
const MOST_EXAMPLES: usize = 10_000_000;

/// What is changed or asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SceneAttribute {
    /// How many shapes there are.
    Count,
    /// How large they are.
    Size,
    /// Which colour they have.
    Colour,
    /// Which shape they have.
    Shape,
    /// Where they are.
    Place,
}

/// Options of `kind = "shape-edits"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShapeEditsConfig {
    /// Edits to learn from, at least 1; an eighth as many are held out, towards scenes that training does not see.
    pub examples: usize,
    /// What may be changed, at least one of `count`, `size`, `colour`, `shape` and `place`.
    pub attributes: Vec<SceneAttribute>,
}

impl Default for ShapeEditsConfig {
    fn default() -> Self {
        Self { examples: 8192, attributes: vec![SceneAttribute::Colour] }
    }
}

/// Options of `kind = "shape-questions"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShapeQuestionsConfig {
    /// Questions to learn from, at least 1; an eighth as many are held out, about scenes that training does not see.
    pub examples: usize,
    /// What may be asked for, at least one of `count`, `size`, `colour`, `shape` and `place`.
    pub attributes: Vec<SceneAttribute>,
}

impl Default for ShapeQuestionsConfig {
    fn default() -> Self {
        use SceneAttribute::{Colour, Count, Place, Shape, Size};
        Self { examples: 8192, attributes: vec![Count, Size, Colour, Shape, Place] }
    }
}

impl ShapeEditsConfig {
    pub(super) fn validate(&self, key: &str, shape: ImageShape) -> Result<(), DataError> {
        validate(key, (self.examples, &self.attributes), shape)
    }

    pub(super) fn open(&self, shape: ImageShape) -> ConversationSet {
        let of = |split| edit(split, &self.attributes);
        set(self.examples, shape, of)
    }
}

impl ShapeQuestionsConfig {
    pub(super) fn validate(&self, key: &str, shape: ImageShape) -> Result<(), DataError> {
        validate(key, (self.examples, &self.attributes), shape)
    }

    pub(super) fn open(&self, shape: ImageShape) -> ConversationSet {
        let of = |split| question(split, &self.attributes);
        set(self.examples, shape, of)
    }
}

fn validate(key: &str, (examples, attributes): (usize, &[SceneAttribute]), shape: ImageShape) -> Result<(), DataError> {
    if shape.channels != 3 {
        return Err(DataError::config("data.channels", "3, for shapes are told by their colours", shape.channels));
    }
    if !(1..=MOST_EXAMPLES).contains(&examples) {
        return Err(DataError::config(&format!("{key}.examples"), format!("1 to {MOST_EXAMPLES}"), examples));
    }
    match attributes.is_empty() {
        true => Err(DataError::config(&format!("{key}.attributes"), "at least one", "none")),
        false => Ok(()),
    }
}

/// What a conversation is about.
#[derive(Clone, Debug)]
struct Task {
    scene: Scene,
    asked: String,
    answer: Answer,
}

#[derive(Clone, Debug)]
enum Answer {
    Words(String),
    Image(Scene),
}

type MakeTask = Box<dyn Fn(&mut ChaCha8Rng) -> Task + Send + Sync>;

/// The tasks of one split, each a function of its number.
struct SceneTasks {
    split: Split,
    count: usize,
    make: MakeTask,
    shape: ImageShape,
}

fn set(examples: usize, shape: ImageShape, make: impl Fn(Split) -> MakeTask) -> ConversationSet {
    let of = |split: Split, count: usize| Arc::new(SceneTasks { split, count, make: make(split), shape });
    let held_out = of(Split::HeldOut, (examples / HELD_OUT).max(1));
    ConversationSet { train: of(Split::Train, examples), held_out, skipped: vec![] }
}

/// Edits between scenes that training sees, or to one that it does not.
fn edit(split: Split, attributes: &[SceneAttribute]) -> MakeTask {
    let scenes: Vec<Scene> = Scene::all().collect();
    let attributes = attributes.to_vec();
    Box::new(move |rng| {
        loop {
            let scene = scenes[below(scenes.len(), rng)];
            let attribute = attributes[below(attributes.len(), rng)];
            let (edited, asked) = changed(scene, attribute, rng);
            let fits = match split {
                Split::Train => !scene.is_held_out() && !edited.is_held_out(),
                Split::HeldOut => edited.is_held_out(),
            };
            if fits && edited != scene {
                return Task { scene, asked, answer: Answer::Image(edited) };
            }
        }
    })
}

fn question(split: Split, attributes: &[SceneAttribute]) -> MakeTask {
    let scenes: Vec<Scene> = Scene::all().filter(|scene| scene.is_held_out() == (split == Split::HeldOut)).collect();
    let attributes = attributes.to_vec();
    Box::new(move |rng| {
        let scene = scenes[below(scenes.len(), rng)];
        let (asked, answer) = asked(scene, attributes[below(attributes.len(), rng)]);
        Task { scene, asked, answer: Answer::Words(answer.into()) }
    })
}

fn any<A: Attribute>(rng: &mut ChaCha8Rng) -> A {
    A::ALL[below(A::ALL.len(), rng)]
}

/// A scene with another value of an attribute, and the words that ask for it.
fn changed(scene: Scene, attribute: SceneAttribute, rng: &mut ChaCha8Rng) -> (Scene, String) {
    let many = scene.count != Count::One;
    let it = if many { "them" } else { "it" };
    match attribute {
        SceneAttribute::Count => {
            let edited = Scene { count: any(rng), ..scene };
            (edited, format!("show {} of that", number(edited.count)))
        }
        SceneAttribute::Size => {
            let edited = Scene { size: any(rng), ..scene };
            (edited, format!("make {it} {}", edited.size.words()))
        }
        SceneAttribute::Colour => {
            let edited = Scene { colour: any(rng), ..scene };
            (edited, format!("make {it} {}", edited.colour.words()))
        }
        SceneAttribute::Shape => {
            let edited = Scene { shape: any(rng), ..scene };
            let shape = edited.shape.words();
            (edited, if many { format!("turn them into {shape}s") } else { format!("turn it into a {shape}") })
        }
        SceneAttribute::Place => {
            let edited = Scene { place: any(rng), ..scene };
            (edited, format!("put {it} {}", edited.place.words()))
        }
    }
}

/// A question about a scene, and its answer.
fn asked(scene: Scene, attribute: SceneAttribute) -> (String, &'static str) {
    let is_it = if scene.count == Count::One { "is it" } else { "are they" };
    match attribute {
        SceneAttribute::Count => ("how many are there?".into(), number(scene.count)),
        SceneAttribute::Size => (format!("how large {is_it}?"), scene.size.words()),
        SceneAttribute::Colour => (format!("which colour {is_it}?"), scene.colour.words()),
        SceneAttribute::Shape => (format!("which shape {is_it}?"), scene.shape.words()),
        SceneAttribute::Place => (format!("where {is_it}?"), scene.place.words()),
    }
}

fn number(count: Count) -> &'static str {
    match count {
        Count::One => "one",
        Count::Two | Count::Three => count.words(),
    }
}

impl SceneTasks {
    fn task(&self, index: usize) -> (Task, Jitter) {
        assert!(index < self.count, "conversation {index} of {}", self.count);
        let seed = u64::from(self.split == Split::HeldOut);
        let task = (self.make)(&mut generator(seed, index as u64, Stream::Document));
        // Both images of an edit are shifted and tinted alike, so that nothing changes but what was asked for.
        (task, Jitter::of(2 * index as u64 + seed))
    }

    fn image(&self, scene: Scene, jitter: Jitter) -> Result<Image, DataError> {
        let ImageShape { channels, height, width } = self.shape;
        Image::new(render(scene, [height, width], jitter))?.with_channels(channels)
    }
}

impl Task {
    fn turns<I>(self, image: impl Fn(Scene) -> Result<I, DataError>) -> Result<Vec<Turn<I>>, DataError> {
        let answer = match self.answer {
            Answer::Words(words) => TurnPart::Text(words),
            Answer::Image(scene) => TurnPart::Image(image(scene)?),
        };
        let asked = vec![TurnPart::Image(image(self.scene)?), TurnPart::Text(self.asked)];
        let user = Turn { speaker: Speaker::User, parts: asked };
        Ok(vec![user, Turn { speaker: Speaker::Model, parts: vec![answer] }])
    }
}

impl Conversations for SceneTasks {
    fn len(&self) -> usize {
        self.count
    }

    fn name(&self, index: usize) -> String {
        format!("shapes/{:?}/{index:06}", self.split).to_lowercase()
    }

    fn outline(&self, index: usize) -> Result<Vec<Turn<()>>, DataError> {
        self.task(index).0.turns(|_| Ok(()))
    }

    fn turns(&self, index: usize) -> Result<Vec<Turn>, DataError> {
        let (task, jitter) = self.task(index);
        task.turns(|scene| self.image(scene, jitter))
    }

    fn scene(&self, index: usize) -> Option<String> {
        match self.task(index).0.answer {
            Answer::Image(scene) => Some(scene.caption()),
            Answer::Words(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

    fn words(turn: &Turn) -> String {
        turn.texts().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_edit_changes_one_attribute_and_nothing_else() {
        use SceneAttribute::{Colour, Count, Place, Shape, Size};
        let config = ShapeEditsConfig { examples: 400, attributes: vec![Count, Size, Colour, Shape, Place] };
        let set = config.open(SHAPE);
        assert_eq!((set.train.len(), set.held_out.len()), (400, 50));
        for (split, tasks) in [(Split::Train, &config.open(SHAPE).train), (Split::HeldOut, &set.held_out)] {
            for index in 0..tasks.len() {
                let turns = tasks.turns(index).unwrap();
                let [before, after] = [0, 1].map(|turn| turns[turn].images().next().unwrap().clone());
                assert_ne!(before, after, "{}", words(&turns[0]));
                let wanted = Scene::attributes_of(&tasks.scene(index).unwrap());
                let held_out = Scene::all().find(|scene| scene.caption() == tasks.scene(index).unwrap()).unwrap();
                assert_eq!(held_out.is_held_out(), split == Split::HeldOut);
                let named = Scene::attributes_of(&words(&turns[0]));
                assert!(named.colour.is_none() || named.colour == wanted.colour, "{}", words(&turns[0]));
                assert!(named.shape.is_none() || named.shape == wanted.shape, "{}", words(&turns[0]));
            }
        }
    }

    #[test]
    fn questions_are_the_same_each_time_and_their_answers_are_true() {
        let [set, again] = [0, 1].map(|_| ShapeQuestionsConfig::default().open(SHAPE));
        for index in 0..200 {
            let turns = set.train.turns(index).unwrap();
            assert_eq!(turns, again.train.turns(index).unwrap());
            assert_eq!((turns[0].images().count(), turns[1].images().count()), (1, 0));
            let (question, answer) = (words(&turns[0]), words(&turns[1]));
            let fits = match question.split(' ').next().unwrap() {
                "how" if question.contains("many") => ["one", "two", "three"].contains(&answer.as_str()),
                "how" => ["small", "large"].contains(&answer.as_str()),
                "where" => answer.starts_with("at the") || answer == "in the middle",
                _ => Scene::attributes_of(&answer).colour.is_some() || Scene::attributes_of(&answer).shape.is_some(),
            };
            assert!(fits, "{question} {answer}");
        }
    }
}
