//! Clips with transcripts in every layout, of files that the tests make.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::path::Path;

use interfuse_speech::audio::write_wav;
use interfuse_speech::clips::{
    AmazonQueenConfig, ClipSource, Clips, FolderConfig, StampsConfig, TelephonePromptsConfig, normalized,
};
use interfuse_speech::units::Recordings;
use interfuse_speech::{Audio, SpeechError};

/// Writes a clip of as many samples as its name has letters.
fn clip(root: &Path, name: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_wav(&path, &Audio { samples: vec![0.25; name.len()], rate: 8000 }).unwrap();
}

fn text(root: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn folder(root: &Path) -> Result<Clips, SpeechError> {
    ClipSource::Folder(FolderConfig { path: root.into(), language: Some("en".into()) }).open()
}

fn found(clips: &Clips) -> Vec<(&str, &str)> {
    clips.clips().iter().map(|clip| (clip.name.as_str(), clip.text.as_str())).collect()
}

#[test]
fn pairs_are_found_at_any_depth() {
    let root = tempfile::tempdir().unwrap();
    for name in ["b.wav", "a/c.WAV", "lonely.wav", "blank.wav", ".hidden.wav"] {
        clip(root.path(), name);
    }
    text(root.path(), "b.txt", "\u{feff} hello\n world \n");
    text(root.path(), "a/c.txt", "two");
    text(root.path(), "blank.txt", " \n");
    let clips = folder(root.path()).unwrap();
    assert_eq!(found(&clips), [("a/c.WAV", "two"), ("b.wav", "hello world")]);
    assert_eq!(clips.skipped().len(), 2, "{:?}", clips.skipped());
    assert_eq!((clips.audio(0).unwrap().samples.len(), clips.clips()[0].language.as_deref()), (7, Some("en")));
}

#[test]
fn metadata_decides_where_there_is_any() {
    for (name, rows) in [
        (
            "metadata.jsonl",
            "{\"file_name\": \"./x/a.wav\", \"transcription\": \"one\"}\n\n{\"file_name\": \"b.wav\", \"text\": \" two \"}\n\
             {\"file_name\": \"none.wav\", \"text\": \"lost\"}\n{\"file_name\": \"../b.wav\", \"text\": \"out\"}\n\
             {\"file_name\": \"b.wav\", \"text\": \"again\"}\n{\"file_name\": \"b.wav\"}\nno json\n",
        ),
        (
            "metadata.csv",
            "text,file_name\none,x/a.wav\n two ,b.wav\nlost,none.wav\nout,../b.wav\nagain,b.wav\n,b.wav\n,\n",
        ),
    ] {
        let root = tempfile::tempdir().unwrap();
        clip(root.path(), "x/a.wav");
        clip(root.path(), "b.wav");
        text(root.path(), "b.txt", "not looked at");
        text(root.path(), name, rows);
        let clips = folder(root.path()).unwrap();
        assert_eq!(found(&clips), [("b.wav", "two"), ("x/a.wav", "one")]);
        assert_eq!(clips.skipped().len(), 5, "{:?}", clips.skipped());
        let all = clips.skipped().join("\n");
        for part in
            [&format!("{name}` line 4"), "none.wav", "../b.wav", "second transcript", "transcript under one of text"]
        {
            assert!(all.contains(part), "{part}: {all}");
        }
    }
}

#[test]
fn ljspeech_is_known_by_its_bars() {
    let root = tempfile::tempdir().unwrap();
    clip(root.path(), "wavs/LJ1.wav");
    clip(root.path(), "LJ2.wav");
    text(
        root.path(),
        "metadata.csv",
        "LJ1|In 1901, \"he\" came|In nineteen-oh-one, \"he\" came\nLJ2|Yes.\nLJ3|lost\nLJ4\n../a|b\n",
    );
    let clips = folder(root.path()).unwrap();
    assert_eq!(found(&clips), [("LJ2.wav", "Yes."), ("wavs/LJ1.wav", "In nineteen-oh-one, \"he\" came")]);
    assert_eq!(clips.skipped().len(), 3, "{:?}", clips.skipped());
}

#[test]
fn folders_without_clips_say_what_was_searched() {
    let root = tempfile::tempdir().unwrap();
    clip(root.path(), "a.wav");
    let message = folder(root.path()).unwrap_err().to_string();
    assert!(message.contains("metadata.jsonl") && message.contains("`a.wav` has no text file"), "{message}");
    text(root.path(), "a.txt", b"caf\xe9");
    let message = folder(root.path()).unwrap_err().to_string();
    assert!(message.contains("a.txt") && message.contains("UTF-8"), "{message}");
    text(root.path(), "metadata.csv", "path,words\na.wav,b\n");
    let message = folder(root.path()).unwrap_err().to_string();
    assert!(message.contains("file_name") && message.contains("words"), "{message}");
    let message = folder(Path::new("/nowhere/at/all")).unwrap_err().to_string();
    assert!(message.contains("/nowhere/at/all") && message.contains("`path`"), "{message}");
}

#[test]
fn a_broken_clip_fails_alone_and_by_name() {
    let root = tempfile::tempdir().unwrap();
    clip(root.path(), "good.wav");
    text(root.path(), "bad.wav", "no sound");
    text(root.path(), "good.txt", "good");
    text(root.path(), "bad.txt", "bad");
    let clips = folder(root.path()).unwrap();
    assert!(clips.audio(0).unwrap_err().to_string().contains("bad.wav"));
    assert!(clips.audio(1).is_ok());
}

#[test]
fn clips_of_one_text_are_held_out_together() {
    let root = tempfile::tempdir().unwrap();
    for number in 0..60 {
        clip(root.path(), &format!("{number}.wav"));
        let said = if number % 2 == 0 { format!("Line {}!", number / 6) } else { format!("line {}", number / 6) };
        text(root.path(), &format!("{number}.txt"), said);
    }
    let clips = folder(root.path()).unwrap();
    assert_eq!((clips.len(), clips.unique_texts()), (60, 10));
    let (train, held_out) = clips.clone().parted(0.3);
    assert_eq!(train.len() + held_out.len(), 60);
    let texts = |clips: &Clips| clips.clips().iter().map(|clip| normalized(&clip.text)).collect::<Vec<_>>();
    assert!(!train.is_empty() && !held_out.is_empty());
    assert!(texts(&held_out).iter().all(|text| !texts(&train).contains(text)));
    assert_eq!(clips.parted(0.0).0.len(), 60);
}

#[test]
fn telephone_prompts_leave_out_tones() {
    let root = tempfile::tempdir().unwrap();
    for name in ["hello.wav", "digits/1.wav", "beep.wav", "unlisted.wav"] {
        clip(root.path(), &format!("sounds/en_US_f_Allison/{name}"));
    }
    let list = "; Core sounds\n\nhello: Hello:  you.\ndigits/1: one [!]\nbeep: [a beep]\nabsent: Nobody.\n";
    let package = root.path().join("doc/asterisk-core-sounds-en");
    fs::create_dir_all(&package).unwrap();
    let file = fs::File::create(package.join("core-sounds-en.txt.gz")).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gzip.write_all(list.as_bytes()).unwrap();
    gzip.finish().unwrap();
    let open = |language: &str| {
        let config = TelephonePromptsConfig {
            languages: vec![language.into()],
            sounds: root.path().join("sounds"),
            transcripts: root.path().join("doc"),
        };
        ClipSource::TelephonePrompts(config).open()
    };
    let clips = open("en").unwrap();
    let expected = [("en_US_f_Allison/digits/1", "one"), ("en_US_f_Allison/hello", "Hello: you.")];
    assert_eq!((found(&clips), clips.skipped().len()), (expected.to_vec(), 2));
    assert_eq!(clips.clips()[0].speaker.as_deref(), Some("en_US_f_Allison"));
    let message = open("fr").unwrap_err().to_string();
    assert!(message.contains("apt-get install asterisk-core-sounds-fr asterisk-core-sounds-fr-wav"), "{message}");
    assert!(open("xx").unwrap_err().to_string().contains("expected en, es, fr, it, ru, found xx"));
    fs::write(package.join("core-sounds-en.txt.gz"), "no gzip").unwrap();
    assert!(open("en").unwrap_err().to_string().contains("core-sounds-en.txt.gz"));
}

#[test]
fn stamps_join_image_caption_and_speech() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a/apple_desc.wav", "a/apple_desc_fr.wav", "a/apple_desc_da.wav", "a/v1.5_desc_fr.wav", "a/apple.wav"]
    {
        clip(root.path(), name);
    }
    text(root.path(), "a/apple.txt", "An apple.\nfr.utf8=Une pomme. \nda.utf8=\n");
    text(root.path(), "a/v1.5.txt", "Five.\nfr.utf8=Cinq.\n");
    text(root.path(), "a/apple.svg", "");
    let open = |languages: &[&str]| {
        let languages = languages.iter().map(|&language| language.into()).collect();
        ClipSource::Stamps(StampsConfig { languages, folder: root.path().into() }).open()
    };
    let clips = open(&[]).unwrap();
    let expected =
        [("a/apple_desc.wav", "An apple."), ("a/apple_desc_fr.wav", "Une pomme."), ("a/v1.5_desc_fr.wav", "Cinq.")];
    assert_eq!(found(&clips), expected);
    assert_eq!(clips.skipped(), ["`a/apple_desc_da.wav` has no caption in da"]);
    assert_eq!(clips.clips()[0].language.as_deref(), Some("en"));
    assert_eq!(clips.clips()[1].image, Some(root.path().join("a/apple.svg")));
    assert_eq!(clips.clips()[2].image, None);
    assert_eq!(open(&["fr"]).unwrap().len(), 2);
    assert!(open(&["xx"]).unwrap_err().to_string().contains("spoken: da, en, fr, found xx"));
    let absent = StampsConfig { folder: "/nowhere".into(), ..StampsConfig::default() };
    let message = ClipSource::Stamps(absent).open().unwrap_err().to_string();
    assert!(message.contains("apt-get install tuxpaint-stamps-default"), "{message}");
}

/// A container of entries.
fn container(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"QTBLCEM10\0\0\0\x01".to_vec();
    bytes.truncate(12);
    bytes.push(1);
    bytes.extend((entries.len() as u16).to_be_bytes());
    let mut offset = 15 + 21 * entries.len();
    for (name, entry) in entries {
        let mut padded = name.as_bytes().to_vec();
        padded.resize(12, 0);
        bytes.extend(padded);
        bytes.push(1);
        bytes.extend((offset as u32).to_be_bytes());
        bytes.extend((entry.len() as u32).to_be_bytes());
        offset += entry.len();
    }
    entries.iter().for_each(|(_, entry)| bytes.extend(entry));
    bytes
}

#[test]
fn the_amazon_queen_speaks_from_her_container() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("queen.1c");
    let mp3 = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audio/mpeg25.mp3")).unwrap();
    let mut cutscene = vec![0; 20 + 40];
    cutscene[20 + 9] = 40;
    cutscene.extend(b"\x03*FL\x0aHi.*01you!\0");
    let entries = [("C1A.CUT", cutscene), ("C1A__011.SB", mp3.clone()), ("C1A__012.SB", mp3), ("X.SB", vec![1])];
    let bytes = container(&entries);
    fs::write(&path, &bytes).unwrap();
    let open = || ClipSource::AmazonQueen(AmazonQueenConfig { path: path.clone() }).open();
    let clips = open().unwrap();
    assert_eq!(found(&clips), [("C1A__011", "Hi."), ("C1A__012", "you!")]);
    assert_eq!(clips.skipped(), ["`X` has no line"]);
    let audio = clips.audio(1).unwrap();
    assert_eq!((audio.rate, audio.samples.len()), (11025, 5512));
    for (bytes, part) in [
        (bytes[..bytes.len() - 1].to_vec(), "an end before that of `X.SB`"),
        (bytes[..40].to_vec(), "queen.1c"),
        (b"RIFFxxxxWAVEfmt ".to_vec(), "QTBLCEM10"),
        (b"QTBLCEM10\0\0\0\x02\0\0".to_vec(), "mp3"),
        (container(&[("X.SB", vec![1])]), "no clips with transcripts found"),
    ] {
        fs::write(&path, bytes).unwrap();
        let message = open().unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    fs::remove_file(&path).unwrap();
    let message = open().unwrap_err().to_string();
    assert!(message.contains("apt-get install flight-of-the-amazon-queen"), "{message}");
}
