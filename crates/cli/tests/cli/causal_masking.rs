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

/// One text learned by heart under masks, so that a span of it can be filled in nearly one way.
#[test]
fn a_mask_is_filled_with_what_stood_there() {
    let sandbox = sandbox();
    let text = "alpha beta gamma delta epsilon zeta eta theta";
    std::fs::create_dir(sandbox.path("one")).expect("a folder for a text");
    sandbox.write("one/a.txt", text);
    let more = [
        "data.mixture=[{name='lines',content={kind='texts',corpus={kind='folder',path='one',held_out=0.0},max_tokens=60,causal_masking=1.0}}]",
        "tokenizer.vocab_size=300",
        "model.backbone.d_model=64",
        "model.backbone.n_layers=2",
        "train.steps=400",
        "train.batch_size=16",
        "optimizer.warmup_steps=20",
        "intervals.validation=0",
        "intervals.checkpoint=0",
        "run.dir=heart",
    ];
    let set: Vec<&str> = more.iter().flat_map(|change| ["--set", change]).collect();
    sandbox.interfuse(&[&["train", "cm3.toml"][..], &set].concat()).succeeded();

    let asked = ["alpha beta <mask> delta epsilon zeta eta theta", "alpha beta gamma delta epsilon <mask> theta"];
    let ended = sandbox.interfuse(&[&["infill", "heart"][..], &asked, &["--json"]].concat()).succeeded();
    let found: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    for (answer, (span, asked)) in
        found["texts"].as_array().expect("texts").iter().zip([" gamma", " zeta eta"].iter().zip(asked))
    {
        assert_eq!((answer["text"].as_str(), answer["asked"].as_str()), (Some(text), Some(asked)), "{found}");
        assert_eq!(answer["spans"], serde_json::json!([span]));
        assert_eq!(answer["cut_at"], serde_json::Value::Null);
    }
    let ended = sandbox.interfuse(&["infill", "heart", "alpha beta <mask> delta <mask>", "--json"]).succeeded();
    let found: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let (words, spans) = (found["texts"][0]["text"].as_str(), found["texts"][0]["spans"].as_array().expect("spans"));
    // What stands around masks stays, and each mask has its span.
    let expected = [" beta", " delta"]
        .iter()
        .zip(spans)
        .map(|(before, span)| format!("{before}{}", span.as_str().expect("words")));
    assert_eq!(
        words.map(str::to_owned),
        Some(format!("alpha{}", expected.collect::<String>()).trim().to_owned()),
        "{found}"
    );
    assert_eq!(spans.len(), 2);
    // At a temperature a seed says the same each time.
    let warm =
        || sandbox.interfuse(&["infill", "heart", asked[0], "--temperature", "1.5", "--count", "3"]).succeeded().stdout;
    let words = warm();
    assert!(words.lines().count() >= 3 && words == warm(), "{words}");

    sandbox.interfuse(&["infill", "heart", "alpha beta"]).refused(&["<mask>", "\"alpha beta\""]);
    sandbox
        .interfuse(&["infill", "heart", &format!("{} <mask>", [text; 60].join(" "))])
        .refused(&["tokens", "trained on rows"]);
    sandbox.interfuse(&["train", "plain.toml", "--set", "run.dir=plain"]).succeeded();
    sandbox.interfuse(&["infill", "plain", asked[0]]).refused(&["plain was trained without masks", "causal_masking"]);
    sandbox.interfuse(&["infill", "plain/checkpoints/step-000004", asked[0]]).refused(&["without masks"]);
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
