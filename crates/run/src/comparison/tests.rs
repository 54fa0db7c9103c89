//! Comparisons of run folders that the tests write, and of tables.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;

/// A run folder whose losses fall as `2 + 10 / √(t / pace)`, so that it needs `pace` times the steps of a pace of 1 (E11 of
/// the published cases: 0.558).
struct Invented {
    name: &'static str,
    pace: f64,
    seed: u64,
    noise: f64,
    flops: Option<f64>,
    held_out: bool,
    config: &'static str,
}

impl Invented {
    fn of(name: &'static str, pace: f64) -> Self {
        Self { name, pace, seed: 0, noise: 0.0, flops: Some(1e9), held_out: true, config: "[data]\nimages = 10\n" }
    }

    fn loss(&self, step: u64) -> f64 {
        let phase = step.wrapping_mul(2_654_435_761).wrapping_add(self.seed * 97) % 1000;
        2.0 + 10.0 / (step as f64 / self.pace).sqrt() + self.noise * (phase as f64 / 500.0 - 1.0)
    }

    fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join(self.name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("config.toml"), format!("[run]\nseed = {}\n{}", self.seed, self.config)).unwrap();
        fs::write(path.join("data.json"), r#"{"images": 10}"#).unwrap();
        let mut lines = String::new();
        for step in 1..=400u64 {
            let loss = self.loss(step);
            let mut record = json!({"step": step, "loss": loss, "text_loss": loss, "seconds": step as f64 * 0.5});
            if let Some(flops) = self.flops {
                record["flops"] = json!(flops);
                record["flops_per_second"] = json!(flops * 4.0);
            }
            lines.push_str(&format!("{record}\n"));
            if step.is_multiple_of(10) && self.held_out {
                lines.push_str(&format!("{}\n", json!({"step": step, "held_out/text_loss": loss + 0.1})));
            }
        }
        fs::write(path.join("metrics.jsonl"), lines).unwrap();
        path
    }
}

fn compared(runs: &[Invented], settings: ComparisonSettings) -> Result<Comparison> {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = runs.iter().map(|run| run.write(folder.path())).collect();
    compare(&paths, ComparisonSettings { resamples: 20, ..settings })
}

fn refused(runs: &[Invented]) -> String {
    crate::error::sentence(&compared(runs, ComparisonSettings::default()).unwrap_err())
}

fn of<'a>(comparison: &'a Comparison, loss: &str) -> &'a Matched {
    comparison.matched.iter().find(|matched| matched.loss.to_string() == loss).unwrap()
}

#[test]
fn the_published_case_gives_its_slope() {
    let settings = ComparisonSettings { window: Some(1), ..ComparisonSettings::default() };
    let found = compared(&[Invented::of("dense", 1.0), Invented::of("mot", 0.558)], settings).unwrap();
    assert_eq!((found.unit, found.unmatched.len()), ("steps", 0));
    for loss in ["text, training", "text, held out", "all, training"] {
        let matched = of(&found, loss);
        // Held-out losses are ten steps apart, and a hyperbola lies below its chords.
        let tolerance = if matched.loss.part == Part::HeldOut { 5e-3 } else { 1e-4 };
        assert!((matched.slope - 0.558).abs() < tolerance, "{loss} {}", matched.slope);
        assert_eq!(matched.to_equal_loss.steps[0], 400.0);
        assert!((matched.to_equal_loss.steps[1] / 400.0 - 0.558).abs() < tolerance);
        let [flops, seconds] = [matched.to_equal_loss.flops, matched.to_equal_loss.seconds].map(Option::unwrap);
        assert!((flops[0] - 4e11).abs() < 1.0 && (flops[1] / flops[0] - 0.558).abs() < tolerance);
        // A quarter of a second a step by the rate, not the half of the clock.
        assert!((seconds[0] - 100.0).abs() < 1e-6, "{seconds:?}");
    }
}

#[test]
fn seeds_are_paired_and_give_an_interval() {
    let run = |name, pace, seed| Invented { seed, noise: 0.05, ..Invented::of(name, pace) };
    let runs =
        [run("dense-seed1", 1.0, 1), run("dense-seed2", 1.0, 2), run("mot-seed2", 0.5, 2), run("mot-seed1", 0.5, 1)];
    let found = compared(&runs, ComparisonSettings::default()).unwrap();
    assert_eq!(found.groups.iter().map(|group| group.runs.len()).collect::<Vec<_>>(), [2, 2]);
    let matched = of(&found, "text, training");
    let interval = matched.interval_of_seeds.unwrap();
    assert_eq!(matched.pairs.len(), 2);
    assert!(interval.contains(matched.slope) && matched.interval_of_blocks.is_some());
    assert!((matched.slope - 0.5).abs() < 0.05, "{}", matched.slope);
    assert!(found.finals.iter().any(|last| last.runs == 2 && last.interval.is_some()));
}

#[test]
fn steps_of_different_flops_are_compared_by_flops() {
    let dearer = Invented { flops: Some(2e9), ..Invented::of("mot", 0.5) };
    let settings = ComparisonSettings { window: Some(1), ..ComparisonSettings::default() };
    let found = compared(&[Invented::of("dense", 1.0), dearer], settings).unwrap();
    assert_eq!(found.unit, "FLOPs");
    assert!(found.notes.iter().any(|note| note.contains("dense 1.0000e9, mot 2.0000e9")), "{:?}", found.notes);
    let slope = of(&found, "text, training").slope;
    assert!((slope - 1.0).abs() < 1e-3, "half of the steps at twice the FLOPs: {slope}");
}

#[test]
fn runs_that_say_nothing_of_each_other_are_refused() {
    let dense = || Invented::of("dense", 1.0);
    let blind = Invented { held_out: false, ..Invented::of("mot", 0.5) };
    let message = refused(&[dense(), blind]);
    assert!(message.contains("mot has no held-out losses") && message.contains("--training-only"), "{message}");
    let other = Invented { config: "[data]\nimages = 11\n", ..Invented::of("mot", 0.5) };
    let message = refused(&[dense(), other]);
    assert!(message.contains("different data (data.images)") && message.contains("--different-data"), "{message}");
    let other = Invented { config: "[data]\nimages = 10\n[tokenizer]\nvocab_size = 9\n", ..Invented::of("mot", 0.5) };
    let message = refused(&[dense(), other]);
    assert!(message.contains("different tokenizers (tokenizer)"), "{message}");
    let message = refused(&[dense()]);
    assert!(message.contains("runs of two names at least, found 1 of the name dense"), "{message}");
    let wider =
        Invented { seed: 2, config: "[data]\nimages = 10\n[model]\nwidth = 2\n", ..Invented::of("dense-seed2", 1.0) };
    let message = refused(&[Invented::of("dense-seed1", 1.0), wider, Invented::of("mot", 0.5)]);
    assert!(message.contains("differ in more than their seed (model)"), "{message}");
    let message =
        refused(&[Invented::of("dense-seed1", 1.0), Invented::of("dense-seed2", 1.0), Invented::of("mot", 0.5)]);
    assert!(message.contains("have the same seed (0)"), "{message}");
}

#[test]
fn what_is_refused_is_compared_when_asked_for() {
    let blind = Invented { held_out: false, ..Invented::of("mot", 0.5) };
    let settings = ComparisonSettings { training_only: true, ..ComparisonSettings::default() };
    let found = compared(&[Invented::of("dense", 1.0), blind], settings).unwrap();
    assert!(found.matched.iter().all(|matched| matched.loss.part == Part::Training));
    let other = Invented { config: "[data]\nimages = 11\n", ..Invented::of("mot", 0.5) };
    let settings = ComparisonSettings { different_data: true, ..ComparisonSettings::default() };
    let found = compared(&[Invented::of("dense", 1.0), other], settings).unwrap();
    assert!(found.notes.iter().any(|note| note.contains("different data")));
}

#[test]
fn a_folder_that_is_no_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: PathBuf| crate::error::sentence(&RunCurves::open(&path).unwrap_err());
    assert!(refused(folder.path().to_owned()).contains("holds no run: config.toml is missing"));
    assert!(refused(folder.path().join("nowhere")).contains("there is no run folder"));
    fs::write(folder.path().join("config.toml"), "").unwrap();
    assert!(refused(folder.path().to_owned()).contains("metrics.jsonl is missing"));
    fs::write(folder.path().join("metrics.jsonl"), "{\"step\": 1}\n").unwrap();
    assert!(refused(folder.path().to_owned()).contains("has no losses yet"));
}

#[test]
fn losses_that_never_meet_are_named_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let table = |name: &str, far: f64| {
        let rows: String =
            (1..50).map(|step| format!("{step},{},{}\n", 3.0 / f64::from(step), far + 1.0 / f64::from(step))).collect();
        let path = folder.path().join(name);
        fs::write(&path, format!("step,held_out/text_loss,held_out/image_loss\n{rows}")).unwrap();
        path
    };
    let found = compare(&[table("a.csv", 0.0), table("b.csv", 5.0)], ComparisonSettings::default()).unwrap();
    assert_eq!((found.matched.len(), found.unmatched.len()), (1, 1));
    assert!(found.unmatched[0].reason.contains("no loss in common"), "{:?}", found.unmatched);
    assert!(found.notes.iter().any(|note| note.contains("cannot be checked")));
}

#[test]
fn what_is_written_is_whole_and_the_same_twice() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [Invented::of("dense", 1.0), Invented::of("mot", 0.558)].map(|run| run.write(folder.path()));
    let settings = ComparisonSettings {
        paper: Some(Paper::named("chameleon-7b").unwrap()),
        resamples: 20,
        ..ComparisonSettings::default()
    };
    let written = |out: &str| {
        let out = folder.path().join(out);
        let page = compare(&paths, settings.clone()).unwrap().save(&out).unwrap();
        (fs::read_to_string(page).unwrap(), fs::read_to_string(out.join("comparison.json")).unwrap(), out)
    };
    let (page, json, out) = written("one");
    let again = written("two");
    assert_eq!((&page, &json), (&again.0, &again.1));
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["groups"][1]["name"], "mot");
    assert!((report["matched"][0]["slope"].as_f64().unwrap() - 0.558).abs() < 0.01);
    for expected in ["<td>text, training<td class=n>0.55", "0.558", "chameleon-7b", "<svg", "text, held out"] {
        assert!(page.contains(expected), "{expected}");
    }
    for name in ["slopes.svg", "slopes.png", "curves_text_held_out.svg", "matched_text_training.png"] {
        assert!(out.join(name).is_file(), "{name}");
    }
    let refused = Paper::named("gpt").unwrap_err().to_string();
    assert!(refused.contains("--paper: expected one of chameleon-37m") && refused.contains("found \"gpt\""));
}
