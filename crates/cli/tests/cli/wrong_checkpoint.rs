//! Checkpoints that are missing, torn, or of another model or program.

use std::fs;

use interfuse_parameters::{read_tensors, write_tensors};

use crate::fixture::{Ended, Sandbox};

/// The later checkpoint of a trained sandbox.
const LATEST: &str = "run/checkpoints/step-000006";

fn sample(sandbox: &Sandbox) -> Ended {
    sandbox.interfuse(&["sample", "run", "red", "--count", "1", "--out", "generated"])
}

fn resume(sandbox: &Sandbox) -> Ended {
    sandbox.train(&["train.steps=8", "--resume"])
}

#[test]
fn a_run_without_a_checkpoint_says_so() {
    let sandbox = Sandbox::trained();
    fs::remove_dir_all(sandbox.path("run/checkpoints")).expect("removed");
    sample(&sandbox).refused(&["run", "has no whole checkpoint yet"]);
    resume(&sandbox).refused(&["run: expected a checkpoint to resume from, found none", "without --resume"]);
    sandbox.interfuse(&["sample", "nowhere", "red"]).refused(&["there is no run or checkpoint folder nowhere"]);
    sandbox.interfuse(&["sample", "images", "red"]).refused(&["images is neither a run folder"]);
    sandbox.train(&["run.dir=nowhere", "--resume"]).refused(&["there is no run folder nowhere"]);
}

#[test]
fn what_an_interrupted_save_left_is_no_checkpoint() {
    let sandbox = Sandbox::trained();
    let partial = format!("{LATEST}.partial");
    fs::rename(sandbox.path(LATEST), sandbox.path(&partial)).expect("renamed");
    sandbox.interfuse(&["sample", &partial, "red"]).refused(&[&partial, "did not finish"]);
    resume(&sandbox).succeeded().said(&["resuming from run/checkpoints/step-000003"]);
}

#[test]
fn a_missing_file_of_a_checkpoint_is_named() {
    for file in ["config.json", "tokenizer.json"] {
        let sandbox = Sandbox::trained();
        let path = format!("{LATEST}/{file}");
        fs::remove_file(sandbox.path(&path)).expect("removed");
        sample(&sandbox).refused(&[&path, "No such file"]);
        resume(&sandbox).refused(&[&path, "No such file"]);
    }
    for file in ["ema.safetensors", "training_state/optimizer.safetensors", "training_state/state.json"] {
        let sandbox = Sandbox::trained();
        let path = format!("{LATEST}/{file}");
        fs::remove_file(sandbox.path(&path)).expect("removed");
        resume(&sandbox).refused(&[&path, "No such file"]);
        // Images do not need it: without an average, the weights themselves draw.
        sample(&sandbox).succeeded();
    }
}

#[test]
fn a_torn_file_of_a_checkpoint_is_named() {
    let sandbox = Sandbox::trained();
    let files = [
        ("model.safetensors", "a whole safetensors file"),
        ("ema.safetensors", "a whole safetensors file"),
        ("training_state/optimizer.safetensors", "a whole safetensors file"),
        ("training_state/state.json", "a training state"),
        ("config.json", "valid JSON"),
        ("tokenizer.json", "the JSON of a Hugging Face tokenizer"),
    ];
    for (file, expected) in files {
        let path = format!("{LATEST}/{file}");
        let whole = sandbox.bytes(&path);
        sandbox.write(&path, &whole[..whole.len() / 2]);
        resume(&sandbox).refused(&[&path, expected]);
        if !file.starts_with("training_state") {
            let raw = if file == "model.safetensors" { "--raw-weights" } else { "--seed=0" };
            sandbox.interfuse(&["sample", "run", "red", raw, "--out", "generated"]).refused(&[&path, expected]);
        }
        sandbox.write(&path, whole);
    }
    resume(&sandbox).succeeded();
}

/// No reader can tell such a weight from any other.
#[test]
fn a_flipped_bit_of_a_weight_is_found_and_named() {
    let sandbox = Sandbox::trained();
    for file in ["model.safetensors", "ema.safetensors", "training_state/optimizer.safetensors"] {
        let path = format!("{LATEST}/{file}");
        let whole = sandbox.bytes(&path);
        let mut flipped = whole.clone();
        let last = flipped.len() - 4;
        flipped[last] ^= 1;
        sandbox.write(&path, flipped);
        resume(&sandbox).refused(&[&path, "has changed since it was written", "SHA256SUMS"]);
        if file == "ema.safetensors" {
            sample(&sandbox).refused(&[&path, "has changed since it was written"]);
        }
        sandbox.write(&path, whole);
    }
    // What its owner has changed on purpose is used once the hashes are gone.
    let path = format!("{LATEST}/config.json");
    let text = sandbox.json(&path).to_string();
    sandbox.write(&path, text);
    sample(&sandbox).refused(&[&path, "remove SHA256SUMS"]);
    fs::remove_file(sandbox.path(&format!("{LATEST}/SHA256SUMS"))).expect("removed");
    sample(&sandbox).succeeded();
}

#[test]
fn a_checkpoint_of_another_program_is_refused() {
    let sandbox = Sandbox::trained();
    let path = format!("{LATEST}/config.json");
    let foreign = r#"{"model_type": "llama", "hidden_size": 16}"#;
    for (config, parts) in [
        (foreign, ["\"model_type\": \"transfusion\"", "\"llama\": a checkpoint of another program"]),
        ("[]", ["\"model_type\": \"transfusion\"", "found"]),
        (r#"{"model_type": "transfusion", "format_version": 99}"#, ["\"format_version\": 2", "99"]),
        (r#"{"model_type": "transfusion", "format_version": 1}"#, ["\"format_version\": 2", "train it again"]),
        (r#"{"model_type": "transfusion", "format_version": 2}"#, ["the settings of a model", "missing field"]),
    ] {
        sandbox.write(&path, config);
        sample(&sandbox).refused(&[&path, parts[0], parts[1]]);
        resume(&sandbox).refused(&[&path, parts[0], parts[1]]);
    }
}

#[test]
fn weights_of_another_model_list_what_differs() {
    let sandbox = Sandbox::trained();
    sandbox.train(&["run.dir=wide", "model.backbone.d_model=24"]).succeeded();
    for file in ["model.safetensors", "ema.safetensors", "training_state/optimizer.safetensors"] {
        let path = format!("{LATEST}/{file}");
        let ours = sandbox.bytes(&path);
        sandbox.write(&path, sandbox.bytes(&format!("wide/checkpoints/step-000006/{file}")));
        resume(&sandbox).refused(&[&path, "expected", "found"]);
        sandbox.write(&path, ours);
    }
    // Moments without a count of their steps are of another state.
    let path = format!("{LATEST}/training_state/state.json");
    let mut state = sandbox.json(&path);
    let whole = sandbox.bytes(&path);
    let steps = state["weight_steps"].as_object_mut().expect("an object");
    let first = steps.keys().next().expect("a weight").clone();
    steps.shift_remove(&first);
    sandbox.write(&path, state.to_string());
    resume(&sandbox).refused(&["optimizer.safetensors", "as well"]);
    sandbox.write(&path, whole);
    // A resume under another configuration is not that run.
    let other = sandbox.train(&["model.backbone.d_model=24", "--resume"]);
    other.refused(&[&format!("{LATEST}/config.json"), "model.backbone.d_model = 24", "found 16"]);
    sandbox.train(&["run.seed=1", "--resume"]).refused(&["state.json", "expected seed 1", "found seed 0"]);
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let sandbox = Sandbox::trained();
    for file in ["model.safetensors", "ema.safetensors"] {
        let path = format!("{LATEST}/{file}");
        let whole = sandbox.bytes(&path);
        let mut tensors = read_tensors(&sandbox.path(&path)).expect("weights");
        let name = tensors.keys().next_back().expect("a tensor").clone();
        tensors.get_mut(&name).expect("a tensor").values[0] = f32::NAN;
        write_tensors(&tensors, &sandbox.path(&path)).expect("written");
        let raw = if file == "model.safetensors" { "--raw-weights" } else { "--device=cpu" };
        let parts = [&*path, "expected finite numbers", &name];
        sandbox.interfuse(&["sample", "run", "red", raw, "--count", "1", "--out", "generated"]).refused(&parts);
        sandbox.interfuse(&["caption", "run", "images/red.png", raw]).refused(&parts);
        sandbox.interfuse(&["evaluate", "run", "--count", "2", raw]).refused(&parts);
        resume(&sandbox).refused(&parts);
        sandbox.write(&path, whole);
    }
}

#[test]
fn a_model_card_that_contradicts_itself_is_refused() {
    let sandbox = Sandbox::trained();
    let path = format!("{LATEST}/config.json");
    let card = sandbox.json(&path);
    for (pointer, value) in [
        ("/image_shape", "[3, 16, 16]"),
        ("/image_shape", "[0, 0, 0]"),
        ("/model/latent_shape", "[3, 16, 16]"),
        ("/model/backbone/n_heads", "0"),
        ("/model/modalities/image/patch_size", "0"),
        ("/model/backbone/n_layers", "1000000000"),
        ("/model/modalities/text/vocab_size", "9999999999999"),
        ("/special_tokens/boi", "99999"),
    ] {
        let mut card = card.clone();
        *card.pointer_mut(pointer).expect("a key of the card") = serde_json::from_str(value).expect("JSON");
        sandbox.write(&path, card.to_string());
        sandbox.interfuse(&["caption", "run", "images/red.png"]).refused(&["expected", "found"]);
        sample(&sandbox).refused(&["expected", "found"]);
    }
}

#[test]
fn a_tokenizer_that_does_not_fit_is_refused() {
    let sandbox = Sandbox::trained();
    sandbox.train(&["run.dir=wordy", "tokenizer.vocab_size=264"]).succeeded();
    let path = format!("{LATEST}/tokenizer.json");
    sandbox.write(&path, sandbox.bytes("wordy/checkpoints/step-000006/tokenizer.json"));
    sample(&sandbox).refused(&[&path, "at most 261 ids", "found 264 ids"]);
    // To a resume it is another model: one with more ids.
    resume(&sandbox).refused(&[LATEST, "model.modalities.text.vocab_size = 264", "found 261"]);
}
