//! Answers for scripts: with `--json` the standard output is one value, and words go beside it.

use serde_json::{Value, json};

use crate::fixture::Sandbox;

/// The value, and what was said beside it.
fn answer(sandbox: &Sandbox, args: &[&str]) -> (Value, String) {
    let ended = sandbox.interfuse(&[args, &["--json"]].concat()).succeeded();
    let value = serde_json::from_str(&ended.stdout);
    (value.unwrap_or_else(|error| panic!("{args:?}: {error}: {}", ended.stdout)), ended.stderr)
}

#[test]
fn a_configuration_and_its_data_are_looked_at_by_scripts() {
    let sandbox = Sandbox::new();
    let (found, words) = answer(&sandbox, &["inspect", "tiny.toml"]);
    assert!(found["parameters"]["stored"].as_u64() > Some(1000) && words.contains("stored"), "{found} {words}");
    assert!(found["memory_bytes"]["all"].is_u64() && found["flops_per_step"].is_f64(), "{found}");
    assert_eq!(found["rows"].as_array().map(Vec::len), Some(2));

    let (found, _) = answer(&sandbox, &["data", "inspect", "tiny.toml"]);
    let summary = &found["train"];
    assert_eq!((&summary["images"], &summary["bad"], &found["held_out"]), (&json!(8), &json!(0), &Value::Null));
    let (found, _) = answer(&sandbox, &["data", "export", "tiny.toml", "exported"]);
    assert_eq!(found, json!({ "images": 8, "skipped": [], "folder": "exported" }));
}

#[test]
fn what_a_model_makes_is_read_by_scripts() {
    let sandbox = Sandbox::trained();
    let (found, _) = answer(&sandbox, &["sample", "run", "red", "--count", "2", "--seed", "7", "--out", "drawn"]);
    let second = json!({ "file_name": "000001.png", "prompt": "red", "seed": 8 });
    assert_eq!((&found["folder"], &found["images"][1]), (&json!("drawn"), &second));
    assert!(sandbox.path(found["grid"].as_str().expect("a path")).is_file());
    let (found, _) = answer(&sandbox, &["sample", "run", "--count", "1", "--out", "free"]);
    assert!(found["pieces"].is_array(), "{found}");

    sandbox.write("noise.png", b"no image at all");
    let (found, words) = answer(&sandbox, &["caption", "run", "images/red.png", "noise.png"]);
    assert_eq!(found["captions"][0]["image"], "images/red.png");
    assert!(found["captions"][0]["caption"].is_string() && words.contains("skipped"), "{found} {words}");
    assert!(found["skipped"][0].as_str().is_some_and(|reason| reason.contains("noise.png")), "{found}");
    // An error has no answer.
    let ended = sandbox.interfuse(&["caption", "run", "noise.png", "--json"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
}

#[test]
fn what_was_measured_is_read_by_scripts() {
    let sandbox = Sandbox::trained();
    let (found, words) = answer(&sandbox, &["evaluate", "run", "--count", "8"]);
    assert_eq!(found, sandbox.json("run/evaluation.json"));
    assert!(words.contains("measured at step 6"), "{words}");
    for (name, pace) in [("dense", 1.0), ("mot", 0.5)] {
        let loss = |step: i32| 2.0 + 10.0 / (f64::from(step) / pace).sqrt();
        let rows = (1..=200).map(|step| format!("{step},{0},{0}\n", loss(step)));
        let rows = rows.collect::<String>();
        sandbox.write(&format!("{name}.csv"), format!("step,text_loss,held_out/text_loss\n{rows}"));
    }
    let (found, _) = answer(&sandbox, &["compare", "dense.csv", "mot.csv", "--resamples", "5"]);
    assert_eq!(found, sandbox.json("comparison/comparison.json"));
    sandbox.write("a.txt", "one two three\n");
    sandbox.write("b.txt", "one two four\n");
    let (found, _) = answer(&sandbox, &["speech", "error-rate", "a.txt", "b.txt"]);
    assert_eq!((&found["substitutions"], &found["reference"]), (&json!(1), &json!(3)));
}

#[test]
fn every_shell_is_given_its_completions() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ended = sandbox.interfuse(&["completions", shell]).succeeded();
        ended.said(&["interfuse", "evaluate", "transcribe", "raw-weights"]);
    }
    // Arguments that cannot be read have the status of every such mistake.
    assert_eq!(sandbox.interfuse(&["completions", "tcsh"]).code, Some(2));
}
