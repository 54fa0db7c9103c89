//! Images, captions and data sets that are not as they should be.

use std::fs;

use serde_json::json;

use crate::fixture::Sandbox;

#[test]
fn a_folder_without_images_says_what_was_looked_for() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("empty")).expect("a folder");
    let searched = ["no captioned images found", "`empty`", "metadata.jsonl", ".txt"];
    sandbox.train(&["data.source.path=empty"]).refused(&searched);
    sandbox.train(&["data.source.path=nowhere"]).refused(&["`nowhere` does not exist", "data.source.path"]);
}

#[test]
fn a_data_set_that_is_not_installed_says_how_to_get_it() {
    let sandbox = Sandbox::new();
    let source = "data.source={kind=\"fashion-mnist\",folder=\"nowhere\"}";
    let missing = ["train-images-idx3-ubyte.gz", "does not exist", "apt-get install dataset-fashion-mnist"];
    sandbox.train(&[source]).refused(&missing);
}

#[test]
fn a_bad_image_is_skipped_counted_and_named_once() {
    let sandbox = Sandbox::new();
    let whole = sandbox.bytes("images/red.png");
    sandbox.write("images/red.png", &whole[..whole.len() / 2]);
    // Five times through the images.
    let ended = sandbox.train(&["train.steps=20", "run.evaluate=true"]).succeeded().said(&["trained 20 steps"]);
    assert_eq!(ended.stdout.matches("red.png").count(), 1, "{}", ended.stdout);
    assert!(ended.stdout.contains(" bad and 0 too long; first: `red.png`"), "{}", ended.stdout);
    // Of every eight documents one is bad.
    let cursor = &sandbox.json("run/checkpoints/step-000020/training_state/state.json")["cursor"];
    let (next, bad) = (cursor["next"].as_u64().expect("a number"), cursor["bad"].as_u64().expect("a number"));
    assert!((next / 8..=next.div_ceil(8)).contains(&bad), "{bad} of {next}");
    let counted = format!("skipped {bad} bad and 0 too long of {next} documents");
    assert!(ended.stdout.contains(&counted), "{}", ended.stdout);
    let ended = sandbox.interfuse(&["data", "inspect", "tiny.toml", "--out", "sheet.png"]).succeeded();
    ended.said(&["8 images, 1 of them bad", "red.png"]);
}

#[test]
fn a_folder_of_bad_images_ends_training_with_a_reason() {
    let sandbox = Sandbox::new();
    for name in sandbox.names("images").iter().filter(|name| name.ends_with(".png")) {
        sandbox.write(&format!("images/{name}"), "not an image");
    }
    sandbox.train(&[]).refused(&["at least one document", "bad", ".png"]);
}

#[test]
fn bad_rows_of_metadata_are_left_out_and_named() {
    let sandbox = Sandbox::new();
    let mut metadata = String::from_utf8(sandbox.bytes("images/metadata.jsonl")).expect("UTF-8");
    metadata.push_str("{\"file_name\": \"gone.png\", \"text\": \"gone\"}\n{\"file_name\": \"red.png\"}\nno JSON\n");
    metadata.push_str("{\"file_name\": \"../tiny.toml\", \"text\": \"outside\"}\n");
    sandbox.write("images/metadata.jsonl", metadata);
    let ended = sandbox.train(&[]).succeeded();
    ended.said(&["8 images", "`gone.png` does not exist", "line 10", "line 11", "line 12", "../tiny.toml"]);
}

#[test]
fn something_that_is_no_image_gets_no_caption() {
    let sandbox = Sandbox::trained();
    let ended = sandbox.interfuse(&["caption", "run", "tiny.toml"]);
    ended.refused(&[
        "skipped: `tiny.toml`: expected a complete JPEG, PNG, WebP, BMP, TIFF or PNM image",
        "none of the 1 images",
    ]);
    let ended = sandbox.interfuse(&["caption", "run", "nowhere.png"]);
    ended.refused(&["skipped", "nowhere.png", "No such file"]);
    // The others still get theirs.
    let ended = sandbox.interfuse(&["caption", "run", "tiny.toml", "images/red.png"]).succeeded();
    assert!(ended.stderr.contains("tiny.toml") && ended.stdout.starts_with("images/red.png\t"));
}

#[test]
fn a_tokenizer_file_that_is_none_is_named() {
    let sandbox = Sandbox::new();
    let source = String::from_utf8_lossy(&sandbox.bytes("tiny.toml")).replace("vocab_size = 261", "path = \"words\"");
    sandbox.write("other.toml", source);
    let train = || sandbox.interfuse(&["train", "other.toml"]);
    train().refused(&["words", "No such file"]);
    sandbox.write("words", "[1, 2]");
    train().refused(&["words", "the JSON of a Hugging Face tokenizer"]);
    let both = sandbox.train(&["tokenizer.path=words"]);
    both.refused(&["tokenizer", "expected `vocab_size` or `path`, found both"]);
}

#[test]
fn a_caption_without_ids_is_skipped_counted_and_named() {
    let sandbox = Sandbox::new();
    let special = ["<bos>", "<eos>", "<boi>", "<eoi>", "<pad>"];
    let added = special.iter().enumerate().map(|(id, content)| {
        json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true })
    });
    // Every letter but that of "pink".
    let letters = ('a'..='z').filter(|&letter| letter != 'p').map(|letter| (letter.to_string(), -5.0));
    let vocab = special.iter().map(|content| (content.to_string(), 0.0)).chain(letters);
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": added.collect::<Vec<_>>(),
        "model": { "type": "Unigram", "unk_id": null, "byte_fallback": false, "vocab": vocab.collect::<Vec<_>>() },
    });
    sandbox.write("letters.json", tokenizer.to_string());
    let source =
        String::from_utf8_lossy(&sandbox.bytes("tiny.toml")).replace("vocab_size = 261", "path = \"letters.json\"");
    sandbox.write("tiny.toml", source);
    let ended = sandbox.interfuse(&["data", "inspect", "tiny.toml", "--out", "sheet.png"]).succeeded();
    ended.said(&["1 captions are bad", "`pink.png`", "\"pink\""]);
    sandbox.train(&[]).succeeded().said(&[" bad and 0 too long; first: `pink.png`", "\"pink\"", "trained 6 steps"]);
}

#[test]
fn a_jpeg_without_its_end_is_bad_in_every_command() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("set")).expect("a folder");
    for name in ["cut", "lacks_its_mark", "whole", "other"] {
        let image =
            image::RgbImage::from_fn(64, 48, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, name.len() as u8]));
        image.save(sandbox.path("images").join(format!("{name}.jpg"))).expect("written");
        sandbox.write(&format!("set/{name}.txt"), name);
        let bytes = sandbox.bytes(&format!("images/{name}.jpg"));
        let end = match name {
            "cut" => bytes.len() / 2,
            "lacks_its_mark" => bytes.len() - 2,
            _ => bytes.len(),
        };
        sandbox.write(&format!("set/{name}.jpg"), &bytes[..end]);
    }
    let named = ["cut.jpg", "lacks_its_mark.jpg", "truncated"];
    let inspect = ["data", "inspect", "tiny.toml", "--out", "sheet.png", "--set", "data.source.path=set"];
    sandbox.interfuse(&inspect).succeeded().said(&named).said(&["4 images, 2 of them bad"]);
    let weights = crate::fid::weights(&sandbox).display().to_string();
    let network = ["--weights", &weights, "--allow-unknown-weights", "--dims", "64", "--device", "cpu"];
    let fid = sandbox.interfuse(&[&["fid", "set", "set"][..], &network].concat()).succeeded();
    fid.said(&named).said(&["set: 2 images", "skipped 2 bad ones"]);
    let vae = concat!(env!("CARGO_MANIFEST_DIR"), "/../vae/tests/parity/diffusers/sd15");
    let encode = sandbox.interfuse(&["vae", "encode", "set", "--vae", vae, "--out", "latents"]).succeeded();
    encode.said(&named).said(&["encoded 2 of"]);
}
