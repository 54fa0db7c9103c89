//! Sweeps from their file to their plan, and everything that a file can have wrong.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use interfuse_sweep::settings::key_of;
use interfuse_sweep::{Calibration, Plan, Sweep};
use proptest::prelude::*;

const MODEL: &str =
    "[train]\nbatch_size = 16\n[model.backbone]\nd_model = 8\n[model.modalities.text]\n[tokenizer]\nvocab_size = 300\n";

fn files(sweep: &str, config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sweep.toml"), sweep).unwrap();
    std::fs::write(folder.path().join("text.toml"), config).unwrap();
    folder
}

fn plan_of(sweep: &str, config: &str, calibration: Option<&Calibration>) -> Result<Plan, interfuse_sweep::SweepError> {
    let folder = files(sweep, config);
    Plan::new(&Sweep::load(&folder.path().join("sweep.toml"))?, calibration)
}

fn group(more: &str) -> String {
    format!("[[groups]]\nmodalities = [\"text\"]\nconfig = \"text.toml\"\ntokens_per_document = 20.0\n{more}")
}

fn sweep(top: &str, more: &str) -> String {
    format!("sizes = [\"8K\", 1e6]\ntokens = [\"1M\", 4_000_000]\n{top}\n{}", group(more))
}

fn value<'a>(overrides: &'a [String], key: &str) -> &'a str {
    let found: Vec<&String> = overrides.iter().filter(|change| key_of(change) == key).collect();
    assert_eq!(found.len(), 1, "{key} in {overrides:?}");
    found[0].split_once('=').unwrap().1
}

#[test]
fn a_plan_has_every_cell_with_what_it_costs() {
    let calibration = Calibration::measure(&[8e3, 1e6], |_| Ok(1e9)).unwrap();
    let plan = plan_of(&sweep("seeds = [3, 1]", ""), MODEL, Some(&calibration)).unwrap();
    let names: Vec<&str> = plan.runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names[0], "text-N8K-D1M-s3");
    assert_eq!((names.len(), names[3], names[4]), (8, "text-N1M-D4M-s3", "text-N8K-D1M-s1"));
    for run in &plan.runs {
        let batch = value(&run.overrides, "train.batch_size").parse::<f64>().unwrap()
            * value(&run.overrides, "train.gradient_accumulation").parse::<f64>().unwrap()
            * 20.0;
        assert_eq!(batch, run.batch_tokens);
        assert_eq!(value(&run.overrides, "train.steps"), run.steps.to_string());
        assert!(run.steps >= 200 && (run.tokens / run.budget - 1.0).abs() < 0.01, "{run:?}");
        assert_eq!(value(&run.overrides, "run.seed"), run.seed.to_string());
        assert_eq!(value(&run.overrides, "model.backbone.d_model"), run.shape.d_model.to_string());
        assert_eq!(value(&run.overrides, "intervals.preview"), "0");
        assert!((run.flops.total() / 1e9 / 3600.0 - run.hours.unwrap()).abs() < 1e-12);
        assert!(run.flops.head > 0.0 && run.flops.matrices == 6.0 * run.params * run.tokens);
    }
    let text = plan.to_text(2);
    assert!(text.lines().count() == 10 && text.contains("8 runs, ") && text.contains("hours with 2 at once"), "{text}");
    assert!((plan.hours().unwrap() - plan.flops() / 1e9 / 3600.0).abs() < 1e-9);
}

#[test]
fn changes_of_the_user_take_the_place_of_ours() {
    let top = "set = [\"intervals.validation=7\", \"documents.image_first=0.5\"]\nlearning_rate_factor = 0.5\nbatch_tokens = 640";
    let plan = plan_of(&sweep(top, "set = [\"documents.image_first=0.0\"]\n"), MODEL, None).unwrap();
    let run = &plan.runs[0];
    assert_eq!(value(&run.overrides, "intervals.validation"), "7");
    assert_eq!(value(&run.overrides, "documents.image_first"), "0.0");
    assert_eq!(value(&run.overrides, "optimizer.learning_rate"), "1.000000e-3");
    assert_eq!(value(&run.overrides, "optimizer.final_learning_rate"), "1.000000e-4");
    assert_eq!((run.batch_tokens, run.hours), (640.0, None));
}

#[test]
fn packing_and_shared_heads_of_the_configuration_are_kept() {
    let config = MODEL
        .replace("batch_size = 16", "batch_size = 16\ndocuments_per_sequence = 4")
        .replace("d_model = 8", "n_kv_heads = 2");
    let plan = plan_of(&sweep("", ""), &config, None).unwrap();
    for run in &plan.runs {
        assert_eq!(value(&run.overrides, "train.batch_size").parse::<u64>().unwrap() % 4, 0);
        assert_eq!(value(&run.overrides, "model.backbone.n_kv_heads"), run.shape.n_heads.to_string());
    }
}

#[test]
fn tokens_of_a_document_may_come_from_the_calibration() {
    let text = sweep("", "").replace("tokens_per_document = 20.0\n", "");
    let message = plan_of(&text, MODEL, None).unwrap_err().to_string();
    assert!(message.contains("groups[0].tokens_per_document"), "{message}");
    let mut calibration = Calibration::measure(&[8e3, 1e6], |_| Ok(1e9)).unwrap();
    calibration.tokens_per_document.insert("text".into(), 40.0);
    assert_eq!(plan_of(&text, MODEL, Some(&calibration)).unwrap().runs[0].batch_tokens % 40.0, 0.0);
}

#[test]
fn tokenizers_that_will_differ_are_warned_of() {
    let two = format!(
        "{}\n[[groups]]\nmodalities = [\"text\", \"code\"]\nconfig = \"text.toml\"\ntokens_per_document = 9.0\n",
        sweep("", "")
    );
    let warned = |config: &str| plan_of(&two, config, None).unwrap().warnings.join("\n");
    assert!(warned(MODEL).contains("tokenizer.path"));
    assert_eq!(warned(&MODEL.replace("vocab_size = 300", "path = \"t.json\"")), "");
    let few = sweep("least_steps = 100000", "").replace("1e6]", "\"16K\"]").replace("20.0", "2000.0");
    assert!(plan_of(&few, MODEL, None).unwrap().warnings[0].contains("fewer than least_steps"));
}

#[test]
fn every_mistake_is_named() {
    let refused = |text: String| plan_of(&text, MODEL, None).unwrap_err().to_string();
    for (top, more, parts) in [
        ("size = 3", "", vec!["sweep.toml", "unknown field `size`"]),
        ("seeds = []", "", vec!["seeds: expected at least one value"]),
        ("seeds = [1, 1]", "", vec!["seeds", "1 twice"]),
        ("seeds = [-1]", "", vec!["sweep.toml", "-1"]),
        ("least_steps = 0", "", vec!["least_steps: expected at least 1"]),
        ("batch_tokens = \"2X\"", "", vec!["found `2X`"]),
        ("batch_tokens = -3", "", vec!["sweep.toml"]),
        ("learning_rate_factor = 0", "", vec!["learning_rate_factor"]),
        ("learning_rate_factor = nan", "", vec!["learning_rate_factor", "NaN"]),
        ("set = [\"train.steps=3\"]", "", vec!["set[0]", "`tokens`", "`train.steps`"]),
        ("set = [\"model.backbone.d_model = 3\"]", "", vec!["`sizes`"]),
        ("set = [\"run.dir=x\"]", "", vec!["--out"]),
        ("set = [\"nothing\"]", "", vec!["set[0]", "`nothing`"]),
        ("set = [\"a=1\", \"a=2\"]", "", vec!["set[1]", "`a` again"]),
        ("", "first_share = 0.5", vec!["groups[0].first_share", "one modality"]),
        ("", "sizes = [\"1K\"]", vec!["groups[0].sizes[0]", "8K to 30B", "found 1K"]),
        ("", "sizes = []", vec!["groups[0].sizes"]),
        ("", "tokens = [5, 5]", vec!["groups[0].tokens", "5 twice"]),
        ("", "losses = { speech = \"x\" }", vec!["groups[0].losses", "`speech`"]),
        ("", "name = \"a/b\"", vec!["groups[0]", "`a/b`"]),
        ("", "colour = 3", vec!["unknown field `colour`"]),
        ("", "set = [\"run.seed=1\"]", vec!["groups[0].set[0]", "`seeds`"]),
    ] {
        let message = refused(sweep(top, more));
        assert!(parts.iter().all(|part| message.contains(part)), "{top}{more}: {message}");
    }
    for (from, to, part) in [
        ("[\"text\"]", "[]", "groups[0].modalities"),
        ("[\"text\"]", "[\"a\", \"b\", \"c\"]", "groups[0].modalities: expected one modality or a pair, found 3"),
        ("[\"text\"]", "[\"a\", \"a\"]", "a twice"),
        ("\"text.toml\"", "\"none.toml\"", "none.toml"),
        ("20.0", "0.0", "groups[0].tokens_per_document"),
        ("20.0", "inf", "groups[0].tokens_per_document"),
        ("\"8K\"", "\"7K\"", "sizes[0]: expected parameters from 8K to 30B, found 7K"),
        ("\"8K\"", "\"1M\"", "1M twice"),
        ("\"8K\"", "\"many\"", "found `many`"),
        ("\"8K\"", "[]", "sweep.toml"),
    ] {
        let message = refused(sweep("", "").replace(from, to));
        assert!(message.contains(part), "{to}: {message}");
    }
    assert!(refused(sweep("", "").replace("sizes", "seizes")).contains("sweep.toml"));
    assert!(refused(format!("{}\n{}", sweep("", ""), group(""))).contains("groups[1].name"));
    assert!(refused("sizes = [1e6]\ntokens = [1e6]\ngroups = []".into()).contains("at least one group"));
    assert!(refused(sweep("", "") + "[modalities.smell]\n").contains("`smell`"));
    let missing = Sweep::load(Path::new("nowhere/sweep.toml")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read nowhere/sweep.toml"), "{missing}");
}

#[test]
fn a_configuration_without_what_is_needed_is_named() {
    let refused = |config: &str| plan_of(&sweep("", ""), config, None).unwrap_err().to_string();
    assert!(refused("[train]\nbatch_size = 4").contains("text.toml: model.backbone"));
    assert!(refused(&MODEL.replace("batch_size = 16", "batch_size = 0")).contains("text.toml: train.batch_size"));
    assert!(refused(&MODEL.replace("batch_size = 16", "")).contains("train.batch_size"));
    assert!(refused("= 3").contains("text.toml"));
}

#[test]
fn batches_are_planned_as_they_were_asked_for_or_refused() {
    let planned = |top: &str| {
        let folder = files(&sweep(top, ""), MODEL);
        Plan::of_batches(&Sweep::load(&folder.path().join("sweep.toml"))?, None)
    };
    let plan = planned("batches = [400, 800, 1_600, 5_000]\nseeds = [0, 1]").unwrap();
    assert_eq!(plan.runs.len(), 2 * 2 * 4 * 2);
    let run = plan.runs.iter().find(|run| run.name == "text-N8K-D1M-B5K-s1").unwrap();
    assert_eq!((run.batch_tokens, run.steps, run.seed), (4800.0, 208, 1), "15 documents of 20 tokens, 16 times");
    for (top, parts) in [
        ("", vec!["sweep.toml: batches: expected at least three", "found none"]),
        ("batches = [400, 800]", vec!["batches", "at least three", "found 2"]),
        ("batches = [400, 800, 800]", vec!["batches", "800 twice"]),
        ("batches = [400, 800, 6_000]", vec!["batches", "least_steps = 200", "text-N8K-D1M-B6K-s0"]),
        ("batches = [400, 405, 800]", vec!["whole documents", "text-N8K-D1M-B400-s0", "text-N8K-D1M-B405-s0"]),
    ] {
        let message = planned(top).unwrap_err().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{top}: {message}");
    }
    // Other commands do not look at them.
    assert_eq!(plan_of(&sweep("batches = [400, 800, 1_600]", ""), MODEL, None).unwrap().runs.len(), 4);
}

#[test]
fn presets_can_be_swept() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    for name in ["quickstart.toml", "shapes.toml", "yardstick.toml"] {
        let text = sweep("", "").replace("\"text.toml\"", &format!("{:?}", configs.join(name).display().to_string()));
        assert_eq!(plan_of(&text, MODEL, None).unwrap().runs.len(), 4, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn steps_come_to_the_budget(size in 8e3f64..1e9, tokens in 1e5f64..1e10, document in 1.0f64..3000.0, micro in 1u32..300) {
        let text = format!(
            "sizes = [{size:e}]\ntokens = [{tokens:e}]\n[[groups]]\nmodalities = [\"text\"]\nconfig = \"text.toml\"\n\
             tokens_per_document = {document:e}"
        );
        let plan = plan_of(&text, &MODEL.replace("16", &micro.to_string()), None).unwrap();
        let run = &plan.runs[0];
        // To half a step, and a step is a two-hundredth where it has more than one document.
        prop_assert!((run.tokens - run.budget).abs() <= 0.5 * run.batch_tokens + 1e-6 * tokens);
        let batch: u32 = value(&run.overrides, "train.batch_size").parse().unwrap();
        prop_assert!((1..=micro).contains(&batch));
        let most = run.shape.batch_tokens.min(tokens / 200.0).max(document);
        prop_assert!(run.batch_tokens <= most * (1.0 + 1e-9));
        let count: f64 = value(&run.overrides, "train.gradient_accumulation").parse().unwrap();
        // Of every micro-batch less than one document is lost to rounding.
        prop_assert!(run.batch_tokens >= most - count * document - 1e-6 * most);
    }
}
