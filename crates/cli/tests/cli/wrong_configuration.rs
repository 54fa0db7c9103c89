//! What a person may get wrong in a configuration or on the command line.

use crate::autoencoder::VAE;
use crate::fixture::Sandbox;

#[test]
fn an_unknown_key_names_the_nearest() {
    let sandbox = Sandbox::new();
    sandbox.train(&["train.stepz=3"]).refused(&["unknown key `train.stepz`", "did you mean `steps`?"]);
    sandbox.write("typo.toml", String::from_utf8_lossy(&sandbox.bytes("tiny.toml")).replace("d_model", "dmodel"));
    let ended = sandbox.interfuse(&["train", "typo.toml"]);
    ended.refused(&["unknown key `model.backbone.dmodel`", "typo.toml", "did you mean `d_model`?"]);
}

#[test]
fn a_mistyped_value_names_its_key_and_both_types() {
    let sandbox = Sandbox::new();
    let number = ["`train.steps`", "expected a whole number", "found string \"many\""];
    sandbox.train(&["train.steps=many"]).refused(&number);
    sandbox.train(&["data.image_size=[8]"]).refused(&["`data.image_size`", "an array of length 2", "found 1 values"]);
    sandbox.train(&["data.source.kind=tar"]).refused(&["`data.source", "unknown value `tar`", "`folder`"]);
    sandbox.train(&["run.keep_checkpoints"]).refused(&["--set run.keep_checkpoints", "expected KEY=VALUE"]);
}

#[test]
fn a_missing_or_broken_file_is_named() {
    let sandbox = Sandbox::new();
    sandbox.interfuse(&["train", "nowhere.toml"]).refused(&["nowhere.toml", "No such file"]);
    sandbox.write("broken.toml", "[run]\ndir = \"run\"\n[data\n");
    sandbox.interfuse(&["train", "broken.toml"]).refused(&["broken.toml is not valid TOML", "line 3"]);
    sandbox.write("bytes.toml", b"[run]\ndir = \"\xff\"\n");
    sandbox.interfuse(&["train", "bytes.toml"]).refused(&["bytes.toml is not UTF-8 text: line 2"]);
}

#[test]
fn sizes_that_do_not_divide_name_the_key() {
    let sandbox = Sandbox::new();
    let patch = ["model.modalities.image.patch_size", "a divisor", "found 3"];
    sandbox.train(&["model.modalities.image.patch_size=3"]).refused(&patch);
    sandbox.train(&["model.modalities.image.patch_size=0"]).refused(&["patch_size", "found 0"]);
    sandbox.train(&["model.backbone.n_heads=3"]).refused(&[
        "model.backbone.n_heads",
        "a divisor of d_model",
        "found 3",
    ]);
    sandbox.train(&["model.backbone.n_kv_heads=3"]).refused(&["model.backbone.n_kv_heads", "found 3"]);
    let rows = ["train.row_shape.capacity", "a multiple of 8", "found 9"];
    sandbox.train(&["train.row_shape={capacity=[9,20]}"]).refused(&rows);
}

/// Memory would run out without a message.
#[test]
fn sizes_beyond_all_reason_name_the_key() {
    let sandbox = Sandbox::new();
    let many = "99999999999";
    for key in ["tokenizer.vocab_size", "model.backbone.n_layers", "model.backbone.d_model"] {
        let change = format!("{key}={many}");
        sandbox.interfuse(&["inspect", "tiny.toml", "--set", &change]).refused(&[key, many]);
    }
    sandbox.write("vae.toml", VAE);
    for key in ["layers_per_block", "latent_channels", "norm_num_groups"] {
        let change = format!("vae.{key}={many}");
        sandbox.interfuse(&["vae", "inspect", "vae.toml", "--set", &change]).refused(&[key, many]);
    }
}

#[test]
fn nothing_that_is_refused_leaves_a_run_folder() {
    let sandbox = Sandbox::new();
    for change in ["train.steps=0", "model.backbone.n_heads=3", "data.source.path=nowhere", "run.device=gpu"] {
        sandbox.train(&[change]).refused(&[]);
        assert!(!sandbox.path("run").exists(), "{change} left a run folder");
    }
}

#[test]
fn values_outside_their_range_name_the_key() {
    let sandbox = Sandbox::new();
    for (change, parts) in [
        ("train.steps=0", ["train.steps", "at least 1"]),
        ("train.precision=bf17", ["train.precision", "`f32`, `bf16`, `auto`"]),
        ("model.positions=shared", ["model.positions", "would look alike"]),
        ("run.keep_checkpoints=0", ["run.keep_checkpoints", "at least 1"]),
        ("optimizer.learning_rate=nan", ["optimizer.learning_rate", "above 0"]),
        ("documents.caption_dropout=1.5", ["documents.caption_dropout", "from 0 to 1"]),
        ("sampling.solver=ddim", ["sampling.solver", "Euler"]),
        ("model.partition=[[\"text\"]]", ["model.partition", "`image`"]),
        ("objective.weights={image=-1}", ["objective.weights.image", "a number from 0"]),
        ("model.backbone.n_layers=1000000000", ["model.backbone.n_layers", "from 1 to"]),
        ("model.modalities.text.vocab_size=9999999999999", ["vocab_size", "from 1 to"]),
        ("validation.levels=[0.0]", ["validation.levels", "(0, 1]"]),
        ("tokenizer.vocab_size=10", ["vocab_size", "from 261"]),
    ] {
        sandbox.train(&[change]).refused(&parts);
    }
}

#[test]
fn a_run_is_never_written_over() {
    let sandbox = Sandbox::trained();
    let before = sandbox.bytes("run/metrics.jsonl");
    sandbox.train(&[]).refused(&["run already holds a run", "--resume", "--set run.dir="]);
    assert_eq!(sandbox.bytes("run/metrics.jsonl"), before);
}

#[test]
fn a_device_that_is_not_there_is_named() {
    let sandbox = Sandbox::new();
    sandbox.train(&["run.device=gpu"]).refused(&["expected auto, cpu, wgpu, wgpu:N, cuda or cuda:N", "found `gpu`"]);
    sandbox.train(&["run.device=cpu:1"]).refused(&["found `cpu:1`"]);
    sandbox.train(&["run.device=cuda:x"]).refused(&["expected a number after the colon", "found `x`"]);
    #[cfg(not(feature = "wgpu"))]
    sandbox.train(&["run.device=wgpu"]).refused(&["device `wgpu`", "--features wgpu"]);
    #[cfg(not(feature = "cuda"))]
    sandbox.train(&["run.device=cuda:1"]).refused(&["device `cuda`", "--features cuda"]);
    #[cfg(feature = "wgpu")]
    sandbox.train(&["run.device=wgpu:99"]).refused(&["device `wgpu"]);
    #[cfg(feature = "cuda")]
    sandbox.train(&["run.device=cuda:99"]).refused(&["device `cuda"]);
}

#[test]
fn a_prompt_longer_than_the_row_is_quoted() {
    let sandbox = Sandbox::trained();
    let prompt = "a red square above a black one";
    let ended = sandbox.interfuse(&["sample", "run", prompt, "--out", "generated"]);
    ended.refused(&[prompt, "tokens", "at most 10"]);
    assert!(!sandbox.path("generated").exists());
}

#[test]
fn a_preview_longer_than_the_row_is_refused_before_training() {
    let sandbox = Sandbox::new();
    let ended = sandbox.train(&["preview.prompts=[\"a red square above a black one\"]"]);
    ended.refused(&["preview.prompts", "at most 10 tokens", "a red square above a black one"]);
    assert!(!sandbox.path("run").exists());
    // A caption of the data that is too long is left out, as it is in training.
    sandbox.train(&["train.row_shape={capacity=[8,8]}"]).succeeded().said(&["too long"]);
}

#[test]
fn numbers_on_the_command_line_have_a_range_as_well() {
    let sandbox = Sandbox::trained();
    let sample = |args: &[&str]| sandbox.interfuse(&[&["sample", "run", "red", "--out", "generated"], args].concat());
    sample(&["--count", "0"]).refused(&["--count", "at least 1"]);
    sample(&["--steps", "0"]).refused(&["steps", "at least 1"]);
    sample(&["--guidance", "nan"]).refused(&["guidance", "a number from 0"]);
    sample(&["--solver", "ddim"]).refused(&["solver", "Ddim"]);
    // The last seed is followed by the first.
    sample(&["--seed", "18446744073709551615", "--count", "2"]).succeeded();
    assert_eq!(sandbox.json_lines("generated/metadata.jsonl")[1]["seed"], 0);
}
