//! A run under the causally masked objective of CM3, by the built program.

use crate::fixture::Sandbox;

/// A model of text alone, on four short files.
const CONFIG: &str = r#"
[run]
dir = "run"
device = "cpu"

[data]

[[data.mixture]]
name = "lines"
content = { kind = "texts", corpus = { kind = "folder", path = "texts", held_out = 0.0 }, max_tokens = 40 }

[tokenizer]
vocab_size = 261

[model]
partition = [["text"]]

[model.backbone]
d_model = 16
n_layers = 1
n_heads = 2

[model.modalities.text]
objective = "next_token"

[optimizer]
learning_rate = 3e-3
warmup_steps = 2

[train]
steps = 4
batch_size = 2

[intervals]
validation = 2
preview = 0
checkpoint = 2
"#;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("texts")).expect("a folder for texts");
    for (at, words) in
        ["alpha beta gamma", "delta epsilon zeta", "eta theta iota kappa", "lambda my ny xi"].iter().enumerate()
    {
        sandbox.write(&format!("texts/{at}.txt"), format!("{words} {words} {words}"));
    }
    sandbox.write("cm3.toml", CONFIG.replace("max_tokens = 40", "max_tokens = 40, causal_masking = 1.0"));
    sandbox.write("plain.toml", CONFIG);
    sandbox
}

#[test]
fn documents_are_masked_and_the_masks_are_in_the_vocabulary() {
    let sandbox = sandbox();
    let train = |config: &str, more: &[&str]| sandbox.interfuse(&[&["train", config][..], more].concat());
    train("cm3.toml", &[]).succeeded();
    let tokenizer = String::from_utf8(sandbox.bytes("run/checkpoints/step-000004/tokenizer.json")).expect("UTF-8");
    assert!(tokenizer.contains("<mask:0>") && tokenizer.contains("<mask:15>"));
    let card = sandbox.json("run/checkpoints/step-000004/config.json");
    assert_eq!(card["model"]["modalities"]["text"]["vocab_size"], 261 + 16);
    train("plain.toml", &["--set", "run.dir=plain"]).succeeded();
    let plain = String::from_utf8(sandbox.bytes("plain/checkpoints/step-000004/tokenizer.json")).expect("UTF-8");
    assert!(!plain.contains("<mask:"));
    // A resume goes on with them, and cannot begin with them.
    train("cm3.toml", &["--set", "train.steps=6", "--resume"]).succeeded();
    let late = ["--set", "run.dir=plain", "--set", "train.steps=6", "--resume"];
    train("cm3.toml", &late).refused(&["causal_masking", "<mask:15>"]);
    let drawn = sandbox.interfuse(&["inspect", "cm3.toml"]).succeeded().said(&["MASK0"]);
    // What stands before a mask has no loss, and neither has the last row.
    let rows: Vec<&str> =
        drawn.stdout.lines().filter(|line| line.starts_with("text ") && line.ends_with(['#', '·'])).collect();
    let has_no_loss = |line: &&str| line.contains("  —  ");
    let masks = rows.iter().filter(|line| line.contains("MASK")).count();
    assert!(masks >= 2 && masks.is_multiple_of(2), "each stands twice: {}", drawn.stdout);
    let silent = rows.iter().filter(|line| has_no_loss(line)).count();
    assert_eq!(silent, masks + 1, "{}", drawn.stdout);
    for pair in rows.windows(2).filter(|pair| pair[1].contains("MASK")) {
        assert!(has_no_loss(&pair[0]), "{}", pair[0]);
    }
}

#[test]
fn masking_that_makes_no_sense_is_refused() {
    let sandbox = sandbox();
    for (content, parts) in [
        ("max_tokens = 40, causal_masking = 1.5", vec!["content.causal_masking", "a fraction from 0 to 1", "1.5"]),
        ("max_tokens = 1, causal_masking = 0.5", vec!["content.max_tokens", "at least 2", "causal_masking"]),
    ] {
        sandbox.write("wrong.toml", CONFIG.replace("max_tokens = 40", content));
        sandbox.interfuse(&["train", "wrong.toml"]).refused(&parts);
    }
}
