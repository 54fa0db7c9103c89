//! Images that are edited, and questions about them, by a model that learned from the user's own files.

use serde_json::json;

use crate::fixture::{COLOURS, HEIGHT, Sandbox, WIDTH};

/// Edits from every colour to red, and a question about each.
fn write_conversations(sandbox: &Sandbox) {
    let image = |name: &str| format!("{name}.png");
    let edits = COLOURS
        .map(|(name, _)| json!({ "original": image(name), "edit": "make it red", "edited": image("red") }).to_string());
    let questions = COLOURS.map(|(name, _)| {
        let turns = [json!({"from": "human", "value": "<image>\nwhat?"}), json!({"from": "gpt", "value": name})];
        json!({ "image": image(name), "conversations": turns }).to_string()
    });
    sandbox.write("edits.jsonl", edits.join("\n"));
    sandbox.write("questions.jsonl", questions.join("\n"));
}

/// The mixture of captioned images, edits and questions.
fn mixture() -> String {
    let part = |name: &str, layout: &str| {
        format!(
            "{{name=\"{name}\",content={{kind=\"conversations\",source={{kind=\"files\",files=[\"{name}.jsonl\"],\
             layout={{kind=\"{layout}\"}},images=\"images\"}}}}}}"
        )
    };
    let (edits, questions) = (part("edits", "edit"), part("questions", "conversation"));
    format!("data.mixture=[{{name=\"captioned\",content={{kind=\"images\"}}}},{edits},{questions}]")
}

#[test]
fn a_model_edits_and_answers_and_both_are_measured() {
    let sandbox = Sandbox::new();
    write_conversations(&sandbox);
    sandbox.train(&[&mixture()]).succeeded();
    let edit = ["edit", "run", "images/blue.png", "make it red", "--count", "2", "--seed", "5"];
    let ended = sandbox.interfuse(&[&edit[..], &["--image-guidance", "1.5", "--out", "edited"]].concat()).succeeded();
    ended.said(&["2 images in edited"]);
    assert_eq!(sandbox.image_size("edited/000001.png"), (WIDTH, HEIGHT));
    assert_eq!(sandbox.json_lines("edited/metadata.jsonl")[0]["text"], "make it red");

    let ended = sandbox.interfuse(&["ask", "run", "images/blue.png", "what?", "--json"]).succeeded();
    let answer: serde_json::Value = serde_json::from_str(&ended.stdout).expect("one value");
    assert!(answer["answer"].is_string(), "{answer}");
    // It learned from documents of one question, so the first is forgotten where both are too long.
    let both = ["ask", "run", "images/blue.png", "what?", "what now?", "--json"];
    let ended = sandbox.interfuse(&both).succeeded();
    let answer: serde_json::Value = serde_json::from_str(&ended.stdout).expect("one value");
    assert_eq!(answer["answers"].as_array().map(Vec::len), Some(2), "{answer}");

    sandbox.interfuse(&["evaluate", "run", "--count", "8"]).succeeded();
    let found = &sandbox.json("run/evaluation.json")["conversations"];
    assert!(found["questions"]["train"]["answers"]["exact"]["total"].as_u64() > Some(0), "{found}");
    assert!(found["edits"]["train"]["edits"]["psnr"]["value"].is_number(), "{found}");
    assert!(sandbox.path("run/edits-train.png").is_file());
}

#[test]
fn a_model_that_was_never_asked_says_so_and_what_cannot_be_read_is_named() {
    let sandbox = Sandbox::trained();
    let never = ["trained without conversations"];
    sandbox.interfuse(&["ask", "run", "images/blue.png", "what?"]).succeeded().warned(&never);
    sandbox.interfuse(&["edit", "run", "images/blue.png", "red", "--out", "edited"]).succeeded().warned(&never);
    sandbox.interfuse(&["ask", "run", "images/none.png", "what?"]).refused(&["images/none.png"]);
    let refused = sandbox.interfuse(&["edit", "run", "images/blue.png", "red", "--image-guidance=-1"]);
    refused.refused(&["sampling.image_guidance", "a number from 0"]);
    let mixture = mixture().replace("edits.jsonl", "other.jsonl");
    sandbox.train(&["run.dir=again", &mixture]).refused(&["other.jsonl"]);
}
