//! Every preset in `configs/` loads, validates and builds.

use std::path::{Path, PathBuf};

use crate::autoencoder::VAE;
use crate::fixture::{Sandbox, names_in};

/// Presets whose data does not come with the program, and a source of equal shape that does.
const NEEDS_DATA: &str = "fashion.toml";

/// How the names of autoencoders' presets begin.
const AUTOENCODERS: &str = "vae_";

/// How the names of presets end that need an autoencoder first.
const ON_LATENTS: &str = "_latent.toml";

/// How the names of presets end that need an autoencoder with codes first.
const ON_CODES: &str = "_chameleon.toml";
/// What presets on units of speech end with.
const ON_SPEECH: &str = "_speech.toml";

/// What makes the tiny autoencoder one of 32 × 32 pixels and 8 × 8 codes.
const WITH_CODES: [&str; 4] = [
    "data.upscale=true",
    "data.image_size=[32, 32]",
    "vae.block_out_channels=[4, 4, 4]",
    "vae.codebook={codes=6,dim=2}",
];

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

#[test]
fn every_preset_loads_validates_and_builds() {
    let sandbox = Sandbox::new();
    let presets = names_in(&configs());
    assert!((1..=10).contains(&presets.len()), "{presets:?}");
    for name in presets {
        let path = configs().join(&name);
        let path = path.to_str().expect("UTF-8");
        if name == NEEDS_DATA {
            // Elsewhere than the data set may be installed, so that the test sees the same on every machine.
            let nowhere = "data.source.folder=nowhere";
            let ended = sandbox.interfuse(&["inspect", path, "--set", nowhere]);
            ended.refused(&["apt-get install dataset-fashion-mnist"]);
            let emoji = "data.source={kind=\"emoji\"}";
            sandbox.interfuse(&["inspect", path, "--set", emoji]).succeeded().said(&["parameters", "BOI"]);
        } else if name.starts_with(AUTOENCODERS) {
            sandbox.interfuse(&["vae", "inspect", path]).succeeded().said(&["parameters", "an image of"]);
        } else if name.ends_with(ON_LATENTS) {
            sandbox.interfuse(&["inspect", path]).refused(&["config.json of an autoencoder", "vae train"]);
            let pixels = "codec={kind=\"pixels\"}";
            sandbox.interfuse(&["inspect", path, "--set", pixels]).succeeded().said(&["parameters", "BOI"]);
        } else if name.ends_with(ON_CODES) {
            sandbox.interfuse(&["inspect", path]).refused(&["config.json of an autoencoder", "vae train"]);
            sandbox.write("vae.toml", VAE);
            let set: Vec<&str> = WITH_CODES.iter().flat_map(|change| ["--set", change]).collect();
            sandbox.interfuse(&[&["vae", "train", "vae.toml"], &set[..]].concat()).succeeded();
            let codes = "codec.path=vae-run/vae";
            sandbox.interfuse(&["inspect", path, "--set", codes]).succeeded().said(&["parameters", "BOI"]);
        } else if name.ends_with(ON_SPEECH) {
            sandbox.interfuse(&["inspect", path]).refused(&["prompts.safetensors", "speech units train"]);
        } else {
            sandbox.interfuse(&["inspect", path]).succeeded().said(&["parameters", "BOI"]);
        }
    }
}

#[test]
fn every_preset_opens_with_the_command_that_runs_it() {
    for name in names_in(&configs()) {
        let text = std::fs::read_to_string(configs().join(&name)).expect("a preset");
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        let commands = ["train", "vae train", "bench step"].map(|command| format!("{command} configs/{name}"));
        let found = head.iter().any(|line| commands.iter().any(|command| line.contains(command)));
        assert!(found, "{name} does not open with `{}`", commands[0]);
    }
}
