//! Text to ids and back.
//!
//! The file format is Hugging Face's `tokenizer.json`, so that a tokenizer trained here opens there
//! and any of theirs opens here. The one trained here is a byte-level BPE: every text has ids, and
//! every text comes back as it was. Text never turns into a special token, whatever it says: a
//! caption that reads "`<eos>`" is five characters of text.

use std::path::Path;

use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Inner};

use super::special_tokens::SpecialTokens;
use crate::error::DataError;

/// What a tokenizer trained here calls its special tokens, in the order of their ids.
const TRAINED: [&str; 5] = ["<bos>", "<eos>", "<boi>", "<eoi>", "<pad>"];

/// The bytes and the special tokens: below this a vocabulary cannot write every text.
const SMALLEST_VOCAB: usize = 256 + TRAINED.len();

/// A vocabulary with its five special tokens.
#[derive(Clone)]
pub struct Tokenizer {
    pub(super) inner: Inner,
    special: SpecialTokens,
    pub(super) vocab_size: usize,
}

/// Beyond it a typing error is likelier than a wish, and memory for it runs out without a message.
const LARGEST_VOCAB: usize = 1 << 20;

/// Reads the JSON. Whether it is JSON is asked first, because the library panics at some of what is not.
fn read(bytes: &[u8], name: &str) -> Result<Inner, DataError> {
    let malformed = |error: String| DataError::malformed(name, "the JSON of a Hugging Face tokenizer", error);
    serde_json::from_slice::<serde_json::Value>(bytes).map_err(|error| malformed(error.to_string()))?;
    Inner::from_bytes(bytes).map_err(|error| malformed(error.to_string()))
}

impl Tokenizer {
    /// Learns a byte-level BPE from captions. The same captions, in any order, give the same
    /// tokenizer to the byte.
    ///
    /// Ids 0 to 4 are `<bos> <eos> <boi> <eoi> <pad>`, the next 256 the bytes, the rest merges. Few
    /// captions yield fewer merges than asked for, so size a model by [`Tokenizer::vocab_size`].
    ///
    /// # Errors
    ///
    /// When `vocab_size` is below 261 or above 2²⁰.
    pub fn train(captions: impl Iterator<Item = impl AsRef<str> + Send>, vocab_size: usize) -> Result<Self, DataError> {
        if !(SMALLEST_VOCAB..=LARGEST_VOCAB).contains(&vocab_size) {
            let special = TRAINED.len();
            let expected = format!("from {SMALLEST_VOCAB}, 256 bytes and {special} special tokens, to {LARGEST_VOCAB}");
            return Err(DataError::config("tokenizer.vocab_size", expected, vocab_size));
        }
        let trainer = BpeTrainer::builder()
            .show_progress(false)
            .vocab_size(vocab_size)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(TRAINED.map(|name| AddedToken::from(name, true)).to_vec())
            .build();
        let splitting = ByteLevel::new(false, false, true);
        let mut inner = Inner::new(BPE::default());
        inner.with_pre_tokenizer(Some(splitting)).with_decoder(Some(ByteLevel::default()));
        // Not an adapter of `captions`, which need not be Send.
        let captions: Vec<_> = captions.collect();
        inner.train(&mut TrainerWrapper::from(trainer), captions.into_iter()).map_err(broken("cannot be trained"))?;
        Self::over(inner, "trained")
    }

    /// Opens any `tokenizer.json`. Special tokens of other names are recognised where they are
    /// common ones.
    ///
    /// # Errors
    ///
    /// When the file is not a tokenizer, or one of the five special tokens is missing; the message
    /// says how to add it.
    pub fn load(path: &Path) -> Result<Self, DataError> {
        let bytes = std::fs::read(path).map_err(DataError::io("read", path))?;
        Self::parse(&bytes, &path.display().to_string())
    }

    /// As [`Tokenizer::load`], of a language model that knows no images: `<boi>` and `<eoi>` become ids beyond its own where it
    /// has nothing like them.
    ///
    /// # Errors
    ///
    /// When the file is not a tokenizer, or has no token that opens or closes a document.
    pub fn load_with_markers(path: &Path) -> Result<Self, DataError> {
        let (bytes, name) = (std::fs::read(path).map_err(DataError::io("read", path))?, path.display().to_string());
        let mut inner = read(&bytes, &name)?;
        SpecialTokens::add_image_markers(&mut inner)?;
        Self::over(inner, &name)
    }

    /// Opens the content of a `tokenizer.json`, such as [`Tokenizer::to_bytes`] gives.
    ///
    /// # Errors
    ///
    /// As [`Tokenizer::load`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DataError> {
        Self::parse(bytes, "tokenizer.json")
    }

    /// The content of a `tokenizer.json`, the same bytes each time.
    ///
    /// # Errors
    ///
    /// When a part of a foreign tokenizer cannot be written down.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DataError> {
        self.inner.to_string(true).map(String::into_bytes).map_err(broken("cannot be written"))
    }

    /// Writes a `tokenizer.json`.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), DataError> {
        std::fs::write(path, self.to_bytes()?).map_err(DataError::io("write", path))
    }

    /// The ids of a text. None of them is special, even where the text spells a special token's
    /// name.
    ///
    /// # Errors
    ///
    /// When a foreign tokenizer has no ids for this text. One trained here has ids for every text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let encoding = self.inner.encode_fast(text, false).map_err(broken(&format!("has no ids for {text:?}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of ids; special tokens and ids beyond the vocabulary have none.
    ///
    /// A character cut off by the end of the ids becomes U+FFFD.
    ///
    /// # Errors
    ///
    /// When a foreign tokenizer's decoder refuses. One trained here decodes any ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        let text: Vec<u32> = ids.iter().copied().filter(|&id| !self.special.contains(id)).collect();
        self.inner.decode(&text, true).map_err(broken("cannot decode ids"))
    }

    /// What the file calls an id, such as `<boi>`.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// One more than the largest id: the rows that an embedding needs.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The ids of the special tokens.
    pub fn special(&self) -> SpecialTokens {
        self.special
    }

    fn parse(bytes: &[u8], name: &str) -> Result<Self, DataError> {
        Self::over(read(bytes, name)?, name)
    }

    fn over(mut inner: Inner, name: &str) -> Result<Self, DataError> {
        let vocab_size = inner.get_vocab(true).values().max().map_or(0, |&largest| largest as usize + 1);
        let special = SpecialTokens::find(&mut inner, name, vocab_size)?;
        inner.set_encode_special_tokens(true);
        // Padding and truncation are the loader's business; a file that asks for them would bend
        // every caption.
        inner.with_padding(None).with_truncation(None).map_err(broken("cannot be set up"))?;
        Ok(Self { inner, special, vocab_size })
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The vocabulary would be pages long.
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size).field("special", &self.special).finish()
    }
}

fn broken(what: &str) -> impl FnOnce(tokenizers::Error) -> DataError {
    let what = what.to_string();
    move |error| DataError::Tokenizer(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTIONS: [&str; 5] =
        ["red apple", "green apple", "a photo of a red apple", "grinning face", "a photo of a face with <eos>"];

    fn trained() -> Tokenizer {
        Tokenizer::train(CAPTIONS.into_iter(), 290).unwrap()
    }

    #[test]
    fn special_tokens_come_first_and_merges_are_learnt() {
        let tokenizer = trained();
        assert_eq!(tokenizer.special(), SpecialTokens { bos: 0, eos: 1, boi: 2, eoi: 3, pad: 4 });
        assert_eq!(tokenizer.vocab_size(), 290);
        assert!(tokenizer.encode("red apple").unwrap().len() <= 3);
        let exhausted = Tokenizer::train(["ab"].into_iter(), 5000).unwrap();
        assert_eq!(exhausted.vocab_size(), SMALLEST_VOCAB + 1);
    }

    #[test]
    fn training_gives_the_same_bytes_in_any_order() {
        let captions: Vec<String> = (0..400).map(|n: u32| format!("thing {} of {}", n * n % 97, n * 7 % 31)).collect();
        let train = |captions: &mut dyn Iterator<Item = &String>| {
            Tokenizer::train(captions.map(String::as_str), 400).unwrap().to_bytes().unwrap()
        };
        let once = train(&mut captions.iter());
        assert_eq!(train(&mut captions.iter()), once);
        assert_eq!(train(&mut captions.iter().rev()), once);
    }

    #[test]
    fn every_text_comes_back_as_it_was() {
        let tokenizer = trained();
        let spaces = " ".repeat(3000);
        for text in [
            "",
            " leading",
            "trailing  ",
            "\t\r\n mixed\u{a0}",
            "Ünïcödé 漢字 🧑🏿‍🚀",
            "\0\u{7f}\u{fffd}",
            "it's <pad>",
            &spaces,
        ] {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        }
    }

    #[test]
    fn text_that_spells_a_special_token_stays_text() {
        let tokenizer = trained();
        let ids = tokenizer.encode("<boi> <eos><pad>").unwrap();
        assert!(ids.iter().all(|&id| id >= 5), "{ids:?}");
    }

    #[test]
    fn decoding_skips_special_tokens_and_unknown_ids() {
        let tokenizer = trained();
        let mut ids = vec![0];
        ids.extend(tokenizer.encode("red apple").unwrap());
        ids.extend([2, 3, 1, 4, 99_999]);
        assert_eq!(tokenizer.decode(&ids).unwrap(), "red apple");
        let cut = tokenizer.encode("é").unwrap()[..1].to_vec();
        assert_eq!(tokenizer.decode(&cut).unwrap(), "\u{fffd}");
    }

    #[test]
    fn files_are_byte_exact() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        let tokenizer = trained();
        tokenizer.save(&path).unwrap();
        let loaded = Tokenizer::load(&path).unwrap();
        assert_eq!(loaded.to_bytes().unwrap(), tokenizer.to_bytes().unwrap());
        assert_eq!(loaded.encode("red <eos> 🍎").unwrap(), tokenizer.encode("red <eos> 🍎").unwrap());
    }

    /// A foreign tokenizer: ours with other names for its special tokens, marked as special or not.
    fn foreign(names: [&str; 5], special: bool) -> Result<Tokenizer, DataError> {
        let mut text = String::from_utf8(trained().to_bytes().unwrap()).unwrap();
        for (ours, theirs) in TRAINED.iter().zip(names) {
            text = text.replace(&format!("\"{ours}\""), &format!("\"{theirs}\""));
        }
        let text = text.replace("\"special\": true", &format!("\"special\": {special}"));
        Tokenizer::from_bytes(text.as_bytes())
    }

    #[test]
    fn common_names_are_recognised() {
        let names = ["<s>", "</s>", "<|vision_start|>", "<|vision_end|>", "unused"];
        for special in [true, false] {
            let tokenizer = foreign(names, special).unwrap();
            assert_eq!(tokenizer.special(), SpecialTokens { bos: 0, eos: 1, boi: 2, eoi: 3, pad: 1 });
            let ids = tokenizer.encode("</s> <|vision_start|>").unwrap();
            assert!(ids.iter().all(|&id| id >= 5), "special {special}: {ids:?}");
        }
    }

    #[test]
    fn a_missing_special_token_is_named_with_the_cure() {
        let message = foreign(["<s>", "</s>", "unused", "<eoi>", "<pad>"], true).unwrap_err().to_string();
        for part in ["boi", "<|vision_start|>", "added_tokens", "\"id\": 290", "\"content\": \"<boi>\""] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn bad_input_is_an_error() {
        let message = Tokenizer::train(CAPTIONS.into_iter(), 260).unwrap_err().to_string();
        assert!(message.contains("261") && message.contains("260"), "{message}");
        assert!(Tokenizer::train(CAPTIONS.into_iter(), 99_999_999_999).is_err());
        // The library itself panics at what is no JSON behind "decoder".
        let torn = br#"{"version": "1.0", "added_tokens": [], "decoder": {: 3}, "model": {"type": "BPE", "vocab": {}, "merges": []}}"#;
        let message = Tokenizer::from_bytes(torn).unwrap_err().to_string();
        assert!(message.contains("the JSON of a Hugging Face tokenizer"), "{message}");
        for bytes in [&b""[..], b"{}", b"[1, 2]", b"\xff\xfe"] {
            assert!(Tokenizer::from_bytes(bytes).is_err());
        }
        assert!(Tokenizer::load(Path::new("/nowhere/tokenizer.json")).is_err());
    }
}
