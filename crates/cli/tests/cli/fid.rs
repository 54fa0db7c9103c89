//! Distances of sets of images, and what may be wrong with them.
//!
//! The network of the FID has 96 MB of weights that do not come with the program; these tests make a file of its layout with
//! weights by a formula, which the program takes only when it is told to.

use std::fs;
use std::path::PathBuf;

use interfuse_parameters::{HostTensor, HostTensors, read_tensors, write_tensors};

use crate::fixture::{Ended, Sandbox};

/// The layout of the file: names and shapes.
const LAYOUT: &str = include_str!("../../../evaluation/src/features/inception/fixture/names.json");

/// Writes `weights.safetensors`.
pub(crate) fn weights(sandbox: &Sandbox) -> PathBuf {
    let names: Vec<(String, Vec<usize>)> = serde_json::from_str(LAYOUT).expect("JSON");
    let mut state = 1u64;
    let mut number = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let tensors: HostTensors = names
        .into_iter()
        .map(|(name, shape)| {
            let fan_in: usize = shape.iter().skip(1).product();
            let (scale, centre) = match shape.len() {
                1 if name.ends_with("weight") || name.ends_with("var") => (0.1, 1.0),
                1 => (0.1, 0.0),
                _ => ((6.0 / fan_in as f32).sqrt(), 0.0),
            };
            let values = (0..shape.iter().product()).map(|_| number() * scale + centre).collect();
            (name, HostTensor { shape, values })
        })
        .collect();
    let path = sandbox.path("weights.safetensors");
    write_tensors(&tensors, &path).expect("written");
    path
}

/// 64 features need only the first layers, so that the tests are quick.
fn fid(sandbox: &Sandbox, args: &[&str]) -> Ended {
    let usual = ["fid", "--weights", "weights.safetensors", "--allow-unknown-weights", "--dims", "64"];
    sandbox.interfuse(&[&usual[..], args].concat())
}

/// The last number that the program printed.
fn last_number(ended: &Ended) -> f64 {
    let last = ended.stdout.split_whitespace().last().expect("words");
    last.parse().unwrap_or_else(|_| panic!("{last} in {}", ended.stdout))
}

/// The images with noise, or blurred.
fn changed(sandbox: &Sandbox, name: &str, change: impl Fn(&image::RgbImage, usize) -> image::RgbImage) {
    changed_from(sandbox, "images", name, change);
}

fn changed_from(
    sandbox: &Sandbox,
    from: &str,
    name: &str,
    change: impl Fn(&image::RgbImage, usize) -> image::RgbImage,
) {
    fs::create_dir(sandbox.path(name)).expect("a folder");
    for (index, image) in sandbox.names(from).iter().filter(|name| name.ends_with(".png")).enumerate() {
        let original = image::open(sandbox.path(&format!("{from}/{image}"))).expect("an image").into_rgb8();
        change(&original, index).save(sandbox.path(&format!("{name}/{image}"))).expect("written");
    }
}

fn noisy(original: &image::RgbImage, index: usize, strength: i32) -> image::RgbImage {
    let mut image = original.clone();
    for (place, value) in image.iter_mut().enumerate() {
        let noise = ((place * 7919 + index * 104_729) % 201) as i32 - 100;
        *value = (i32::from(*value) + noise * strength / 100).clamp(0, 255) as u8;
    }
    image
}

#[test]
fn the_distance_is_the_last_number_zero_to_itself_symmetric_and_grows_with_noise_and_blur() {
    let sandbox = Sandbox::new();
    weights(&sandbox);
    photographs(&sandbox);
    for strength in [10, 40, 90] {
        let name = format!("noise-{strength}");
        changed_from(&sandbox, "photographs", &name, |image, index| noisy(image, index, strength));
    }
    for sigma in [1, 2, 4] {
        let blur = |image: &image::RgbImage, _| image::imageops::blur(image, sigma as f32);
        changed_from(&sandbox, "photographs", &format!("blur-{sigma}"), blur);
    }
    let between = |a: &str, b: &str| last_number(&fid(&sandbox, &[a, b]).succeeded());
    let scale = between("photographs", "noise-90");
    assert!(between("photographs", "photographs").abs() < 1e-6 * scale);
    let back = between("noise-90", "photographs");
    assert!((scale / back - 1.0).abs() < 1e-6, "{scale} {back}");
    let noise = [10, 40].map(|strength| between("photographs", &format!("noise-{strength}")));
    assert!(0.0 < noise[0] && noise[0] < noise[1] && noise[1] < scale, "{noise:?} {scale}");
    let blur = [1, 2, 4].map(|sigma| between("photographs", &format!("blur-{sigma}")));
    assert!(0.0 < blur[0] && blur[0] < blur[1] && blur[1] < blur[2], "{blur:?}");
}

/// Pieces of two photographs.
fn photographs(sandbox: &Sandbox) {
    const SIDE: u32 = 96;
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../evaluation/src/features/efficientnet/fixture/photographs");
    fs::create_dir(sandbox.path("photographs")).expect("a folder");
    for name in ["cat", "coffee"] {
        let whole = image::open(folder.join(format!("{name}.jpg"))).expect("a photograph").into_rgb8();
        for piece in 0..6 {
            let [left, top] = [piece % 3 * SIDE, piece / 3 * SIDE];
            let piece_of = image::imageops::crop_imm(&whole, left, top, SIDE, SIDE).to_image();
            piece_of.save(sandbox.path(&format!("photographs/{name}-{piece}.png"))).expect("written");
        }
    }
}

#[test]
fn statistics_are_saved_and_read_and_every_number_says_how_many_images() {
    let sandbox = Sandbox::new();
    weights(&sandbox);
    changed(&sandbox, "noisy", |image, index| noisy(image, index, 60));
    fid(&sandbox, &["--save-stats", "images", "real.npz"]).succeeded().said(&["statistics of 8 images"]);
    let direct = fid(&sandbox, &["images", "noisy", "--json", "fid.json"]).succeeded();
    direct.stdout.find("FID of the 64 features-8 with unknown weights").expect("a name that says all");
    let by_file = fid(&sandbox, &["real.npz", "noisy", "--num-workers", "8"]).succeeded();
    let (direct, by_file) = (last_number(&direct), last_number(&by_file));
    // Eight images leave a covariance of 64 features without full rank; both ways give the same all the same.
    assert!((direct / by_file - 1.0).abs() < 1e-3, "{direct} {by_file}");
    // Two files need no network at all.
    fid(&sandbox, &["--save-stats", "noisy", "noisy.npz"]).succeeded();
    let by_files = sandbox.interfuse(&["fid", "real.npz", "noisy.npz", "--json", "files.json"]).succeeded();
    let by_files = by_files.said(&["Fréchet distance of 64 features"]);
    assert!((direct / last_number(&by_files) - 1.0).abs() < 1e-3, "{direct}");
    assert_eq!(sandbox.json("files.json")["distance"], last_number(&by_files));
    let report = sandbox.json("fid.json");
    assert_eq!(report["a"]["images"], 8);
    assert_eq!(report["weights"]["published"], false);
    assert_eq!(report["resize"], "pytorch");
    let ended = fid(&sandbox, &["images", "noisy", "--kid", "--prdc", "--resize", "clean"]).succeeded();
    ended.said(&["KID", "1 subsets of 8", "precision", "coverage"]);
    fid(&sandbox, &["real.npz", "noisy", "--kid"]).refused(&["real.npz", "need images"]);
    let out = ["features", "images", "--weights", "weights.safetensors", "--allow-unknown-weights", "--dims", "64"];
    sandbox.interfuse(&[&out[..], &["--out", "f.npz"]].concat()).succeeded().said(&["8 vectors of 64 features"]);
}

#[test]
fn intervals_and_floors_stand_beside_a_distance() {
    let sandbox = Sandbox::new();
    weights(&sandbox);
    changed(&sandbox, "noisy", |image, index| noisy(image, index, 60));
    changed(&sandbox, "train", |image, index| noisy(image, index, 5));
    fs::remove_file(sandbox.path("noisy/red.png")).expect("removed");
    let all = ["images", "noisy", "--train", "train", "--resamples", "12", "--kid", "--json", "fid.json"];
    let ended = fid(&sandbox, &all).succeeded();
    // The training set is cut to as many images as were generated, and the distance itself is still the last number.
    let ended = ended.said(&["95 % interval:", "12 times resampled", "KID, baseline:", "7 training images against"]);
    let report = sandbox.json("fid.json");
    let number = |pointer: &str| report.pointer(pointer).and_then(serde_json::Value::as_f64).expect("a number");
    assert!((last_number(&ended) / number("/distance") - 1.0).abs() < 1e-12);
    assert!(number("/interval/low") < number("/distance") && number("/distance") < number("/interval/high"));
    assert!(number("/baseline/value") < number("/distance") && number("/kid_baseline/value") < number("/kid/mean"));
    assert_eq!((&report["train"]["images"], &report["baseline"]["images"]), (&7.into(), &7.into()));

    fid(&sandbox, &["--save-stats", "images", "real.npz"]).succeeded();
    fid(&sandbox, &["real.npz", "noisy", "--resamples", "3"]).succeeded().said(&["3 times resampled"]);
    fid(&sandbox, &["real.npz", "real.npz", "--resamples", "3"]).refused(&["--resamples", "statistics on both"]);
    fid(&sandbox, &["images", "noisy", "--resamples", "1"]).refused(&["--resamples", "at least 2"]);
}

#[test]
fn a_run_is_measured_by_the_networks_that_are_at_hand() {
    let sandbox = Sandbox::trained();
    let inception = format!("--fid={}", weights(&sandbox).display());
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/../evaluation/src/features/clip/fixture/openai");
    let evaluate = |more: &[&str]| sandbox.interfuse(&[&["evaluate", "run", "--count", "8"], more].concat());
    evaluate(&[&inception]).refused(&["weights.safetensors", "--allow-unknown-weights"]);
    evaluate(&["--fid=gone.pth"]).refused(&["gone.pth"]);
    evaluate(&["--clip", "images"]).refused(&["images/config.json"]);

    let all = [&*inception, "--allow-unknown-weights", "--clip", clip, "--resamples", "3"];
    let ended = evaluate(&all).succeeded();
    ended.said(&["FID-8 with unknown weights:", "precision", "CMMD on openai:", "CLIP score, 100 · max(0, cos):"]);
    let report = sandbox.json("run/evaluation.json");
    assert_eq!(report["distances"][0]["generated"], 8);
    assert_eq!(report["distances"][0]["resize"], "pytorch");
    assert_eq!(report["distances"][0]["weights"]["published"], false);
    // Nothing of eight images is held out, so that there is no baseline.
    assert_eq!(report["distances"][0]["real_is_training"], true);
    assert!(report["distances"][1]["distance"]["interval"]["high"].as_f64().is_some());
    assert_eq!(report["clip_score"]["cosine"]["count"], 8);
    assert_eq!(report["weights"], "ema.safetensors");
    let page = fs::read_to_string(sandbox.path("run/report.html")).expect("a page");
    assert!(page.contains("Best prompts, by cosine of image and prompt") && page.contains("Worst prompts"));
    evaluate(&["--raw-weights"]).succeeded();
    assert_eq!(sandbox.json("run/evaluation.json")["weights"], "model.safetensors");
}

#[test]
fn too_few_images_for_a_distance_are_refused_before_anything_is_generated() {
    let sandbox = Sandbox::trained();
    sandbox.train(&["data.source.held_out=0.1", "run.dir=few"]).succeeded();
    let inception = format!("--fid={}", weights(&sandbox).display());
    let refused = |args: &[&str], sentence: &str| {
        let ended = sandbox.interfuse(&[&["evaluate"], args, &["--allow-unknown-weights"]].concat());
        let sentence = format!("error: {sentence}: expected at least 2 images for a distance, found 1");
        assert!(ended.refused(&[&sentence]).stdout.is_empty(), "{sentence}: work was begun");
    };
    refused(&["run", "--count", "1", &inception], "--count");
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/../evaluation/src/features/clip/fixture/openai");
    refused(&["run", "--count", "1", "--clip", clip], "--count");
    refused(&["few", "--count", "4", &inception], "the held-out images of the data");
    assert!(!sandbox.path("run/evaluation.json").exists() && !sandbox.path("few/evaluation.json").exists());
    // Without a network one image is enough.
    sandbox.interfuse(&["evaluate", "run", "--count", "1"]).succeeded();
}

#[test]
fn what_is_not_two_sets_of_images_is_refused_by_name() {
    let sandbox = Sandbox::new();
    weights(&sandbox);
    fs::create_dir(sandbox.path("empty")).expect("a folder");
    fs::create_dir(sandbox.path("one")).expect("a folder");
    fs::copy(sandbox.path("images/red.png"), sandbox.path("one/red.png")).expect("copied");
    fid(&sandbox, &["images", "empty"]).refused(&["empty", "found none"]);
    fid(&sandbox, &["images", "one"]).refused(&["error: one: expected at least 2 images for a distance, found 1"]);
    fid(&sandbox, &["--save-stats", "one", "one.npz"]).refused(&["one: expected at least 2 images", "found 1"]);
    fid(&sandbox, &["images", "gone"]).refused(&["gone", "no such file"]);
    sandbox.write("bad.npz", "nothing");
    fid(&sandbox, &["images", "bad.npz"]).refused(&["bad.npz", ".npz"]);
    sandbox.interfuse(&["fid", "images", "images", "--dims", "100"]).refused(&["--dims", "64, 192, 768 or 2048"]);
    sandbox.write("one/broken.png", "not an image");
    fs::copy(sandbox.path("images/blue.png"), sandbox.path("one/blue.png")).expect("copied");
    let ended = fid(&sandbox, &["images", "one"]).succeeded();
    ended.said(&["one: 2 images", "skipped 1 bad ones; first: broken.png"]);
}

#[test]
fn images_are_scored_against_their_captions() {
    let sandbox = Sandbox::new();
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/../evaluation/src/features/clip/fixture/openai");
    let score = |args: &[&str]| sandbox.interfuse(&[&["clip-score", "--clip", clip][..], args].concat());
    let ended = score(&["images", "--json", "score.json"]).succeeded();
    ended.said(&["8 images with a caption", "R-precision among 8 captions", "cosine:", "N = 8"]);
    let cosine = sandbox.json("score.json")["cosine"]["value"].as_f64().expect("a number");
    assert!(cosine.abs() <= 1.0);
    fs::create_dir(sandbox.path("bare")).expect("a folder");
    fs::copy(sandbox.path("images/red.png"), sandbox.path("bare/red.png")).expect("copied");
    score(&["bare"]).refused(&["bare", "expected captions", "found none for 1 images"]);
    sandbox.write("bare/red.txt", "red");
    fs::copy(sandbox.path("images/blue.png"), sandbox.path("bare/blue.png")).expect("copied");
    score(&["bare"]).succeeded().said(&["1 images with a caption", "left out 1 without a caption, such as blue.png"]);
    let by_clip = ["fid", "--extractor", "clip", "--weights", clip, "--cmmd", "images", "images"];
    let ended = sandbox.interfuse(&by_clip).succeeded().said(&["CMMD on openai:  0.0000", "fd_openai-8:"]);
    assert!(last_number(&ended).abs() < 1e-6);
    sandbox.interfuse(&["fid", "--extractor", "clip", "images", "images"]).refused(&["--weights", "CLIP"]);
    let wrong = ["clip-score", "--clip", "images", "images"];
    sandbox.interfuse(&wrong).refused(&["images/config.json"]);
}

#[test]
fn a_folder_that_is_no_whole_clip_model_is_refused_by_what_is_wrong() {
    let sandbox = Sandbox::new();
    let model = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../evaluation/src/features/clip/fixture/openai");
    fs::create_dir(sandbox.path("clip")).expect("a folder");
    let copy = |name: &str| fs::copy(model.join(name), sandbox.path("clip").join(name)).expect("copied");
    let score = || sandbox.interfuse(&["clip-score", "--clip", "clip", "images"]);
    copy("config.json");
    score().refused(&["clip/tokenizer.json", "found no such file"]);
    copy("tokenizer.json");
    score().refused(&["model.safetensors or pytorch_model.bin", "found neither"]);

    let path = sandbox.path("clip/model.safetensors");
    let whole = read_tensors(&model.join("model.safetensors")).expect("weights");
    let mut other = whole.clone();
    other.remove("visual_projection.weight").expect("a projection");
    other.insert("vision_model.head.weight".into(), HostTensor { shape: vec![1], values: vec![0.0] });
    write_tensors(&other, &path).expect("written");
    score().refused(&["missing visual_projection.weight [12, 16]", "unexpected vision_model.head.weight"]);

    write_tensors(&whole, &path).expect("written");
    sandbox.write("clip/preprocessor_config.json", r#"{"size": {"height": 32, "width": 32}}"#);
    score().refused(&["clip/preprocessor_config.json", "size: expected a shortest_edge"]);
    fs::remove_file(sandbox.path("clip/preprocessor_config.json")).expect("removed");
    sandbox.write("images/red.png", "not an image");
    score().succeeded().said(&["7 images with a caption", "skipped 1 bad ones; first: red.png", "N = 7"]);
}

#[test]
fn other_weights_and_unlike_files_are_told() {
    let sandbox = Sandbox::new();
    weights(&sandbox);
    let strict = ["fid", "images", "images", "--weights", "weights.safetensors"];
    sandbox.interfuse(&strict).refused(&["sha256", "6726825d", "--allow-unknown-weights"]);
    sandbox.interfuse(&["fid", "images", "images", "--weights", "gone.pth"]).refused(&["gone.pth"]);
    fs::create_dir(sandbox.path("jpeg")).expect("a folder");
    for name in ["red", "blue", "pink"] {
        let image = image::open(sandbox.path(&format!("images/{name}.png"))).expect("an image");
        let image = image.resize_exact(20, 20, image::imageops::FilterType::Nearest);
        image.save(sandbox.path(&format!("jpeg/{name}.jpg"))).expect("written");
    }
    let ended = fid(&sandbox, &["images", "jpeg"]).succeeded();
    ended.said(&["one side is JPEG", "16 × 8 on one side and 20 × 20"]);
}

#[test]
fn wrong_paths_are_told_before_the_first_image_is_read() {
    let sandbox = Sandbox::new();
    weights(&sandbox);
    let refused = |args: &[&str], part: &str| {
        let ended = fid(&sandbox, args).refused(&[part]);
        assert!(!ended.stdout.contains("images/s"), "images were read: {}", ended.stdout);
    };
    refused(&["images", "images", "--json", "nowhere/x.json"], "nowhere/x.json");
    refused(&["images", "images", "--json", "images"], "cannot write images");
    refused(&["images", "images", "--train", "nowhere"], "nowhere");
    refused(&["images", "nowhere"], "nowhere");
    refused(&["images", "nowhere/x.npz", "--save-stats"], "nowhere/x.npz");
    let unknown = ["--weights", "weights.safetensors", "--allow-unknown-weights"];
    let features = [&["features", "images", "--out", "nowhere/x.npz"], &unknown[..]].concat();
    sandbox.interfuse(&features).refused(&["nowhere/x.npz"]);
    let sheet = ["data", "inspect", "tiny.toml", "--out", "nowhere/sheet.png"];
    sandbox.interfuse(&sheet).refused(&["nowhere/sheet.png"]);
    let score = ["clip-score", "images", "--clip", "nowhere", "--json", "nowhere/x.json"];
    sandbox.interfuse(&score).refused(&["nowhere/x.json"]);
}
