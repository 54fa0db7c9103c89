//! The CLIP score of a folder, and of what `data export` makes of it.
//!
//! The weights are the small random ones that the CLIP model itself is tested with, so a cosine says nothing of the images; but
//! equal images and captions must have equal ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage, Rgba, RgbaImage};
use interfuse_evaluation::image_set::{ImageSet, NamedImage};
use ndarray::Array3;
use serde_json::{Value, json};

use crate::fixture::{HEIGHT, Sandbox, WIDTH};

/// A folder of the layout that Hugging Face's CLIP models have.
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../evaluation/src/features/clip/fixture/openai");

/// Captions that metadata of either kind must put into quotes, and other letters.
const CAPTIONS: [&str; 6] =
    ["a cat", "a \"cat\", and a dog", "two lines\nof text", "back\\slash; tab\there", "ein Käfer 🐞", "猫, 犬"];

/// An image like no other of the set, of any size.
fn pattern(number: u32, [width, height]: [u32; 2]) -> RgbImage {
    let level = |x: u32, y: u32, channel: u32| ((x * (7 + number) + y * 23 + channel * 61 + number * 97) % 256) as u8;
    RgbImage::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|channel| level(x, y, channel))))
}

/// A folder that is described by JSON lines in one half, with lists of captions, and by CSV in the other, of PNG, BMP and
/// JPEG, in colour and grey; all images are of one size.
fn mixed(sandbox: &Sandbox, size: [u32; 2]) {
    for half in ["mixed/lines", "mixed/cells"] {
        fs::create_dir_all(sandbox.path(half)).expect("a folder");
    }
    let (mut lines, mut cells) = (String::new(), String::from("text,file_name\n"));
    for (number, caption) in CAPTIONS.iter().enumerate() {
        // The order of the names is another than that of the rows.
        let name = format!("{}.{}", 9 - number, ["png", "bmp", "jpg"][number % 3]);
        let image = pattern(number as u32, size);
        image.save(sandbox.path(&format!("mixed/lines/{name}"))).expect("written");
        let captions = if number % 2 == 0 { json!([caption, "another"]) } else { json!(caption) };
        lines.push_str(&format!("{}\n", json!({ "file_name": name, "text": captions })));
        let grey = image::DynamicImage::from(pattern(number as u32 + 6, size)).into_luma8();
        grey.save(sandbox.path(&format!("mixed/cells/{name}"))).expect("written");
        cells.push_str(&format!("\"grey: {}\",{name}\n", caption.replace('"', "\"\"")));
    }
    sandbox.write("mixed/lines/metadata.jsonl", lines);
    sandbox.write("mixed/cells/metadata.csv", cells);
}

/// Exports `folder` at the configuration's size, 16 × 8 pixels.
fn export(sandbox: &Sandbox, folder: &str, to: &str) {
    let source = format!("data.source.path={folder}");
    sandbox.interfuse(&["data", "export", "tiny.toml", to, "--set", &source]).succeeded();
}

/// The numbers that depend on images and captions alone; intervals depend on their order as well.
fn scores(sandbox: &Sandbox, folder: &str) -> ([f64; 2], Value) {
    sandbox.interfuse(&["clip-score", folder, "--clip", CLIP, "--json", "score.json"]).succeeded();
    let report = sandbox.json("score.json");
    let value = |name: &str| report[name]["value"].as_f64().expect("a number");
    ([value("cosine"), value("score_100") / 100.0], json!([report["r_precision"]["hits"], report["candidates"]]))
}

fn assert_equal_scores(sandbox: &Sandbox, one: &str, other: &str) {
    let [one, other] = [one, other].map(|folder| scores(sandbox, folder));
    // Rows of another order are summed in another order.
    assert!(one.0.iter().zip(&other.0).all(|(a, b)| (a - b).abs() < 1e-6), "{one:?} {other:?}");
    assert_eq!(one.1, other.1);
}

/// What the networks see: pixels by caption.
fn seen(folder: &Path) -> BTreeMap<String, Array3<u8>> {
    let mut seen = BTreeMap::new();
    let set = ImageSet::open(folder).and_then(ImageSet::with_captions).expect("a set");
    let mut take = |batch: Vec<NamedImage>, _: &_| {
        seen.extend(batch.into_iter().map(|image| (image.caption.expect("a caption"), image.pixels)));
        Ok(())
    };
    set.for_each_batch(5, &mut take).expect("images");
    seen
}

#[test]
fn an_export_of_images_that_have_their_size_already_has_the_same_pixels_captions_and_score() {
    let sandbox = Sandbox::new();
    mixed(&sandbox, [WIDTH, HEIGHT]);
    export(&sandbox, "mixed", "exported");
    let [original, exported] = ["mixed", "exported"].map(|folder| seen(&sandbox.path(folder)));
    assert_eq!(original.len(), 2 * CAPTIONS.len());
    assert!(original == exported, "{:?} {:?}", original.keys(), exported.keys());
    assert_equal_scores(&sandbox, "mixed", "exported");
    export(&sandbox, "images", "colours");
    assert_equal_scores(&sandbox, "images", "colours");
}

#[test]
fn an_export_of_larger_images_has_another_score_because_they_are_resized_and_for_no_other_reason() {
    let sandbox = Sandbox::new();
    mixed(&sandbox, [5 * WIDTH, 4 * HEIGHT]);
    export(&sandbox, "mixed", "exported");
    let [original, exported] = ["mixed", "exported"].map(|folder| seen(&sandbox.path(folder)));
    assert!(original.keys().eq(exported.keys()));
    for (caption, pixels) in original {
        let fitted =
            interfuse_data::Image::new(pixels).and_then(|image| image.fitted([HEIGHT as usize, WIDTH as usize]));
        assert_eq!(fitted.expect("an image").pixels(), exported[&caption], "{caption}");
    }
    let [before, after] = ["mixed", "exported"].map(|folder| scores(&sandbox, folder).0[0]);
    assert!((before - after).abs() > 1e-6, "{before} {after}");
    export(&sandbox, "exported", "again");
    assert_equal_scores(&sandbox, "exported", "again");
}

#[test]
fn transparency_is_white_in_an_export_and_dropped_where_a_folder_is_measured() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("stickers")).expect("a folder");
    let hidden = RgbaImage::from_fn(WIDTH, HEIGHT, |x, _| Rgba([200, 0, 0, if x < WIDTH / 2 { 255 } else { 0 }]));
    hidden.save(sandbox.path("stickers/one.png")).expect("written");
    sandbox.write("stickers/one.txt", "half a sticker");
    export(&sandbox, "stickers", "exported");
    let corner = |folder: &str| {
        let seen = seen(&sandbox.path(folder));
        [0, 1, 2].map(|channel| seen["half a sticker"][[channel, 0, WIDTH as usize - 1]])
    };
    assert_eq!([corner("stickers"), corner("exported")], [[200, 0, 0], [255; 3]]);
}
