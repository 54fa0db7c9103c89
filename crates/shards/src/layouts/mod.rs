//! From a record to an example, a file for each layout.
//!
//! Fields are named by paths, see [`Value::get`]: the suffix of a tar's member, a column, `json.caption`. The same layout reads
//! tars, Parquet and JSON.

mod captioned;
mod conversation;
mod edit;
mod images;
mod mmc4;
mod obelics;
mod text;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::captioned::CaptionedLayout;
pub use self::conversation::ConversationLayout;
pub use self::edit::EditLayout;
pub use self::mmc4::Mmc4Layout;
pub use self::obelics::ObelicsLayout;
pub use self::text::TextLayout;
use crate::containers::{Columns, Record};
use crate::error::{ShardError, nearest};
use crate::example::Example;
use crate::value::Value;

/// What the records of all shards are made into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reading {
    /// How a record is laid out.
    pub layout: Layout,
    /// The field whose text or number is an example's key, by which the held-out split goes; if absent `file#row`. Tars have
    /// keys of their own and ignore it.
    pub key: Option<String>,
    /// The field with the class, a whole number; if absent `cls` or `label`, where one is there and is a whole number.
    pub label: Option<String>,
    /// Fields that an example keeps as JSON; one that a record lacks is passed over.
    pub fields: Vec<String>,
    /// The folder of images that records give by name; they are not looked for if absent.
    pub images: Option<PathBuf>,
}

/// How a record is laid out, chosen by the key `kind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Layout {
    /// An image and its captions.
    Captioned(CaptionedLayout),
    /// A text.
    Text(TextLayout),
    /// Images and texts in turn, in two lists of one length.
    Obelics(ObelicsLayout),
    /// Sentences, and images that belong to some of them.
    Mmc4(Mmc4Layout),
    /// An image, an instruction and the image that it leads to.
    Edit(EditLayout),
    /// Images and what is said about them.
    Conversation(ConversationLayout),
}

impl Default for Layout {
    fn default() -> Self {
        Self::Captioned(CaptionedLayout::default())
    }
}

/// What to do with a document of which an image is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingImages {
    /// The document is bad.
    #[default]
    Refuse,
    /// The image is left out and counted. A document without any image left is bad.
    LeaveOut,
}

/// Names of the class that are tried where none is set.
const LABELS: [&str; 2] = ["cls", "label"];

/// What a layout takes from a record.
pub(crate) trait Shape {
    /// Groups of fields of each of which one must be there, and fields that may be.
    fn fields(&self) -> (Vec<Vec<String>>, Vec<String>);

    /// Fills in the parts of an example.
    fn fill(&self, source: &mut Source<'_>, example: &mut Example) -> Result<(), ShardError>;
}

/// A record that is being taken apart.
pub(crate) struct Source<'a> {
    record: Record,
    reading: &'a Reading,
}

impl Layout {
    fn shape(&self) -> &dyn Shape {
        match self {
            Self::Captioned(layout) => layout,
            Self::Text(layout) => layout,
            Self::Obelics(layout) => layout,
            Self::Mmc4(layout) => layout,
            Self::Edit(layout) => layout,
            Self::Conversation(layout) => layout,
        }
    }
}

impl Reading {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// Names what is set to an empty name.
    pub fn validate(&self) -> Result<(), ShardError> {
        if let Layout::Conversation(layout) = &self.layout
            && layout.placeholder.is_empty()
        {
            return Err(ShardError::setting("layout.placeholder", "a text such as `<image>`", "an empty one"));
        }
        let (required, optional) = self.layout.shape().fields();
        let mut names =
            required.iter().flatten().chain(&optional).chain(&self.fields).chain(&self.key).chain(&self.label);
        match names.find(|name| name.trim().is_empty()) {
            Some(_) => Err(ShardError::setting("layout", "names of fields", "an empty name")),
            None => Ok(()),
        }
    }

    /// The fields that shards are asked for.
    pub fn columns(&self) -> Columns {
        let (required, mut optional) = self.layout.shape().fields();
        optional.extend(self.fields.iter().cloned());
        match &self.label {
            Some(label) => optional.push(label.clone()),
            None => optional.extend(LABELS.map(String::from)),
        }
        Columns { key: self.key.clone(), required, optional, left_out: vec![] }
    }

    /// The same where images are not needed.
    pub fn columns_without_images(&self) -> Columns {
        let left_out = match &self.layout {
            Layout::Captioned(layout) => layout.image.clone(),
            _ => vec![],
        };
        Columns { left_out, ..self.columns() }
    }

    /// The example of a record.
    ///
    /// # Errors
    ///
    /// When a field is missing or is not of its type, or an image cannot be found: skip it and count it.
    pub fn example(&self, record: Record) -> Result<Example, ShardError> {
        let mut source = Source { record, reading: self };
        let mut example = Example { label: source.label()?, ..Example::default() };
        for name in &self.fields {
            if let Some(value) = source.record.value.get(name) {
                example.fields.insert(name.clone(), value.to_json());
            }
        }
        self.layout.shape().fill(&mut source, &mut example)?;
        example.key = source.record.key;
        Ok(example)
    }

    /// Key, captions and class of a captioned image, of a record of which images need not have been read: an example without
    /// parts.
    ///
    /// # Errors
    ///
    /// As [`Reading::example`], as far as it can be seen without the image; and in another layout than that of captioned images.
    pub fn description(&self, record: Record) -> Result<Example, ShardError> {
        let Layout::Captioned(layout) = &self.layout else {
            return Err(ShardError::setting("layout.kind", "captioned", "another"));
        };
        let mut source = Source { record, reading: self };
        let mut example = Example { label: source.label()?, ..Example::default() };
        layout.describe(&mut source, &mut example)?;
        example.key = source.record.key;
        Ok(example)
    }
}

impl Source<'_> {
    /// The first of several fields that is there.
    fn take(&mut self, names: &[String]) -> Option<Value> {
        names.iter().find_map(|name| self.record.value.take(name))
    }

    /// The same, where one must be.
    fn required(&mut self, names: &[String]) -> Result<Value, ShardError> {
        self.take(names).ok_or_else(|| {
            let near = names.first().map_or(String::new(), |name| nearest(name, self.record.value.names()));
            let there: Vec<&str> = self.record.value.names().take(12).collect();
            self.malformed(quoted(names), format!("the fields {}{near}", there.join(", ")))
        })
    }

    fn malformed(&self, expected: impl Into<String>, found: impl ToString) -> ShardError {
        ShardError::malformed(&self.record.origin, expected, found)
    }

    /// The text of a field, as it stands there.
    fn text(&self, name: &str, value: Value) -> Result<String, ShardError> {
        match value {
            Value::Text(text) => Ok(text),
            // Columns of some writers are bytes that hold texts.
            Value::Bytes(bytes) => {
                let count = bytes.len();
                let text = String::from_utf8(bytes);
                text.map_err(|_| {
                    self.malformed(format!("a text in UTF-8 under `{name}`"), format!("{count} other bytes"))
                })
            }
            other => Err(self.malformed(format!("a text under `{name}`"), other.described())),
        }
    }

    /// The list of a field.
    fn list(&self, name: &str, value: Value) -> Result<Vec<Value>, ShardError> {
        match value {
            Value::List(values) => Ok(values),
            other => Err(self.malformed(format!("a list under `{name}`"), other.described())),
        }
    }

    fn label(&self) -> Result<Option<i64>, ShardError> {
        match &self.reading.label {
            None => Ok(LABELS.iter().find_map(|name| self.record.value.get(name)?.integer())),
            Some(name) => match self.record.value.get(name) {
                Some(value) => match value.integer() {
                    Some(label) => Ok(Some(label)),
                    None => Err(self.malformed(format!("a whole number under `{name}`"), value.described())),
                },
                None => Err(self.malformed(format!("a whole number under `{name}`"), "no such field")),
            },
        }
    }
}

/// A text without what surrounds it.
fn trimmed(text: String) -> String {
    match text.trim() {
        inner if inner.len() == text.len() => text,
        inner => inner.to_string(),
    }
}

/// Names for a message.
fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" or ")
}

/// Names as settings hold them.
fn owned<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(String::from).to_vec()
}
