//! From a folder of images to a model, images, captions and numbers.

use crate::fixture::{COLOURS, HEIGHT, Sandbox, WIDTH};

/// Every file of a checkpoint.
const CHECKPOINT: [&str; 6] =
    ["SHA256SUMS", "config.json", "ema.safetensors", "model.safetensors", "tokenizer.json", "training_state"];

#[test]
fn training_leaves_a_whole_run_folder() {
    let sandbox = Sandbox::new();
    sandbox.train(&["run.evaluate=true"]).succeeded().said(&["trained 6 steps", "run folder: run"]);

    let records: Vec<_> =
        sandbox.json_lines("run/metrics.jsonl").into_iter().filter(|line| line.get("loss").is_some()).collect();
    assert_eq!(records.len(), 6);
    for (record, step) in records.iter().zip(1..) {
        assert_eq!(record["step"], step);
        assert!(record["text_loss"].as_f64().is_some_and(f64::is_finite), "{record}");
        assert!(record["image_loss"].as_f64().is_some_and(f64::is_finite), "{record}");
    }

    assert_eq!(sandbox.names("run/previews"), ["step-000003.png", "step-000006.png"]);
    assert_eq!(sandbox.names("run/checkpoints"), ["step-000003", "step-000006"]);
    assert_eq!(sandbox.names("run/checkpoints/step-000006"), CHECKPOINT);
    let state = sandbox.names("run/checkpoints/step-000006/training_state");
    assert_eq!(state, ["optimizer.safetensors", "state.json"]);
    assert_eq!(sandbox.json("run/checkpoints/step-000006/config.json")["model_type"], "transfusion");
    assert_eq!(sandbox.json("run/evaluation.json")["step"], 6);
    let names = sandbox.names("run");
    assert!(names.iter().any(|name| name.starts_with("events.out.tfevents.")), "{names:?}");
    assert_eq!(sandbox.image_size("run/samples/000000.png"), (WIDTH, HEIGHT));
}

#[test]
fn what_is_hardly_meant_is_said() {
    let sandbox = Sandbox::new();
    let ended = sandbox.train(&["optimizer.warmup_steps=6", "documents.caption_dropout=0"]);
    ended.succeeded().said(&["warning: optimizer.warmup_steps", "never reaches its peak", "warning: guidance 2"]);
    let ended = sandbox.interfuse(&["sample", "run", "red", "--count", "1"]);
    ended.succeeded().warned(&["warning: guidance 2", "documents.caption_dropout = 0"]);
    sandbox.interfuse(&["sample", "run", "red", "--count", "1", "--guidance", "1"]).succeeded().warned(&[]);
}

#[test]
fn the_configuration_in_the_run_folder_is_complete() {
    let sandbox = Sandbox::trained();
    // It trains the same model by itself.
    sandbox.interfuse(&["train", "run/config.toml", "--set", "run.dir=again"]).succeeded();
    let weights = |run: &str| sandbox.bytes(&format!("{run}/checkpoints/step-000006/model.safetensors"));
    assert!(weights("run") == weights("again"), "the same configuration, other weights");
}

#[test]
fn prompts_become_images_at_native_size() {
    let sandbox = Sandbox::trained();
    let ended =
        sandbox.interfuse(&["sample", "run", "red", "blue", "--count", "2", "--seed", "7", "--out", "generated"]);
    ended.succeeded().said(&["4 images in generated"]);

    let images = ["000000.png", "000001.png", "000002.png", "000003.png"];
    let others = ["grid.png", "grid.txt", "metadata.jsonl"];
    assert_eq!(sandbox.names("generated"), [&images[..], &others].concat());
    let lines = sandbox.json_lines("generated/metadata.jsonl");
    let asked = [("red", 7), ("red", 8), ("blue", 7), ("blue", 8)];
    assert_eq!(lines.len(), asked.len());
    for ((line, name), (prompt, seed)) in lines.iter().zip(images).zip(asked) {
        assert_eq!((&line["file_name"], &line["text"], &line["seed"]), (&name.into(), &prompt.into(), &seed.into()));
        assert_eq!(sandbox.image_size(&format!("generated/{name}")), (WIDTH, HEIGHT));
    }
    let (width, height) = sandbox.image_size("generated/grid.png");
    assert!(width >= 2 * WIDTH && height >= 2 * HEIGHT, "{width} × {height}");

    // What was generated is data for the next model.
    let source = "data.source.path=generated";
    let ended = sandbox.interfuse(&["data", "inspect", "tiny.toml", "--set", source, "--out", "sheet.png"]);
    ended.succeeded().said(&["4 images, 0 of them bad, 0 left out"]);
}

#[test]
fn generated_images_replace_nothing_but_generated_images() {
    let sandbox = Sandbox::trained();
    sandbox.write("images/000000.png", sandbox.bytes("images/red.png"));
    let before = sandbox.bytes("images/metadata.jsonl");
    let sample = |args: &[&str]| sandbox.interfuse(&[&["sample", "run"], args].concat());
    for args in [&["red", "--out", "images"][..], &["--out", "images"]] {
        sample(args).refused(&["images: expected a folder that is empty", "nothing but generated images"]);
    }
    sandbox.write("prompts.jsonl", "{\"prompt\": \"red\"}\n");
    sample(&["--geneval", "prompts.jsonl", "--out", "images"]).refused(&["images: expected a folder that is empty"]);
    assert!(sandbox.bytes("images/metadata.jsonl") == before, "the captions were replaced");
    // Of an earlier call nothing is left.
    sample(&["red", "--count", "3", "--out", "generated"]).succeeded();
    sample(&["red", "--count", "1", "--out", "generated"]).succeeded();
    assert_eq!(sandbox.names("generated"), ["000000.png", "grid.png", "grid.txt", "metadata.jsonl"]);
}

#[test]
fn chance_is_at_most_certain() {
    let sandbox = Sandbox::new();
    for (name, _) in &COLOURS[4..] {
        std::fs::remove_file(sandbox.path(&format!("images/{name}.png"))).expect("removed");
    }
    sandbox.train(&[]).succeeded();
    let ended = sandbox.interfuse(&["evaluate", "run", "--count", "2"]).succeeded().said(&["25.0 %", "100.0 %"]);
    assert!(!ended.stdout.contains("125.0 %"), "{}", ended.stdout);
}

#[test]
fn a_image_depends_on_its_prompt_and_seed_alone() {
    let sandbox = Sandbox::trained();
    let sample = |args: &[&str]| sandbox.interfuse(&[&["sample", "run"], args].concat()).succeeded();
    sample(&["red", "a b", "--count", "3", "--out", "many"]);
    sample(&["a b", "--count", "1", "--seed", "2", "--out", "one"]);
    let (many, one) = (sandbox.bytes("many/000005.png"), sandbox.bytes("one/000000.png"));
    let pixels = |png: &[u8]| image::load_from_memory(png).expect("an image").to_rgb8().into_raw();
    // Sums over a batch may differ in the last bit, which may move a byte by one.
    assert!(pixels(&many).iter().zip(pixels(&one)).all(|(&a, b)| a.abs_diff(b) <= 1));
}

#[test]
fn without_a_prompt_the_model_writes_and_draws_by_itself() {
    let sandbox = Sandbox::new();
    // Most documents begin with an image, and after it nothing comes: that takes a moment to learn.
    let learn = ["train.steps=60", "documents.caption_dropout=0.5", "documents.image_first=0.0"];
    let fast =
        ["optimizer.learning_rate=3e-2", "optimizer.ema_decay=0.5", "intervals.preview=0", "intervals.validation=0"];
    sandbox.train(&[&learn[..], &fast].concat()).succeeded();
    let ended = sandbox.interfuse(&["sample", "run", "--count", "2", "--out", "generated"]).succeeded();
    let ended = ended.said(&["seed 0: [image 000000.png]", "seed 1: [image 000001.png]"]);
    ended.said(&["2 images in generated"]);
    assert_eq!(sandbox.image_size("generated/000001.png"), (WIDTH, HEIGHT));
}

#[test]
fn images_get_captions() {
    let sandbox = Sandbox::trained();
    let ended = sandbox.interfuse(&["caption", "run", "images/red.png", "images/blue.png"]).succeeded();
    assert!(ended.stdout.starts_with("images/red.png\t"), "{}", ended.stdout);
    assert!(ended.stdout.contains("\nimages/blue.png\t"), "{}", ended.stdout);
}

#[test]
fn a_run_or_one_of_its_checkpoints_is_measured() {
    let sandbox = Sandbox::trained();
    let ended = sandbox.interfuse(&["evaluate", "run", "--count", "8"]).succeeded();
    ended.said(&["step 6", "losses on training images: text", "perplexity", "bits per byte"]);
    // The last step of training measured the same.
    let records = sandbox.json_lines("run/metrics.jsonl");
    let last = records.iter().rfind(|line| line.get("train_fixed_noise/text_loss").is_some()).expect("a record");
    let near = |loss: &str, key: &str| {
        let found = sandbox.json("run/evaluation.json").pointer(loss).and_then(|value| value.as_f64()).expect("a loss");
        assert!((found / last[key].as_f64().expect("a loss") - 1.0).abs() < 1e-5, "{loss}: {found} {}", last[key]);
    };
    near("/losses/text_loss", "train_fixed_noise/text_loss");
    near("/losses/image_loss", "train_fixed_noise/image_loss");
    near("/losses/text_bits_per_byte", "train_fixed_noise/text_bits_per_byte");
    assert_eq!(sandbox.json("run/evaluation.json")["step"], 6);
    sandbox.interfuse(&["evaluate", "run/checkpoints/step-000003", "--count", "8"]).succeeded().said(&["step 3"]);
}

#[test]
fn a_configuration_is_looked_at_before_it_is_trained() {
    let sandbox = Sandbox::new();
    let ended = sandbox.interfuse(&["inspect", "tiny.toml"]).succeeded();
    ended.said(&["parameters", "stored", "training FLOPs of a row", "memory", "BOS", "BOI", "patch 0"]);
    assert!(!sandbox.path("run").exists(), "inspect made a run folder");
    // Two sequences of 1024 rows of text, 261 ids, 4 bytes; their gradient takes their place.
    let large = ["inspect", "tiny.toml", "--set", "train.row_shape={capacity=[8, 1024]}", "--set"];
    let logits = |more: &str| {
        let ended = sandbox.interfuse(&[&large[..], &[more]].concat()).succeeded();
        let line = ended.stdout.lines().find(|line| line.trim_start().starts_with("logits ")).expect("a line");
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(logits("train.batch_size=2"), ["2.0", "2.0", "1.0"], "on the CPU, on GPUs in f32 and bf16");
    assert_eq!(logits("train.batch_size=4"), ["4.1", "4.1", "2.0"]);
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1) {
        // Micro-batches side by side on a CPU, one after the other on a GPU.
        assert_eq!(logits("train.gradient_accumulation=2"), ["4.1", "2.0", "1.0"]);
    }
}

/// Mixture-of-Transformers whose text has experts, trained, looked at and used.
#[test]
fn experts_are_a_key_of_the_configuration() {
    const EXPERTS: &str = "model.backbone.parts.text.feed_forward={ kind = 'moe', experts = 4 }";
    let sandbox = Sandbox::new();
    sandbox.train(&[EXPERTS]).succeeded();
    let ended = sandbox.interfuse(&["inspect", "run/config.toml"]).succeeded();
    let of_part =
        |name: &str| ended.stdout.lines().find(|line| line.contains(&format!("part {name}"))).expect("a line");
    assert!(of_part("text").contains("a row meets") && !of_part("image").contains("a row meets"), "{}", ended.stdout);

    let records = sandbox.json_lines("run/metrics.jsonl");
    let step = records.iter().find(|line| line.get("loss").is_some()).expect("a step");
    let number = |key: &str| step[key].as_f64().unwrap_or_else(|| panic!("no {key} in {step}"));
    let loads: f64 = (0..4).map(|expert| number(&format!("router.text.load.{expert}"))).sum();
    assert!((loads - 1.0).abs() < 1e-6, "{loads}");
    assert_eq!(number("router_loss"), 0.0);
    for key in ["largest_load", "unrouted", "entropy", "balance", "z"] {
        assert!(number(&format!("router.text.{key}")).is_finite());
    }
    assert!(step.get("router.image.entropy").is_none(), "the image part has no router");

    sandbox.interfuse(&["sample", "run", "red", "--count", "1"]).succeeded();
    let warned = sandbox.interfuse(&["caption", "run", "images/red.png"]).succeeded();
    warned.warned(&["the experts of text choose their rows", "top_k"]);
    let top_k = EXPERTS.replace("experts = 4", "experts = 4, routing = 'top_k'");
    sandbox.train(&["run.dir=other", &top_k]).succeeded();
    let ended = sandbox.interfuse(&["caption", "other", "images/red.png"]).succeeded();
    assert!(!ended.stderr.contains("experts"), "{}", ended.stderr);

    sandbox.train(&["--resume"]).refused(&["model.backbone.parts", "config.json"]);
    let wrong = EXPERTS.replace("experts", "expert");
    sandbox.train(&["run.dir=third", &wrong]).refused(&["model.backbone.parts.text.feed_forward.expert", "`experts`"]);
}

#[test]
fn data_is_looked_at_and_exported_without_loss() {
    let sandbox = Sandbox::trained();
    let ended = sandbox.interfuse(&["data", "inspect", "tiny.toml", "--out", "sheet.png"]).succeeded();
    ended.said(&["8 images, 0 of them bad, 0 left out", "8 captions", "rows", "contact sheet: sheet.png"]);
    sandbox.image_size("sheet.png");

    sandbox.interfuse(&["data", "export", "tiny.toml", "exported"]).succeeded().said(&["8 images in exported"]);
    let lines = sandbox.json_lines("exported/metadata.jsonl");
    assert!(lines.iter().map(|line| line["text"].as_str()).eq(COLOURS.iter().map(|(name, _)| Some(*name))));

    // The same images in the same order: the same model.
    sandbox.train(&["data.source.path=exported", "run.dir=again"]).succeeded();
    let weights = |run: &str| sandbox.bytes(&format!("{run}/checkpoints/step-000006/model.safetensors"));
    assert!(weights("run") == weights("again"), "the exported images train another model");

    // And nothing is ever exported over something else.
    sandbox
        .interfuse(&["data", "export", "tiny.toml", "exported"])
        .refused(&["exported", "a folder that is empty or does not exist"]);
}

#[test]
fn shapes_are_scored_by_their_attributes_on_scenes_that_were_seen_and_on_others() {
    let sandbox = Sandbox::new();
    let shapes = ["data.source={kind=\"shapes\",images=16}", "data.image_size=[16, 16]", "tokenizer.vocab_size=280"];
    sandbox.train(&shapes).succeeded();
    let ended = sandbox.interfuse(&["evaluate", "run", "--count", "6"]).succeeded();
    ended.said(&["seen scenes generated right", "held-out scenes captioned right", "colour", "0.1 %"]);
    let report = sandbox.json("run/evaluation.json");
    assert_eq!(report["held_out_scenes"]["generated"]["all"]["total"], 3);
    assert_eq!(report["seen_scenes"]["captioned"]["attributes"][2][0], "colour");
    let grey = [&shapes[..], &["data.channels=1", "run.dir=grey"]].concat();
    sandbox.train(&grey).refused(&["data.channels", "told by their colours"]);
    let many = ["data.source={kind=\"shapes\",images=9223372036854775807}", "run.dir=many"];
    sandbox.train(&many).refused(&["data.source.images", "1 to 10000000"]);
}

#[test]
fn prompts_of_a_file_are_generated_into_the_folders_of_geneval() {
    let sandbox = Sandbox::trained();
    sandbox.write("prompts.jsonl", "{\"tag\": \"colors\", \"prompt\": \"red\"}\n{\"prompt\": \"blue\"}\n");
    let args = ["sample", "run", "--geneval", "prompts.jsonl", "--count", "2", "--out", "geneval"];
    sandbox.interfuse(&args).succeeded().said(&["4 images of 2 prompts"]);
    assert_eq!(sandbox.names("geneval/00001/samples"), ["0000.png", "0001.png"]);
    assert_eq!(sandbox.json("geneval/00000/metadata.jsonl")["tag"], "colors");
    sandbox.write("prompts.jsonl", "{\"text\": \"red\"}\n");
    sandbox.interfuse(&args).refused(&["prompts.jsonl, line 1", "`prompt`"]);
    sandbox.write("prompts.jsonl", "{\"prompt\": \"red\"}\n\nred\n");
    sandbox.interfuse(&args).refused(&["prompts.jsonl, line 3"]);
    sandbox.write("prompts.jsonl", "\n");
    sandbox.interfuse(&args).refused(&["prompts.jsonl", "found no line"]);
    std::fs::remove_file(sandbox.path("prompts.jsonl")).expect("removed");
    sandbox.interfuse(&args).refused(&["cannot read prompts.jsonl"]);
}

#[test]
fn an_evaluation_leaves_a_page_that_needs_nothing_else() {
    let sandbox = Sandbox::trained();
    sandbox.interfuse(&["evaluate", "run", "--count", "4"]).succeeded().said(&["report.html", "BLEU-4"]);
    let page = String::from_utf8(sandbox.bytes("run/report.html")).expect("UTF-8");
    for part in ["<svg", "polyline", "data:image/png;base64,", "retrieval.top1", "Nearest to a training image"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("http") && !page.contains("<script"), "the page asks for something");
    let report = sandbox.json("run/evaluation.json");
    assert!(report["caption_metrics"]["cider_d"].is_number() && report["checkpoint"].is_string());
}

#[test]
fn an_evaluation_in_between_does_not_disturb_training() {
    let sandbox = Sandbox::trained();
    sandbox
        .train(&["run.dir=measured", "intervals.evaluation=2"])
        .succeeded()
        .said(&["measured at step 2", "measured at step 6"]);
    let weights = |run: &str| sandbox.bytes(&format!("{run}/checkpoints/step-000006/model.safetensors"));
    assert!(weights("run") == weights("measured"), "other weights");
    let lines = sandbox.json_lines("measured/metrics.jsonl");
    assert_eq!(lines.iter().filter(|line| line["retrieval"].is_number()).count(), 3);
    let held_out = lines.iter().find(|line| line["train_fixed_noise/text_bits_per_byte"].is_number());
    let held_out = held_out.expect("held-out losses");
    let (loss, perplexity) = (&held_out["train_fixed_noise/text_loss"], &held_out["train_fixed_noise/text_perplexity"]);
    let (loss, perplexity) = (loss.as_f64().expect("a number"), perplexity.as_f64().expect("a number"));
    assert!((loss.exp() / perplexity - 1.0).abs() < 1e-9);
}

#[test]
fn the_gradients_of_the_modalities_are_compared_where_that_is_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.train(&["validation.gradient_cosines=true", "model.partition=[[\"text\",\"image\"]]"]).succeeded();
    let lines = sandbox.json_lines("run/metrics.jsonl");
    let cosines: Vec<f64> = lines.iter().filter_map(|line| found(line, "gradient_cosine.image_text")).collect();
    // At step 3 and at step 6.
    assert_eq!(cosines.len(), 2, "{lines:?}");
    assert!(cosines.iter().all(|cosine| cosine.abs() < 1.0 && *cosine != 0.0), "{cosines:?}");
}

/// A number by the end of its name: before it stands what was measured.
fn found(record: &serde_json::Value, name: &str) -> Option<f64> {
    record.as_object()?.iter().find(|(key, _)| key.ends_with(name))?.1.as_f64()
}
