//! Clips to units and back by the built program.

use std::f32::consts::TAU;

use interfuse_speech::Audio;
use interfuse_speech::audio::write_wav;

use crate::fixture::Sandbox;

/// Eight clips of tones that rise or fall, with what is said beside them.
fn with_clips() -> Sandbox {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("clips")).expect("a folder for clips");
    for index in 0..8 {
        let rising = index % 2 == 0;
        let tone = |k: usize| {
            let t = k as f32 / 8000.0;
            let pitch = 200.0 + 60.0 * index as f32 + if rising { 400.0 * t } else { -150.0 * t };
            0.4 * (TAU * pitch * t).sin()
        };
        let clip = Audio { samples: (0..6000).map(tone).collect(), rate: 8000 };
        write_wav(&sandbox.path(&format!("clips/{index}.wav")), &clip).expect("a clip");
        let text = format!("{} tone {index}", if rising { "rising" } else { "falling" });
        sandbox.write(&format!("clips/{index}.txt"), text);
    }
    sandbox
}

fn units(sandbox: &Sandbox, args: &[&str]) -> crate::fixture::Ended {
    sandbox.interfuse(&[&["speech", "units"], args].concat())
}

#[test]
fn clips_become_units_and_sound_again() {
    let sandbox = with_clips();
    let small = ["--units", "8", "--sample-rate", "8000", "--held-out", "0.25"];
    let ended = units(&sandbox, &[&["train", "clips"][..], &small].concat()).succeeded();
    ended.said(&["8 clips with 8 different texts", "units used", "held-out clips there and back", "sha256"]);
    let table = "{ kind = 'folder', path = 'clips' }";
    units(&sandbox, &[&["train", table, "--out", "again.safetensors"][..], &small].concat()).succeeded();
    assert!(sandbox.bytes("again.safetensors") == sandbox.bytes("units.safetensors"), "another codec");

    sandbox.write("noise.wav", b"no clip at all");
    let clips = ["clips/0.wav", "noise.wav", "clips/1.wav"];
    let ended = units(&sandbox, &[&["encode", "--out", "units.txt"][..], &clips].concat()).succeeded();
    ended.said(&["skipped", "noise.wav", "units of 2 of 3 clips"]);
    let text = String::from_utf8(sandbox.bytes("units.txt")).expect("UTF-8");
    assert!(text.lines().count() == 2 && text.starts_with("clips/0.wav\t"), "{text}");

    units(&sandbox, &["decode", "units.txt", "--out", "sound", "--spectrograms"]).succeeded();
    assert_eq!(sandbox.names("sound"), ["000000.png", "000000.wav", "000001.png", "000001.wav"]);
    let back = interfuse_speech::audio::read(&sandbox.path("sound/000000.wav")).expect("a clip");
    assert!((back.seconds() - 0.75).abs() < 0.05, "{} s", back.seconds());

    let rate = sandbox.interfuse(&["speech", "error-rate", "units.txt", "units.txt"]).succeeded();
    rate.said(&["0.00 %", "0 substitutions"]);
}

#[test]
fn what_does_not_fit_is_named() {
    let sandbox = with_clips();
    units(&sandbox, &["train", "nowhere"]).refused(&["nowhere", "folder of clips"]);
    units(&sandbox, &["train", "{ kind = 'telephone' }"]).refused(&["telephone-prompts", "telephone"]);
    units(&sandbox, &["train", "clips", "--rate", "60"]).refused(&["unit_rate", "60"]);
    units(&sandbox, &["train", "clips", "--held-out", "1.0"]).refused(&["--held-out"]);
    units(&sandbox, &["encode", "--out", "units.txt", "clips/0.wav"]).refused(&["units.safetensors"]);
    units(&sandbox, &["train", "clips", "--units", "8", "--sample-rate", "8000"]).succeeded();
    units(&sandbox, &["encode", "--out", "units.txt", "tiny.toml"]).refused(&["tiny.toml"]);
    sandbox.write("other.txt", "a\t1 2 3\nb\t4 9 1\n");
    units(&sandbox, &["decode", "other.txt", "--out", "sound"]).refused(&["other.txt", "9"]);
    sandbox.write("one.txt", "one line\n");
    sandbox.interfuse(&["speech", "error-rate", "one.txt", "other.txt"]).refused(&["1", "2"]);
}
