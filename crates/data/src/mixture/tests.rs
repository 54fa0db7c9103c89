//! Speech from files to documents.

use std::path::Path;
use std::sync::Arc;

use interfuse_sequence::{Content, Modality, Objective, PositionScheme, SequenceFormat};
use interfuse_speech::audio::{Audio, write_wav};
use interfuse_vae::CodecConfig;
use ndarray::Array3;

use super::*;
use crate::assembly::{ImageLane, UnitIds};
use crate::config::DataConfig;
use crate::documents::DocumentStream;
use crate::error::DataError;
use crate::images::{Image, ImageShape};
use crate::text::Tokenizer;

const SHAPE: ImageShape = ImageShape { channels: 3, height: 4, width: 4 };

/// Clips `a`, `b`, … of a tenth of a second with a word each, and images of some.
fn clips(words: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (place, word) in words.iter().enumerate() {
        let path = folder.path().join(format!("{}.wav", (b'a' + place as u8) as char));
        let samples = (0..800).map(|n| (n as f32 * (place + 1) as f32 * 0.2).sin() / 2.0).collect();
        write_wav(&path, &Audio { samples, rate: 8000 }).unwrap();
        std::fs::write(path.with_extension("txt"), word).unwrap();
        if place % 2 == 0 {
            Image::new(Array3::zeros((3, 5, 5))).unwrap().save_png(&path.with_extension("png")).unwrap();
        }
    }
    folder
}

fn config(folder: &Path, more: &str) -> Result<SpeechConfig, String> {
    let clips = format!("clips = {{ kind = 'folder', path = {folder:?} }}");
    let text = format!("[[mixture]]\nname = 'voices'\n[mixture.content]\nkind = 'speech'\n{clips}\n{more}");
    let config: DataConfig = toml::from_str(&text).map_err(|error| error.to_string())?;
    config.validate().map_err(|error| error.to_string())?;
    Ok(config.mixture[0].speech().unwrap().clone())
}

/// The clips with units of a file.
fn open(folder: &Path, units: &str, more: &str) -> Result<SpeechSet, DataError> {
    let path = folder.join("units.txt");
    std::fs::write(&path, units).unwrap();
    SpeechSet::open(&config(folder, &format!("unit_file = {path:?}\n{more}")).unwrap())
}

fn names(set: &SpeechSet) -> Vec<(&str, &[u32])> {
    set.train.iter().map(|each| (each.name.as_str(), each.units.as_slice())).collect()
}

#[test]
fn units_that_were_brought_along_find_their_clips() {
    let folder = clips(&["one", "two", "three"]);
    // By name, by name without folder and extension, and in order.
    let by_name = open(folder.path(), "c.wav\t5 5 6\na\t1 1 2\nb.wav\t3\n", "held_out = 0.0").unwrap();
    assert_eq!(names(&by_name), [("a.wav", &[1, 2][..]), ("b.wav", &[3]), ("c.wav", &[5, 6])]);
    assert_eq!((by_name.alphabet, by_name.held_out_is_train()), (7, true));
    assert_eq!(by_name.train[2].text.as_deref(), Some("three"));
    let in_order = open(folder.path(), "1 1 2\n3\n5 5 6\n", "held_out = 0.0\ndeduplicate = false").unwrap();
    assert_eq!(names(&in_order), [("a.wav", &[1, 1, 2][..]), ("b.wav", &[3]), ("c.wav", &[5, 5, 6])]);
    let one_missing = open(folder.path(), "c\t5\na\t1\n", "held_out = 0.0\nmax_units = 1").unwrap();
    assert_eq!(one_missing.skipped, ["b.wav: no line of units"]);
    let held_out = open(folder.path(), "1\n3\n5\n", "held_out = 0.3").unwrap();
    assert_eq!((held_out.train.len(), held_out.held_out.len()), (2, 1));
}

#[test]
fn units_alone_have_no_transcripts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("train.km");
    std::fs::write(&path, "4 4 4 1\n2 2\n").unwrap();
    let text =
        format!("[[mixture]]\nname = 'v'\ncontent = {{ kind = 'speech', unit_file = {path:?}, held_out = 0.0 }}");
    let config: DataConfig = toml::from_str(&text).unwrap();
    config.validate().unwrap();
    let set = SpeechSet::open(config.mixture[0].speech().unwrap()).unwrap();
    assert_eq!(names(&set), [("line 1", &[4, 1][..]), ("line 2", &[2])]);
    assert!(set.train.iter().all(|each| each.text.is_none()));
    let long = config.mixture[0].speech().map(|speech| SpeechConfig { max_units: 1, ..speech.clone() }).unwrap();
    assert_eq!(SpeechSet::open(&long).unwrap().cut, 1);
}

#[test]
fn units_that_belong_to_nothing_are_refused() {
    let folder = clips(&["one", "two"]);
    let message = |units: &str| open(folder.path(), units, "").err().unwrap().to_string();
    let foreign = message("x\t1\ny\t2\n");
    assert!(foreign.contains("units.txt") && foreign.contains("a.wav") && foreign.contains("\"x\""), "{foreign}");
    let fewer = message("1 2 3\n");
    assert!(fewer.contains("2 lines") && fewer.contains("found 1"), "{fewer}");
}

#[test]
fn settings_out_of_range_name_their_key() {
    let folder = clips(&["one"]);
    for (more, key) in [
        ("", "data.mixture[0].content.units"),
        ("unit_file = 'u'\nheld_out = 1.0", "data.mixture[0].content.held_out"),
        ("unit_file = 'u'\nspeech_first = 2.0", "data.mixture[0].content.speech_first"),
        ("unit_file = 'u'\nmax_units = 0", "data.mixture[0].content.max_units"),
        ("unit_file = 'u'\nmax_unit = 3", "max_unit"),
    ] {
        let message = config(folder.path(), more).unwrap_err();
        assert!(message.contains(key), "{more}: {message}");
    }
    let mixture = |text: &str| {
        let config: DataConfig = toml::from_str(text).unwrap();
        config.validate().unwrap_err().to_string()
    };
    let images = |name: &str| format!("[[mixture]]\nname = '{name}'\ncontent = {{ kind = 'images' }}\n");
    assert!(mixture(&images("a b")).contains("data.mixture[0].name"));
    assert!(mixture(&(images("a") + &images("a"))).contains("`a` again"));
    assert!(mixture(&(images("a") + &images("b"))).contains("at most one"));
    assert!(mixture(&images("a").replace("content", "weight = 0.0\ncontent")).contains("data.mixture[0].weight"));
}

#[test]
fn a_document_has_any_subset_of_image_text_and_speech() {
    let folder = clips(&["one", "two", "three", "four"]);
    let set = open(folder.path(), "1\n2\n3\n4\n", "held_out = 0.0\nspeech_alone = 0.3").unwrap();
    let path = folder.path().join("units.txt");
    let settings = config(folder.path(), &format!("unit_file = {path:?}\nspeech_alone = 0.3")).unwrap();
    let tokenizer = Tokenizer::train(["one two three four"].into_iter(), 270).unwrap();
    let begin = tokenizer.vocab_size() as u32;
    let ids = UnitIds { begin, end: begin + 1, count: set.alphabet };
    let lanes = SpeechLanes { text: 2, units: 1, ids };
    let documents = SpeechDocuments::new(Arc::clone(&set.train), tokenizer, lanes, (settings, 64), 5);
    let codec = CodecConfig::Pixels.open(3, &Default::default()).unwrap();
    let lane = ImageLane { lane: 0, first_code: None, clean_copies: false };
    let mut documents = documents.with_images(ClipImages::new(codec, SHAPE.into(), lane));
    let modality = |name: &str, objective, tower| Modality { name: name.into(), objective, tower };
    let format = SequenceFormat {
        modalities: vec![
            modality("image", Objective::Denoise, 0),
            modality("speech", Objective::NextToken, 1),
            modality("text", Objective::NextToken, 1),
        ],
        latent_shape: [3, 4, 4],
        patch_size: 2,
        positions: PositionScheme::Sequential,
    };
    let most = documents.rows(&format);
    let mut kinds = std::collections::BTreeSet::new();
    for number in 0..200 {
        let index = documents.index_of(number);
        let sample = documents.document(number).unwrap();
        let rows = format.rows_of(&sample);
        assert!(rows.iter().zip(&most[index]).all(|(rows, most)| rows <= most), "{rows:?} of {:?}", most[index]);
        let has_image = sample.segments.iter().any(|segment| matches!(segment.content, Content::Denoise(_)));
        assert_eq!(has_image, set.train[index].image.is_some());
        kinds.insert(sample.segments.iter().map(|segment| segment.modality).collect::<Vec<_>>());
        let again = documents.document(number).unwrap();
        assert_eq!(format!("{:?}", again.segments), format!("{:?}", sample.segments), "a function of its number");
    }
    // Speech alone or with text, without an image, before it and behind it; text is in the lane of markers.
    assert!(
        kinds.contains(&vec![2, 1, 2]) && kinds.contains(&vec![2, 0, 2, 1, 2]) && kinds.contains(&vec![2, 1, 2, 0, 2])
    );
}
