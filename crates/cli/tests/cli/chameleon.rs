//! Images as codes of one vocabulary with the text: from an autoencoder with codes to images and captions, and what may be
//! wrong on the way.

use std::fs;

use crate::autoencoder::VAE;
use crate::fixture::Sandbox;

/// What gives the tiny autoencoder 4 × 8 codes of 6.
const CODEBOOK: &str = "vae.codebook={codes=6,dim=2}";
const CODES: &str = "codec={kind=\"vae\",path=\"vae-run/vae\"}";
const IMAGES: &str = "model.modalities.image={objective=\"next_token\",vocabulary=\"text\"}";

fn with_codes() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("vae.toml", VAE);
    sandbox.interfuse(&["vae", "train", "vae.toml", "--set", CODEBOOK]).succeeded();
    sandbox
}

#[test]
fn images_are_learned_and_generated_as_codes() {
    let sandbox = with_codes();
    let ended = sandbox.train(&[CODES, IMAGES, "model.positions=axial", "data.source.held_out=0.25"]).succeeded();
    ended.said(&["trained 6 steps"]);
    let card = sandbox.json("run/checkpoints/step-000006/config.json");
    let (first, count) = (card["codes"]["first"].as_u64().expect("ids"), card["codes"]["count"].as_u64());
    assert_eq!(count, Some(6));
    assert_eq!(card["model"]["modalities"]["text"]["vocab_size"].as_u64(), Some(first + 6));
    assert_eq!(card["model"]["latent_shape"], serde_json::json!([1, 4, 8]));
    let lines = sandbox.json_lines("run/metrics.jsonl");
    let held_out = lines.iter().find(|line| line["held_out/image_loss"].is_number()).expect("held-out losses");
    // Of six codes and 261 words, none of which has been learned for long.
    assert!((0.5..8.0).contains(&held_out["held_out/image_loss"].as_f64().expect("a number")));
    assert!(held_out.get("held_out/text_given_image_loss").is_some_and(|loss| loss.is_number()));
    assert!(held_out.get("held_out/image_given_image_loss").is_none(), "{held_out}");

    let options = ["--top-k", "3", "--top-p", "0.9", "--code-temperature", "0.7"];
    sandbox.interfuse(&[&["sample", "run", "red", "blue"][..], &options].concat()).succeeded();
    sandbox.interfuse(&["sample", "run", "red", "--guidance", "1.0"]).succeeded();
    sandbox.interfuse(&["caption", "run", "images/red.png"]).succeeded().said(&["red.png"]);
    sandbox.interfuse(&["evaluate", "run", "--count", "4"]).succeeded().said(&["image: perplexity"]);
    // The autoencoder goes with the checkpoint.
    fs::rename(sandbox.path("vae-run"), sandbox.path("elsewhere")).expect("renamed");
    sandbox.interfuse(&["sample", "run", "red"]).succeeded();
}

#[test]
fn codes_from_a_cache_train_the_same_model() {
    let sandbox = with_codes();
    let set = ["--set", CODES, "--set", "data.horizontal_flip=0.5", "--precision", "bf16"];
    sandbox.interfuse(&[&["data", "encode", "tiny.toml", "--out", "cache"][..], &set].concat()).succeeded();
    let cached = "codec={kind=\"vae\",path=\"vae-run/vae\",cache=\"cache\"}";
    let weights = |codec: &str, name: &str| {
        let dir = format!("run.dir={name}");
        sandbox.train(&[codec, IMAGES, "data.horizontal_flip=0.5", &dir]).succeeded();
        sandbox.bytes(&format!("{name}/checkpoints/step-000006/model.safetensors"))
    };
    assert!(weights(CODES, "encoded") == weights(cached, "cached"), "other weights");
    let other = ["vae", "train", "vae.toml", "--set", CODEBOOK, "--set", "run.dir=other", "--set", "run.seed=5"];
    sandbox.interfuse(&other).succeeded();
    let other = "codec={kind=\"vae\",path=\"other/vae\",cache=\"cache\"}";
    sandbox.train(&[other, IMAGES]).refused(&["cache/manifest.json", "sha256", "data encode"]);
}

#[test]
fn what_does_not_fit_codes_is_named() {
    let sandbox = with_codes();
    sandbox.train(&[CODES]).refused(&["model.modalities.image.objective", "next_token", "codes"]);
    let copies = ["documents.clean_copies", "expected false", "images that are codes"];
    sandbox.train(&[CODES, IMAGES, "documents.clean_copies=true"]).refused(&copies);
    sandbox.train(&[IMAGES]).refused(&["documents.images", "denoise", "the codec has no codes"]);
    let own = "model.modalities.image={objective=\"next_token\",vocab_size=6}";
    sandbox.train(&[CODES, own]).refused(&["documents.captions", "image, text"]);
    sandbox.train(&[CODES, own, "documents.captions=text"]).refused(&["documents.images", "vocabulary of `text`"]);
    sandbox.train(&[CODES, IMAGES, "documents.images=text"]).refused(&["documents.images", "(image)", "`text`"]);
    sandbox.train(&[CODES, IMAGES, "model.positions=shared"]).refused(&["model.positions", "shared"]);
    let small = "model.modalities.text.vocab_size=262";
    sandbox.train(&[CODES, IMAGES, small]).refused(&["model.modalities.text.vocab_size", "and the codes", "262"]);
    sandbox.train(&[CODES, IMAGES]).succeeded();
    sandbox.interfuse(&["sample", "run", "red", "--top-p", "0.0"]).refused(&["sampling.top_p"]);
    sandbox.interfuse(&["sample", "run", "red", "--top-k", "0"]).refused(&["sampling.top_k"]);

    // A card that tells of other codes than the autoencoder has, and of codes beyond the vocabulary.
    let path = "run/checkpoints/step-000006/config.json";
    let card = sandbox.json(path);
    for (key, value, expected) in [("count", 5, "which the codec has"), ("first", 300, "codes within the")] {
        let mut changed = card.clone();
        changed["codes"][key] = value.into();
        sandbox.write(path, changed.to_string());
        sandbox.interfuse(&["sample", "run", "red"]).refused(&["config.json", expected]);
    }
}
