//! The user's own conversations, in JSON lines, JSON, tars or Parquet.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use interfuse_shards::{Example, Layout, Part, Reading, Records, ShardList, containers};
use serde::{Deserialize, Serialize};

use super::{ConversationSet, Conversations, Speaker, Turn, TurnPart};
use crate::error::DataError;
use crate::images::{Framing, Image};
use crate::sources::held_out::held_out;
use crate::sources::parted;

/// Options of `kind = "files"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConversationFilesConfig {
    /// Files in which any row can be read by itself (`.jsonl`, `.json`, `.tar`, and `.parquet` in a program with that feature):
    /// names, folders, globs such as `edits/*.jsonl`, and ranges such as `edits/{000..019}.jsonl`.
    pub files: Vec<String>,
    /// How a row is laid out: `edit`, an image, an instruction and the image that it leads to; `conversation`, LLaVA's turns;
    /// `obelics` or `mmc4`, texts and images in turn, all of which are the model's.
    pub layout: Layout,
    /// The folder of images that rows give by their names; for files that hold the images themselves it is not needed.
    #[serde(default)]
    pub images: Option<PathBuf>,
    /// Fraction, from 0 to below 1, of the rows that training does not see, chosen by file and row.
    #[serde(default = "some")]
    pub held_out: f64,
}

fn some() -> f64 {
    0.05
}

impl ConversationFilesConfig {
    fn reading(&self) -> Reading {
        Reading { layout: self.layout.clone(), images: self.images.clone(), ..Reading::default() }
    }

    pub(super) fn validate(&self, key: &str) -> Result<(), DataError> {
        if self.files.is_empty() {
            return Err(DataError::config(&format!("{key}.files"), "at least one file, folder, glob or range", "none"));
        }
        if matches!(self.layout, Layout::Captioned(_) | Layout::Text(_)) {
            let expected = "edit, conversation, obelics or mmc4; captioned images are a [data.source], texts a corpus";
            return Err(DataError::config(&format!("{key}.layout.kind"), expected, "another"));
        }
        if !(0.0..1.0).contains(&self.held_out) {
            return Err(DataError::config(&format!("{key}.held_out"), "a fraction from 0 to below 1", self.held_out));
        }
        Ok(self.reading().validate()?)
    }

    pub(super) fn open(&self, framing: Framing, key: &str) -> Result<ConversationSet, DataError> {
        let list = ShardList::expand(&self.files)?;
        let missing = list.missing.iter().map(|path| format!("`{}` does not exist", path.display()));
        let mut skipped: Vec<String> = missing.collect();
        let reading = self.reading();
        let (mut files, mut rows) = (vec![], vec![]);
        for path in &list.shards {
            let records = match containers::open(path, &reading.columns()) {
                Ok(records) => records,
                Err(error) => {
                    skipped.push(error.to_string());
                    continue;
                }
            };
            if !records.seeks() {
                let expected = "files in which any row can be read by itself; decompress .gz and .zst";
                return Err(DataError::config(&format!("{key}.source.files"), expected, path.display()));
            }
            skipped.extend(records.remarks().sentences.iter().cloned());
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            rows.extend((0..records.rows()).map(|row| Row { file: files.len(), row, name: format!("{file}#{row}") }));
            files.push(Mutex::new(records));
        }
        if rows.is_empty() {
            let searched = format!("searched {} files for rows; {}", list.shards.len(), skipped.join("; "));
            return Err(DataError::Empty { searched });
        }
        skipped.iter().for_each(|reason| tracing::warn!("skipped: {reason}"));
        let marks = held_out(rows.iter().map(|row| row.name.as_str()), self.held_out);
        let (train, held_out) = parted(rows, &marks);
        let files = Arc::new(Files { records: files, reading });
        let of = |rows| Arc::new(FileConversations { files: Arc::clone(&files), rows, framing: framing.clone() });
        let train: Arc<dyn Conversations> = of(train);
        let held_out = held_out.map_or_else(|| Arc::clone(&train), |rows| of(rows));
        Ok(ConversationSet { train, held_out, skipped })
    }
}

struct Files {
    records: Vec<Mutex<Box<dyn Records>>>,
    reading: Reading,
}

/// Where a conversation lies.
struct Row {
    file: usize,
    row: u64,
    name: String,
}

struct FileConversations {
    files: Arc<Files>,
    rows: Vec<Row>,
    framing: Framing,
}

impl FileConversations {
    fn example(&self, index: usize) -> Result<Example, DataError> {
        let Row { file, row, name } = &self.rows[index];
        // A thread that panicked while it held the file has left no half-made state: a row is found from its number alone.
        let mut records = self.files.records[*file].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let record = records.read(*row, &|_| true)?;
        let record = record.ok_or_else(|| DataError::malformed(name, "a row", "none"))?;
        drop(records);
        Ok(self.files.reading.example(record)?)
    }

    /// The turns of a row, each image by `decode`. What the user says last is left out, for nobody answers it.
    fn read<I>(
        &self,
        index: usize,
        decode: impl Fn(&[u8], &str) -> Result<I, DataError>,
    ) -> Result<Vec<Turn<I>>, DataError> {
        let (example, name) = (self.example(index)?, &self.rows[index].name);
        let speakers = speakers(&example, &self.files.reading.layout, name)?;
        let mut turns: Vec<Turn<I>> = vec![];
        for (part, speaker) in example.parts.into_iter().zip(speakers) {
            let part = match part {
                Part::Text(text) => TurnPart::Text(text),
                Part::Image(image) => TurnPart::Image(decode(&image.bytes, name)?),
            };
            match turns.last_mut() {
                Some(turn) if turn.speaker == speaker => turn.parts.push(part),
                _ => turns.push(Turn { speaker, parts: vec![part] }),
            }
        }
        if turns.last().is_some_and(|turn| turn.speaker == Speaker::User) {
            turns.pop();
        }
        match turns.is_empty() {
            true => Err(DataError::malformed(name, "something that the model says or draws", "nothing")),
            false => Ok(turns),
        }
    }
}

/// Who each part of an example is of.
fn speakers(example: &Example, layout: &Layout, name: &str) -> Result<Vec<Speaker>, DataError> {
    let mut speakers = vec![Speaker::Model; example.parts.len()];
    match layout {
        Layout::Edit(_) => {
            let last = speakers.len().saturating_sub(1);
            speakers[..last].fill(Speaker::User);
        }
        Layout::Conversation(_) => {
            for turn in &example.turns {
                let speaker = match turn.from.to_lowercase().as_str() {
                    "human" | "user" | "system" => Speaker::User,
                    "gpt" | "assistant" | "model" => Speaker::Model,
                    other => {
                        let expected = "a speaker human, user, system, gpt, assistant or model";
                        return Err(DataError::malformed(name, expected, format!("`{other}`")));
                    }
                };
                speakers[turn.parts.clone()].fill(speaker);
            }
        }
        Layout::Obelics(_) | Layout::Mmc4(_) | Layout::Captioned(_) | Layout::Text(_) => {}
    }
    Ok(speakers)
}

impl Conversations for FileConversations {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn name(&self, index: usize) -> String {
        self.rows[index].name.clone()
    }

    fn outline(&self, index: usize) -> Result<Vec<Turn<()>>, DataError> {
        self.read(index, |_, _| Ok(()))
    }

    fn turns(&self, index: usize) -> Result<Vec<Turn>, DataError> {
        let framing = &self.framing;
        self.read(index, |bytes, name| {
            Image::decode(bytes, name, framing.shape.channels)?.framed(framing).map_err(|error| error.of_image(name))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::images::ImageShape;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 4, width: 4 };

    fn config(folder: &Path, file: &str, layout: &str) -> ConversationFilesConfig {
        let toml =
            format!("files = ['{0}/{file}']\nlayout = {layout}\nimages = '{0}'\nheld_out = 0.0", folder.display());
        toml::from_str(&toml).unwrap()
    }

    fn folder(file: &str, rows: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, level) in [("a.png", 10), ("b.png", 200)] {
            let pixels = ndarray::Array3::from_elem((3, 4, 4), level);
            Image::new(pixels).unwrap().save_png(&folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join(file), rows).unwrap();
        folder
    }

    fn level(image: &Image) -> u8 {
        image.pixels()[[0, 0, 0]]
    }

    #[test]
    fn an_edit_is_asked_for_by_the_user_and_drawn_by_the_model() {
        let rows = r#"{"original_image": "a.png", "edit_prompt": "brighter", "edited_image": "b.png"}"#;
        let folder = folder("edits.jsonl", rows);
        let set = config(folder.path(), "edits.jsonl", "{ kind = 'edit' }").open(SHAPE.into(), "key").unwrap();
        assert!(set.held_out_is_train());
        let turns = set.train.turns(0).unwrap();
        assert_eq!((turns[0].speaker, turns[1].speaker), (Speaker::User, Speaker::Model));
        assert_eq!(turns[0].texts().collect::<Vec<_>>(), ["brighter"]);
        assert_eq!((level(turns[0].images().next().unwrap()), level(turns[1].images().next().unwrap())), (10, 200));
        assert_eq!(set.texts(10).collect::<Vec<_>>(), ["brighter"]);
    }

    #[test]
    fn a_conversation_has_its_turns_and_loses_a_question_without_an_answer() {
        let rows = r#"[{"image": "b.png", "conversations": [
            {"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "Grey."},
            {"from": "human", "value": "Why?"}]}]"#;
        let folder = folder("llava.json", rows);
        let set = config(folder.path(), "llava.json", "{ kind = 'conversation' }").open(SHAPE.into(), "key").unwrap();
        let turns = set.train.turns(0).unwrap();
        let texts: Vec<_> = turns.iter().flat_map(Turn::texts).collect();
        assert_eq!((turns.len(), texts), (2, vec!["What is it?", "Grey."]));
    }

    #[test]
    fn bad_rows_fail_alone_and_name_what_is_wrong() {
        let rows = [
            r#"{"original_image": "none.png", "edit_prompt": "x", "edited_image": "b.png"}"#,
            r#"{"original_image": "a.png", "edit_prompt": "x", "edited_image": "b.png"}"#,
            r#"{"original_image": "a.png", "edit_prompt": 3, "edited_image": "b.png"}"#,
        ];
        let folder = folder("edits.jsonl", &rows.join("\n"));
        let set = config(folder.path(), "edits.jsonl", "{ kind = 'edit' }").open(SHAPE.into(), "key").unwrap();
        let message = |index| set.train.turns(index).unwrap_err().to_string();
        assert!(message(0).contains("none.png") || message(0).contains("original"), "{}", message(0));
        assert!(set.train.turns(1).is_ok());
        assert!(message(2).contains("a text under"), "{}", message(2));

        let none = config(folder.path(), "other*.jsonl", "{ kind = 'edit' }").open(SHAPE.into(), "key").err().unwrap();
        assert!(none.to_string().contains("other"), "{none}");
        let captioned = config(folder.path(), "edits.jsonl", "{ kind = 'captioned' }");
        let refused = captioned.validate("data.mixture[0].content.source").unwrap_err().to_string();
        assert!(refused.contains("data.mixture[0].content.source.layout.kind"), "{refused}");
    }

    #[test]
    fn a_speaker_whom_nobody_knows_is_named() {
        let rows = r#"{"conversations": [{"from": "narrator", "value": "Once."}]}"#;
        let folder = folder("talk.jsonl", rows);
        let set = config(folder.path(), "talk.jsonl", "{ kind = 'conversation' }").open(SHAPE.into(), "key").unwrap();
        let message = set.train.outline(0).unwrap_err().to_string();
        assert!(message.contains("`narrator`") && message.contains("talk.jsonl#0"), "{message}");
    }
}
