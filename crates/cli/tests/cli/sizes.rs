//! Images of several sizes in one run: trained, resumed, measured, drawn and captioned at each of them.

use std::fs;

use image::RgbImage;

use crate::fixture::{COLOURS, Sandbox};

const BUCKETS: &str = "data.buckets={sizes=[[16, 8], [12, 12]]}";
const PLACES: &str = "model.modalities.image.learned_positions=true";
/// What a checkpoint has of weights and moments.
const FILES: [&str; 3] = ["model.safetensors", "ema.safetensors", "training_state/optimizer.safetensors"];

/// A sandbox with eight images of 8 × 16 pixels, as many of 32 × 16, and one of 6 × 6.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let mut metadata = String::from_utf8(sandbox.bytes("images/metadata.jsonl")).expect("UTF-8");
    let mut add = |name: &str, width, height, colour| {
        let image = RgbImage::from_pixel(width, height, image::Rgb(colour));
        image.save(sandbox.path(&format!("images/{name}.png"))).expect("an image is written");
        metadata.push_str(&format!("{{\"file_name\": \"{name}.png\", \"text\": \"{name}\"}}\n"));
    };
    for (name, colour) in COLOURS {
        add(&format!("tall {name}"), 16, 32, colour);
    }
    add("tiny", 6, 6, [9; 3]);
    sandbox.write("images/metadata.jsonl", metadata);
    sandbox
}

fn trained(sandbox: &Sandbox, run: &str) -> [Vec<u8>; 3] {
    FILES.map(|file| sandbox.bytes(&format!("{run}/checkpoints/step-000006/{file}")))
}

#[test]
fn a_run_on_several_sizes_draws_reads_and_measures_them_and_a_resume_ends_with_the_same_bytes() {
    let sandbox = sandbox();
    let set = ["run.dir=sizes", BUCKETS, PLACES];
    // What is too small is left out and named.
    sandbox
        .train(&set)
        .succeeded()
        .said(&["17 images", "`tiny.png`: expected at least 12 × 12 pixels, or data.upscale = true, found 6 × 6"]);
    let whole = trained(&sandbox, "sizes");
    fs::remove_dir_all(sandbox.path("sizes/checkpoints/step-000006")).expect("a checkpoint is removed");
    sandbox
        .train(&[&set[..], &["--resume"]].concat())
        .succeeded()
        .said(&["resuming from sizes/checkpoints/step-000003"]);
    assert!(trained(&sandbox, "sizes") == whole, "a resumed run differs");

    let sample = |size: &str, out: &str| {
        sandbox.interfuse(&["sample", "sizes", "red", "--count=1", "--size", size, "--out", out])
    };
    let drawn = sample("16x8", "tall").succeeded();
    assert!(!drawn.stderr.contains("warning"), "{}", drawn.stderr);
    assert_eq!(sandbox.image_size("tall/000000.png"), (8, 16));
    sample("8x8", "square").succeeded().warned(&["saw no image of 8 × 8 pixels"]);
    assert_eq!(sandbox.image_size("square/000000.png"), (8, 8));
    sample("16x10", "odd").refused(&["16 × 10 pixels does not fit the model", "patch_size"]);
    sandbox.interfuse(&["sample", "sizes", "red", "--count=1", "--out", "own"]).succeeded();
    assert_eq!(sandbox.image_size("own/000000.png"), (16, 8));

    // A batch of captions holds images of several sizes, small ones too.
    let images = ["images/red.png", "images/tall red.png", "images/tiny.png"];
    let captions = sandbox.interfuse(&[&["caption", "sizes"], &images[..]].concat()).succeeded();
    assert_eq!(captions.stdout.lines().count(), 3, "{}", captions.stdout);
    let alone = sandbox.interfuse(&["caption", "sizes", images[1]]).succeeded();
    assert!(captions.stdout.contains(alone.stdout.trim_end()), "{} not in {}", alone.stdout, captions.stdout);

    sandbox.interfuse(&["evaluate", "sizes", "--count=4"]).succeeded().said(&["nearest training image"]);
}

#[test]
fn a_configuration_of_several_sizes_is_looked_at_before_it_is_trained() {
    let sandbox = sandbox();
    let looked = sandbox.interfuse(&["inspect", "tiny.toml", "--set", BUCKETS, "--set", PLACES]).succeeded();
    looked.said(&["parameters", "the first document", "BOI"]);
    sandbox.train(&[BUCKETS]).succeeded();
    sandbox.interfuse(&["sample", "run", "--size", "16x8"]).refused(&["--size: expected a prompt"]);
}

#[test]
fn images_that_are_cropped_at_random_are_so_again_after_a_resume() {
    let sandbox = Sandbox::new();
    // Images of 8 × 16 pixels whose upper half has a colour, cropped to squares anywhere along their width, and to half of it.
    let set = ["run.dir=crops", "data.image_size=[4, 4]", "data.fit=\"random_crop\"", "data.horizontal_flip=0.5"];
    sandbox.train(&set).succeeded();
    let whole = trained(&sandbox, "crops");
    fs::remove_dir_all(sandbox.path("crops/checkpoints/step-000006")).expect("a checkpoint is removed");
    sandbox.train(&[&set[..], &["--resume"]].concat()).succeeded();
    assert!(trained(&sandbox, "crops") == whole, "a resumed run differs");
}

#[test]
fn a_look_at_the_data_says_what_falls_into_which_size() {
    let sandbox = sandbox();
    let look = sandbox.interfuse(&["data", "inspect", "tiny.toml", "--set", BUCKETS, "--out", "sheet.png"]).succeeded();
    look.said(&[
        "8 × 16   pixels  8 images",
        "16 × 8    pixels  8 images",
        "12 × 12   pixels  0 images: nothing is of these",
    ]);
}

#[test]
fn sizes_that_do_not_fit_are_refused_by_key() {
    let sandbox = sandbox();
    sandbox.train(&["data.buckets={sizes=[[10, 8]]}"]).refused(&["data.buckets, 10 × 8 pixels", "patch_size"]);
    sandbox.train(&["data.buckets={sizes=[[8, 16]]}"]).refused(&["data.buckets", "other sizes than data.image_size"]);
    sandbox.train(&["data.buckets={ratios=[20.0]}"]).refused(&["data.buckets.ratios"]);
    sandbox.train(&["data.image_size=[400, 400]"]).refused(&["at least 400 × 400 pixels, or data.upscale = true"]);
    sandbox.train(&["data.image_size=[20, 20]", "data.upscale=true"]).succeeded();
}
