//! A run without the binary: begun, trained, gone on with and measured by another program.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use interfuse_run::measuring::{Entry, EvaluationOptions, Published, Report, evaluate};
use interfuse_run::{LoadedRun, Run, RunObserver, Settings, StepNotice};
use interfuse_trainer::Outcome;

/// A model of one layer on scenes that the program draws itself.
const CONFIG: &str = r#"
[run]
dir = "run"
device = "cpu"

[data]
image_size = [16, 16]
source = { kind = "shapes", images = 16 }

[tokenizer]
vocab_size = 280

[model]
partition = [["text"], ["image"]]
backbone = { d_model = 16, n_layers = 1, n_heads = 2 }

[model.modalities.text]
objective = "next_token"

[model.modalities.image]
objective = "denoise"
patch_size = 4

[optimizer]
warmup_steps = 2

[train]
steps = 3
batch_size = 2

[intervals]
evaluation = 2

[sampling]
steps = 1
max_tokens = 4
"#;

/// Remembers what it hears.
#[derive(Default)]
struct Heard {
    steps: Vec<u64>,
    counted: Vec<&'static str>,
    reports: Vec<Report>,
}

impl RunObserver for Heard {
    fn progress(&mut self, what: &'static str, _: usize, _: usize) {
        self.counted.push(what);
    }

    fn stepped(&mut self, step: &StepNotice) {
        self.steps.push(step.step);
    }

    fn measured(&mut self, report: &Report) {
        self.reports.push(report.clone());
    }
}

#[test]
fn a_run_is_trained_gone_on_with_and_measured_by_any_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = |steps: u64, more: &[&str]| {
        let mut overrides =
            vec![format!("train.steps={steps}"), format!("run.dir={}", folder.path().join("run").display())];
        overrides.extend(more.iter().map(|change| (*change).to_owned()));
        Settings::parse(CONFIG, Path::new("library.toml"), &overrides).expect("a configuration")
    };
    let (mut heard, go) = (Heard::default(), AtomicBool::new(false));
    let without = ["intervals.evaluation=0"];
    let mut run = Run::begin(settings(2, &without)).expect("a run");
    assert_eq!(run.train(&mut heard, &go).expect("trained"), Outcome::Finished);
    assert_eq!(heard.steps, [1, 2]);
    // The folder is this run's until it is dropped.
    assert!(Run::resume(settings(3, &without)).err().expect("in use").to_string().contains("in use"));
    drop(run);

    let mut run = Run::resume(settings(3, &without)).expect("a run");
    let resumed = run.resumed.clone().expect("it goes on");
    assert_eq!(resumed.changes, ["train.steps: 2 → 3"]);
    run.train(&mut heard, &go).expect("trained");
    assert_eq!(heard.steps, [1, 2, 3]);

    let loaded = LoadedRun::open(run.folder.path(), true, "cpu").expect("a model");
    let options = EvaluationOptions { count: 4, seed: 0, sampling: loaded.sampling(), published: Published::default() };
    let report = evaluate(&loaded, &options, &mut heard).expect("measured");
    // Captions that name scenes are measured as scenes.
    assert_eq!(report.value["seen_scenes"]["generated"]["all"]["total"], 2);
    assert!(report.entries.contains(&Entry::Heading(3)) && heard.counted.contains(&"images generated"));
    assert!(run.folder.evaluation().exists() && heard.reports.is_empty());
}
