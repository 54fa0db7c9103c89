//! An opened corpus: its splits, what was dropped, and what a run remembers of it.

use std::collections::HashSet;
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::deduplication::{KeptTexts, Shingles, place_of, word_hashes};
use crate::error::CorpusError;
use crate::texts::{Entry, Form, Group, Shelves, Store, Texts, WHOLE, check_of, digest};

/// Texts for training and texts that are held out, none of which is equal or nearly equal to another.
///
/// Molecules are compared by their strings alone, and split as published.
#[derive(Clone, Debug)]
pub struct Corpus {
    splits: Vec<(&'static str, Texts)>,
    skipped: Vec<String>,
    statistics: Statistics,
    record: Record,
}

/// How much there is and how much was dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Texts of all splits.
    pub documents: usize,
    /// Their bytes of UTF-8.
    pub bytes: u64,
    /// Texts that were dropped because another is equal.
    pub equal: usize,
    /// Texts that were dropped because another is nearly equal.
    pub nearly_equal: usize,
    /// Files and texts that were left out, as [`Corpus::skipped`] says why.
    pub skipped: usize,
}

/// What a run remembers of its corpus, to say whether it is still the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The kind of the settings.
    pub kind: String,
    /// The packages that it was made of, in the order of their names.
    pub items: Vec<Item>,
    /// SHA-256 of all names and texts by split, in hexadecimal.
    pub sha256: String,
}

/// A package or folder of a corpus.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// What it is called.
    pub name: String,
    /// Its version, with a checksum where there is one; empty where there is none.
    pub version: String,
}

/// The name of the split for training.
pub(crate) const TRAIN: &str = "train";
/// The name of the split that is held out.
pub(crate) const HELD_OUT: &str = "held_out";

impl Corpus {
    /// The texts for training.
    pub fn train(&self) -> &Texts {
        &self.splits[0].1
    }

    /// The texts that are held out; none where the fraction is 0.
    pub fn held_out(&self) -> &Texts {
        &self.splits[1].1
    }

    /// A split by its name: `train`, `held_out`, and what a published set has beside: `scaffolds` of molecules.
    pub fn split(&self, name: &str) -> Option<&Texts> {
        self.splits.iter().find(|(known, _)| *known == name).map(|(_, texts)| texts)
    }

    /// All splits with their names, training first.
    pub fn splits(&self) -> impl Iterator<Item = (&'static str, &Texts)> {
        self.splits.iter().map(|(name, texts)| (*name, texts))
    }

    /// A sentence for each reason why files or texts were left out, with their number.
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// How much there is.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// What a run remembers of it.
    pub fn record(&self) -> &Record {
        &self.record
    }
}

/// Bytes of texts that are looked at side by side.
const AT_ONCE: usize = 1 << 22;

/// How texts come into splits.
#[derive(Clone, Copy)]
pub(crate) enum Splitting {
    /// A fraction of the texts by their places is held out, and nearly equal texts are dropped.
    ByText(f64),
    /// As [`Builder::hold_in`] was told; these splits are there beside training, in this order.
    Published(&'static [&'static str]),
}

/// Collects the texts of a corpus in a fixed order.
pub(crate) struct Builder {
    splitting: Splitting,
    groups: Vec<Group>,
    held: String,
    documents: Vec<Document>,
    pending: Vec<(Entry, u8, String)>,
    pending_bytes: usize,
    items: Vec<Item>,
    skips: Vec<(String, usize)>,
}

/// What is remembered of a text while others are looked at.
struct Document {
    entry: Entry,
    digest: [u8; 16],
    bytes: u32,
    /// 0 is training.
    split: u8,
    place: f64,
    shingles: Option<Shingles>,
}

impl Builder {
    pub(crate) fn new(splitting: Splitting) -> Self {
        Self {
            splitting,
            groups: vec![],
            held: String::new(),
            documents: vec![],
            pending: vec![],
            pending_bytes: 0,
            items: vec![],
            skips: vec![],
        }
    }

    /// Names a package or folder that texts come from.
    pub(crate) fn item(&mut self, name: impl Into<String>, version: impl Into<String>) {
        self.items.push(Item { name: name.into(), version: version.into() });
    }

    /// A sentence about something that is left out.
    pub(crate) fn skip(&mut self, sentence: String) {
        self.skips.push((sentence, 1));
    }

    /// A sentence about `count` things that are left out; nothing where the count is 0.
    pub(crate) fn skip_all(&mut self, count: usize, sentence: impl FnOnce(usize) -> String) {
        if count > 0 {
            self.skips.push((sentence(count), count));
        }
    }

    /// Begins a place that texts come from.
    pub(crate) fn group(&mut self, name: impl Into<Box<str>>, store: Store, form: Form) {
        self.groups.push(Group { name: name.into(), store, form });
    }

    /// A text of the last group that lies at an offset of its store; `text` is what its form makes of it.
    pub(crate) fn add(&mut self, part: Option<u32>, (offset, length): (u64, u32), text: String) {
        self.push(part, (offset, length), 0, text);
    }

    /// A text of the last group, which the corpus holds.
    pub(crate) fn hold(&mut self, part: Option<u32>, text: String) {
        self.hold_in(0, part, text);
    }

    /// A text of the last group, which the corpus holds, for a published split: 0 is training.
    pub(crate) fn hold_in(&mut self, split: u8, part: Option<u32>, text: String) {
        let offset = self.held.len() as u64;
        self.held.push_str(&text);
        self.push(part, (offset, text.len() as u32), split, text);
    }

    fn push(&mut self, part: Option<u32>, (offset, length): (u64, u32), split: u8, text: String) {
        let group = self.groups.len().saturating_sub(1) as u32;
        let entry = Entry { group, part: part.unwrap_or(WHOLE), offset, length, check: 0 };
        self.pending_bytes += text.len();
        self.pending.push((entry, split, text));
        if self.pending_bytes >= AT_ONCE {
            self.look_at_pending();
        }
    }

    fn look_at_pending(&mut self) {
        let by_text = matches!(self.splitting, Splitting::ByText(_));
        let looked_at = self.pending.par_iter().map(|(entry, split, text)| {
            let digest = digest(text);
            let (place, shingles) = match by_text {
                true => {
                    let words = word_hashes(text);
                    (place_of(&words), Some(Shingles::of_words(&words)))
                }
                false => (0.0, None),
            };
            let entry = Entry { check: check_of(&digest), ..*entry };
            Document { entry, digest, bytes: text.len() as u32, split: *split, place, shingles }
        });
        self.documents.par_extend(looked_at);
        self.pending.clear();
        self.pending_bytes = 0;
    }

    /// Splits the texts and drops duplicates.
    ///
    /// # Errors
    /// When there is no text; `searched` says where was looked, and for what.
    pub(crate) fn finish(mut self, kind: &str, searched: impl FnOnce() -> String) -> Result<Corpus, CorpusError> {
        self.look_at_pending();
        if self.documents.is_empty() {
            let first = self.skips.first().map(|(first, _)| format!("; left out, the first: {first}"));
            return Err(CorpusError::Empty { searched: searched() + &first.unwrap_or_default() });
        }
        let names = match self.splitting {
            Splitting::ByText(fraction) => {
                mark(&mut self.documents, fraction);
                vec![HELD_OUT]
            }
            Splitting::Published(names) => names.to_vec(),
        };
        let names: Vec<&'static str> = std::iter::once(TRAIN).chain(names).collect();
        let (kept, equal, nearly_equal) = without_duplicates(self.documents);
        let shelves = Arc::new(Shelves { groups: self.groups, held: self.held });
        self.items.sort();
        let record = Record { kind: kind.to_string(), items: self.items, sha256: hash(&names, &shelves, &kept) };
        let statistics = Statistics {
            documents: kept.len(),
            bytes: kept.iter().map(|document| u64::from(document.bytes)).sum(),
            equal,
            nearly_equal,
            skipped: self.skips.iter().map(|(_, count)| count).sum(),
        };
        let mut splits = vec![];
        for (number, name) in names.into_iter().enumerate() {
            let of_split = || kept.iter().filter(|document| usize::from(document.split) == number);
            let bytes = of_split().map(|document| u64::from(document.bytes)).sum();
            let entries = of_split().map(|document| document.entry).collect();
            splits.push((name, Texts::new(shelves.clone(), entries, bytes)));
        }
        let skipped = self.skips.into_iter().map(|(sentence, _)| sentence).collect();
        Ok(Corpus { splits, skipped, statistics, record })
    }
}

/// Marks the texts that are held out: those whose place is below `fraction`. Where there are two different texts and
/// the fraction is above 0, at least one is held out and at least one is not.
fn mark(documents: &mut [Document], fraction: f64) {
    let smallest = documents.iter().map(|document| document.place).fold(f64::INFINITY, f64::min);
    let largest = documents.iter().map(|document| document.place).fold(f64::NEG_INFINITY, f64::max);
    if fraction <= 0.0 || smallest >= largest {
        return;
    }
    for document in documents {
        let held_out = document.place == smallest || (document.place < fraction && document.place < largest);
        document.split = u8::from(held_out);
    }
}

/// The texts of which no two are equal or nearly equal, in their order, and how many of either kind were dropped. Texts
/// that are held out come before those of training, so it is these that are dropped.
fn without_duplicates(mut documents: Vec<Document>) -> (Vec<Document>, usize, usize) {
    let mut order: Vec<usize> = (0..documents.len()).collect();
    order.sort_by_key(|&index| documents[index].split == 0);
    let (mut seen, mut near) = (HashSet::new(), KeptTexts::default());
    let (mut kept, mut equal, mut nearly_equal) = (vec![false; documents.len()], 0, 0);
    for index in order {
        let document = &mut documents[index];
        if !seen.insert(document.digest) {
            equal += 1;
        } else if document.shingles.take().is_some_and(|shingles| !near.keep(shingles)) {
            nearly_equal += 1;
        } else {
            kept[index] = true;
        }
    }
    let mut kept = kept.into_iter();
    documents.retain(|_| kept.next().unwrap_or(false));
    (documents, equal, nearly_equal)
}

/// SHA-256 of splits, names and texts.
fn hash(names: &[&str], shelves: &Shelves, documents: &[Document]) -> String {
    let mut hasher = Sha256::new();
    for document in documents {
        let split = names.get(usize::from(document.split)).copied().unwrap_or_default();
        hasher.update(format!("{split}\0{}\0", shelves.name(&document.entry)));
        hasher.update(document.digest);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
