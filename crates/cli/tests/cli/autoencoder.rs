//! From images to an autoencoder, to latents, to a model that draws through it; and what may be wrong on the way.

use std::fs;

use crate::fixture::{COLOURS, Ended, Sandbox};

/// A tiny autoencoder: 8 × 16 pixels to 2 channels of 4 × 8.
pub(crate) const VAE: &str = r#"
[run]
dir = "vae-run"
device = "cpu"

[data]
image_size = [8, 16]
source = { kind = "folder", path = "images", held_out = 0.25 }

[vae]
latent_channels = 2
block_out_channels = [4, 4]
norm_num_groups = 2

[optimizer]
warmup_steps = 2

[train]
steps = 4
batch_size = 2

[intervals]
validation = 2
preview = 2
checkpoint = 2
"#;

/// What the hybrid model's configuration needs to work on the autoencoder's latents.
const ON_LATENTS: [&str; 2] = ["codec={kind=\"vae\",path=\"vae-run/vae\"}", "model.modalities.image.patch_size=2"];

fn with_autoencoder() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("vae.toml", VAE);
    sandbox.interfuse(&["vae", "train", "vae.toml"]).succeeded();
    sandbox
}

fn vae(sandbox: &Sandbox, command: &str, args: &[&str]) -> Ended {
    sandbox.interfuse(&[&["vae", command], args].concat())
}

#[test]
fn training_leaves_a_folder_curves_and_pairs_and_goes_on_after_a_resume() {
    let sandbox = Sandbox::new();
    sandbox.write("vae.toml", VAE);
    let ended = sandbox.interfuse(&["vae", "train", "vae.toml"]).succeeded();
    ended.said(&["trained 4 steps", "held out: PSNR", "Laplacian pyramid", "autoencoder: vae-run/vae"]);
    assert_eq!(sandbox.names("vae-run/checkpoints"), ["step-000002", "step-000004"]);
    assert_eq!(sandbox.names("vae-run/previews"), ["step-000002.png", "step-000004.png"]);
    let config = sandbox.json("vae-run/vae/config.json");
    assert_eq!(config["_class_name"], "AutoencoderKL");
    assert!(config["scaling_factor"].as_f64().expect("a number") > 0.0 && config["shift_factor"].is_number());
    let lines = sandbox.json_lines("vae-run/metrics.jsonl");
    assert_eq!(lines.iter().filter(|line| line["reconstruction"].is_number()).count(), 4);
    assert_eq!(lines.iter().filter(|line| line["held_out/psnr"].is_number()).count(), 2);
    assert!(sandbox.json("vae-run/evaluation.json")["psnr"].is_number());

    // The same again, in two parts.
    let short = ["vae", "train", "vae.toml", "--set", "run.dir=parts", "--set"];
    let whole = sandbox.bytes("vae-run/checkpoints/step-000004/model.safetensors");
    // The learning rate depends on the number of steps, so the first part has them all and is taken back.
    sandbox.interfuse(&[&short[..], &["train.steps=4"]].concat()).succeeded();
    fs::remove_dir_all(sandbox.path("parts/checkpoints/step-000004")).expect("removed");
    let ended = sandbox.interfuse(&[&short[..], &["train.steps=4", "--resume"]].concat()).succeeded();
    ended.said(&["resuming from parts/checkpoints/step-000002"]);
    assert!(sandbox.bytes("parts/checkpoints/step-000004/model.safetensors") == whole, "other weights");
    sandbox.interfuse(&["vae", "train", "vae.toml"]).refused(&["already holds a run"]);
}

/// As after a kill between the last checkpoint and `vae/`, which are two folders.
#[test]
fn a_resume_brings_the_autoencoder_to_its_checkpoint() {
    let sandbox = with_autoencoder();
    let file = "vae-run/vae/diffusion_pytorch_model.safetensors";
    let whole = sandbox.bytes(file);
    let older = sandbox.bytes("vae-run/checkpoints/step-000002/vae/diffusion_pytorch_model.safetensors");
    assert!(older != whole, "two steps change nothing");
    fs::remove_file(sandbox.path("vae-run/vae/SHA256SUMS")).expect("removed");
    sandbox.write(file, older);
    sandbox.interfuse(&["vae", "train", "vae.toml", "--resume"]).succeeded().said(&["trained 4 steps"]);
    assert!(sandbox.bytes(file) == whole, "the autoencoder of an earlier checkpoint");
}

#[test]
fn images_become_latents_and_images_again() {
    let sandbox = with_autoencoder();
    let to = ["--vae", "vae-run/vae", "--out"];
    vae(&sandbox, "encode", &[&to[..], &["latents", "images"]].concat()).succeeded().said(&["encoded 8 of 8"]);
    assert_eq!(sandbox.names("latents").len(), COLOURS.len());
    let latents: Vec<u8> = sandbox.bytes("latents/red.safetensors");
    let header = String::from_utf8_lossy(&latents[8..300]).into_owned();
    assert!(header.contains("\"mean\"") && header.contains("\"logvar\"") && header.contains("[2,4,8]"), "{header}");
    vae(&sandbox, "decode", &[&to[..], &["back", "latents"]].concat()).succeeded().said(&["decoded 8 of 8"]);
    assert_eq!(sandbox.image_size("back/red.png"), (16, 8));
    let ended = vae(&sandbox, "reconstruct", &[&to[..], &["there", "images"]].concat()).succeeded();
    ended.said(&["PSNR", "8 images", "pairs.png"]);
    assert!(sandbox.bytes("back/red.png") == sandbox.bytes("there/red.png"), "decode and reconstruct differ");

    let inception = format!("--fid={}", crate::fid::weights(&sandbox).display());
    let measured = ["--vae", "vae-run/vae", "images", &inception];
    vae(&sandbox, "reconstruct", &measured).refused(&["weights.safetensors", "--allow-unknown-weights"]);
    let ended = vae(&sandbox, "reconstruct", &[&measured[..], &["--allow-unknown-weights"]].concat()).succeeded();
    ended.said(&["reconstruction FID-8 with unknown weights:"]);

    let one = ["--vae", "vae-run/vae", "images/red.png", "--out", "one"];
    let ended = vae(&sandbox, "reconstruct", &[&one[..], &[&inception, "--allow-unknown-weights"]].concat());
    ended.refused(&["error: images/red.png: expected at least 2 images for a distance, found 1"]);
    assert!(!sandbox.path("one").join("red.png").exists(), "work was begun");
    vae(&sandbox, "reconstruct", &one).succeeded().said(&["PSNR"]);
}

#[test]
fn no_result_replaces_another_or_an_input() {
    let sandbox = with_autoencoder();
    for folder in ["in", "other"] {
        fs::create_dir(sandbox.path(folder)).expect("a folder");
    }
    let image = sandbox.bytes("images/red.png");
    for file in ["in/cat.png", "in/dog.png", "other/cat.png", "in/dog.jpg"] {
        sandbox.write(file, &image);
    }
    let to = |out: &'static str| ["--vae", "vae-run/vae", "--out", out];
    let refused = |command: &str, args: &[&str], parts: &[&str]| vae(&sandbox, command, args).refused(parts);
    refused("encode", &[&to("latents")[..], &["in/cat.png", "other"]].concat(), &["in/cat.png", "other/cat.png"]);
    refused("encode", &[&to("latents")[..], &["in"]].concat(), &["in/dog.jpg", "in/dog.png", "dog.safetensors"]);
    assert!(!sandbox.path("latents").exists(), "nothing is written");
    fs::remove_file(sandbox.path("in/dog.jpg")).expect("removed");
    for input in ["in", "in/cat.png", "./other/../in/cat.png"] {
        refused("reconstruct", &[&to("in")[..], &[input]].concat(), &["--out", "in/cat.png"]);
    }
    sandbox.write("grid.pairs.png", &image);
    refused("reconstruct", &[&to("grid")[..], &["grid.pairs.png"]].concat(), &["grid.pairs.png"]);
    // Latents may lie beside the images, but what they decode to is no image of the user's.
    vae(&sandbox, "encode", &[&to("in")[..], &["in"]].concat()).succeeded();
    refused("decode", &[&to("in")[..], &["in/cat.safetensors"]].concat(), &["--out", "in/cat.png"]);
    for file in ["in/cat.png", "in/dog.png", "other/cat.png"] {
        assert!(sandbox.bytes(file) == image, "{file}");
    }
    vae(&sandbox, "encode", &[&to("latents")[..], &["in"]].concat()).succeeded();
    // Results of an earlier call are made again.
    vae(&sandbox, "encode", &[&to("latents")[..], &["in"]].concat()).succeeded();
}

#[test]
fn codes_are_written_and_read() {
    let sandbox = Sandbox::new();
    sandbox.write("vae.toml", VAE);
    let codes = "vae.codebook={codes=8,dim=4,revive_every=2}";
    let ended = sandbox.interfuse(&["vae", "train", "vae.toml", "--set", codes]).succeeded();
    ended.said(&["autoencoder: vae-run/vae"]);
    let lines = sandbox.json_lines("vae-run/metrics.jsonl");
    assert!(lines[0]["code_perplexity"].as_f64().expect("a number") >= 1.0 && lines[0]["codes_used"].is_number());
    let to = ["--vae", "vae-run/vae", "--out"];
    vae(&sandbox, "encode", &[&to[..], &["codes", "images/red.png"]].concat()).succeeded();
    vae(&sandbox, "decode", &[&to[..], &["back", "codes/red.safetensors"]].concat()).succeeded();
    assert_eq!(sandbox.image_size("back/red.png"), (16, 8));
    // A model that denoises needs continuous latents.
    sandbox.train(&ON_LATENTS).refused(&["model.modalities.image.objective", "next_token", "the codec has codes"]);
}

#[test]
fn a_model_learns_from_a_cache_draws_through_the_autoencoder_and_carries_it_along() {
    let sandbox = with_autoencoder();
    let set = ["--set", ON_LATENTS[0]];
    let encode = [&["data", "encode", "tiny.toml", "--out", "cache"][..], &set].concat();
    sandbox.interfuse(&encode).succeeded().said(&["8 images encoded, 0 found, 0 left out"]);
    sandbox.interfuse(&encode).succeeded().said(&["0 images encoded, 8 found"]);
    let cached = "codec={kind=\"vae\",path=\"vae-run/vae\",cache=\"cache\"}";
    sandbox.train(&[cached, ON_LATENTS[1]]).succeeded();
    let fly = ["run.dir=fly", ON_LATENTS[0], ON_LATENTS[1]];
    sandbox.train(&fly).succeeded();
    let weights = |run: &str| sandbox.bytes(&format!("{run}/checkpoints/step-000006/model.safetensors"));
    assert!(weights("run") == weights("fly"), "a cache in full precision changes nothing");

    // The checkpoint is whole without the autoencoder's own folder.
    fs::rename(sandbox.path("vae-run"), sandbox.path("elsewhere")).expect("renamed");
    let generated = sandbox.interfuse(&["sample", "run", "red", "--count", "1", "--out", "generated"]);
    generated.succeeded();
    assert_eq!(sandbox.image_size("generated/000000.png"), (16, 8));
}

/// The setting of Transfusion on latents, whose estimates are bounded by what the training data's lie between.
#[test]
fn a_model_of_the_noise_of_latents_knows_between_what_they_lie() {
    let sandbox = with_autoencoder();
    let ddpm = ["model.modalities.image.process=\"ddpm\"", "model.modalities.image.prediction=\"noise\""];
    sandbox.train(&[&ON_LATENTS[..], &ddpm].concat()).succeeded();
    let card = |step: &str| sandbox.json(&format!("run/checkpoints/{step}/config.json"));
    let range = card("step-000003")["latent_range"].clone();
    for channel in 0..2 {
        let end = |end: &str| range[end][channel].as_f64().expect("a number");
        assert!(end("min") < end("max") && end("max") < 10.0 && end("min") > -10.0, "{range}");
    }
    sandbox.interfuse(&["sample", "run", "red", "--count", "1", "--out", "generated"]).succeeded();
    fs::remove_dir_all(sandbox.path("run/checkpoints/step-000006")).expect("removed");
    sandbox.train(&[&ON_LATENTS[..], &ddpm, &["--resume"]].concat()).succeeded();
    assert_eq!(card("step-000006")["latent_range"], range);
    // Rectified flow divides by nothing, and pixels lie between -1 and 1.
    sandbox.train(&[&ON_LATENTS[..], &["run.dir=flow"]].concat()).succeeded();
    assert!(sandbox.json("flow/checkpoints/step-000006/config.json")["latent_range"].is_null());
}

#[test]
fn a_cache_of_another_autoencoder_or_with_a_missing_shard_is_refused() {
    let sandbox = with_autoencoder();
    let set = ["--set", ON_LATENTS[0]];
    sandbox.interfuse(&[&["data", "encode", "tiny.toml", "--out", "cache"][..], &set].concat()).succeeded();
    let other = ["vae", "train", "vae.toml", "--set", "run.dir=other", "--set", "run.seed=5"];
    sandbox.interfuse(&other).succeeded();
    let other = "codec={kind=\"vae\",path=\"other/vae\",cache=\"cache\"}";
    sandbox.train(&[other, ON_LATENTS[1]]).refused(&["cache/manifest.json", "sha256", "data encode"]);
    fs::remove_file(sandbox.path("cache/shard-00000.safetensors")).expect("removed");
    let cached = "codec={kind=\"vae\",path=\"vae-run/vae\",cache=\"cache\"}";
    sandbox.train(&[cached, ON_LATENTS[1]]).refused(&["shard-00000.safetensors", "shard 0 of 1"]);
    sandbox.interfuse(&["data", "encode", "tiny.toml"]).refused(&["codec", "pixels"]);
    sandbox.interfuse(&[&["data", "encode", "tiny.toml"][..], &set].concat()).refused(&["codec.cache", "--out"]);
}

#[test]
fn jobs_make_parts_of_a_cache_and_training_joins_them() {
    let sandbox = with_autoencoder();
    let encode = |args: &[&str]| {
        let set = ["--set", ON_LATENTS[0]];
        sandbox.interfuse(&[&["data", "encode", "tiny.toml", "--out"][..], args, &set].concat())
    };
    let jobs = |jobs: &str| -> Vec<String> {
        let commands = encode(&["parts", "--list", jobs]).succeeded().stdout;
        commands.lines().map(|command| command.rsplit(' ').next().expect("a word").to_string()).collect()
    };
    assert_eq!(jobs("3"), ["1/3", "2/3", "3/3"]);
    encode(&["parts", "--job", "1/3"]).succeeded().said(&["part 1/3: 2 images encoded, 0 found"]);
    encode(&["parts", "--job", "3/3"]).succeeded().said(&["part 3/3: 3 images encoded, 0 found"]);
    assert_eq!(jobs("3"), ["2/3"]);
    let on = |cache: &str| format!("codec={{kind=\"vae\",path=\"vae-run/vae\",cache=\"{cache}\"}}");
    sandbox.train(&[&on("parts"), ON_LATENTS[1]]).refused(&["part-00002-of-00003` is missing", "--job 2/3"]);
    encode(&["parts", "--job", "1/2"]).refused(&["parts of 2", "parts of 3"]);

    // The command as it is listed.
    let command = encode(&["parts", "--list", "3"]).succeeded().stdout;
    let mut shell = std::process::Command::new("sh");
    let status = shell.args(["-c", command.trim()]).current_dir(sandbox.path("")).status().expect("a shell");
    assert!(status.success() && jobs("3").is_empty(), "{command}");
    encode(&["whole"]).succeeded();
    sandbox.train(&["run.dir=parts-run", &on("parts"), ON_LATENTS[1]]).succeeded();
    sandbox.train(&["run.dir=whole-run", &on("whole"), ON_LATENTS[1]]).succeeded();
    let weights = |run: &str| sandbox.bytes(&format!("{run}/checkpoints/step-000006/model.safetensors"));
    assert!(weights("parts-run") == weights("whole-run"), "parts and a whole cache differ");
    encode(&["parts"]).succeeded().said(&["0 images encoded, 8 found"]);
}

#[test]
fn nan_in_a_latent_is_skipped_in_training_and_refused_by_decode() {
    let sandbox = with_autoencoder();
    let set = ["--set", ON_LATENTS[0]];
    sandbox.interfuse(&[&["data", "encode", "tiny.toml", "--out", "cache"][..], &set].concat()).succeeded();
    let to = ["--vae", "vae-run/vae", "--out"];
    vae(&sandbox, "encode", &[&to[..], &["latents", "images/red.png"]].concat()).succeeded();
    for file in ["cache/shard-00000.safetensors", "latents/red.safetensors"] {
        let mut bytes = sandbox.bytes(file);
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
        sandbox.write(file, bytes);
    }
    let cached = "codec={kind=\"vae\",path=\"vae-run/vae\",cache=\"cache\"}";
    sandbox
        .train(&[cached, ON_LATENTS[1]])
        .succeeded()
        .said(&[" bad and 0 too long; first: `latents of image 7`", "finite"]);
    let decoded = vae(&sandbox, "decode", &[&to[..], &["back", "latents"]].concat());
    decoded.refused(&["red.safetensors", "latents", "finite"]);
}

#[test]
fn an_autoencoder_whose_weights_are_no_numbers_is_refused() {
    let sandbox = with_autoencoder();
    let path = sandbox.path("vae-run/vae/diffusion_pytorch_model.safetensors");
    let mut tensors = interfuse_parameters::read_tensors(&path).expect("weights");
    tensors.get_mut("decoder.conv_out.bias").expect("a tensor").values[0] = f32::INFINITY;
    interfuse_parameters::write_tensors(&tensors, &path).expect("written");
    let parts = ["diffusion_pytorch_model.safetensors", "expected finite numbers", "decoder.conv_out.bias"];
    vae(&sandbox, "reconstruct", &["--vae", "vae-run/vae", "images"]).refused(&parts);
    sandbox.train(&ON_LATENTS).refused(&parts);
}

#[test]
fn sizes_channels_and_files_that_do_not_fit_are_named() {
    let sandbox = with_autoencoder();
    let to = ["--vae", "vae-run/vae", "--out", "out"];
    image::RgbImage::new(15, 8).save(sandbox.path("odd.png")).expect("written");
    image::GrayImage::new(16, 8).save(sandbox.path("grey.png")).expect("written");
    image::RgbaImage::new(16, 8).save(sandbox.path("clear.png")).expect("written");
    vae(&sandbox, "encode", &[&to[..], &["odd.png"]].concat()).refused(&["odd.png", "multiples of 2", "8 × 15"]);
    // Grey becomes three equal channels, transparency white.
    let ended = vae(&sandbox, "encode", &[&to[..], &["grey.png", "clear.png", "odd.png"]].concat()).succeeded();
    ended.said(&["skipped odd.png", "encoded 2 of 3"]);
    vae(&sandbox, "encode", &[&to[..], &["--size", "8", "odd.png"]].concat()).succeeded();
    vae(&sandbox, "encode", &[&to[..], &["vae.toml"]].concat()).refused(&["vae.toml"]);
    vae(&sandbox, "decode", &[&to[..], &["vae-run/vae/diffusion_pytorch_model.safetensors"]].concat())
        .refused(&["a tensor mean"]);
    vae(&sandbox, "encode", &["--vae", "images", "--out", "out", "grey.png"]).refused(&["config.json"]);
    sandbox.train(&[ON_LATENTS[0], ON_LATENTS[1], "data.channels=1"]).refused(&["3 channels", "1 channels"]);
    let shape = "model.latent_shape=[4, 4, 8]";
    sandbox.train(&[ON_LATENTS[0], ON_LATENTS[1], shape]).refused(&["model.latent_shape", "[2, 4, 8]", "[4, 4, 8]"]);
    let size = ["vae", "train", "vae.toml", "--set", "run.dir=x", "--set", "data.image_size=[9, 16]"];
    sandbox.interfuse(&size).refused(&["data.image_size", "multiples of 2"]);
}

#[test]
fn a_single_file_becomes_a_folder() {
    let sandbox = with_autoencoder();
    let weights = "vae-run/vae/diffusion_pytorch_model.safetensors";
    let import = |args: &[&str]| vae(&sandbox, "import", &[&[weights][..], args].concat());
    import(&["--config", "vae-run/vae", "--out", "imported"]).succeeded().said(&["2 latent channels", "imported"]);
    assert!(sandbox.bytes("imported/diffusion_pytorch_model.safetensors") == sandbox.bytes(weights));
    import(&["--config", "vae-run/vae", "--out", "imported"]).refused(&["exists already"]);
    import(&["--as", "sd15", "--out", "sd15"]).refused(&["encoder.conv_in.weight", "expected [128, 3, 3, 3]"]);
    import(&["--as", "sd9", "--out", "sd9"]).refused(&["sd15, sdxl, sd3, flux", "sd9"]);
    import(&["--out", "none"]).refused(&["--as", "--config"]);
}
