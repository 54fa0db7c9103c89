//! Whole sweeps with a program that only seems to train: kills at random moments, jobs side by side, failures and restarts.
//!
//! The test binary plays all parts: started with `SWEEP_ROLE=train` it is the program that trains, with `SWEEP_ROLE=sweep` a
//! sweep of its own that can be killed.

// The locks and signals that are tested here are those of Unix.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod program;
mod stage;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use interfuse_scaling::table::{ReadOptions, read_table};
use interfuse_scaling::uncertainty::BootstrapSettings;
use interfuse_sweep::batches::{self, BatchAnswer};
use interfuse_sweep::running::{Ended, Launcher, Running, Work, commands};
use interfuse_sweep::{Job, Plan, Report, SweepOptions, sweep};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use stage::{Event, Stage};

#[test]
fn role() {
    match std::env::var("SWEEP_ROLE").as_deref() {
        Ok("train") => program::main(),
        Ok("sweep") => stage::main(),
        _ => {}
    }
}

fn quick(at_once: usize) -> SweepOptions {
    SweepOptions { at_once, poll: Duration::from_millis(5), ..SweepOptions::default() }
}

/// Sweeps in this process.
fn run(stage: &Stage, options: &SweepOptions) -> Result<Report, interfuse_sweep::SweepError> {
    sweep(&stage.plan(), &stage.out(), &stage.program(), options, &AtomicBool::new(false), &mut |_| {})
}

#[test]
fn a_sweep_makes_a_table_and_is_done_once() {
    let stage = Stage::new("");
    let report = run(&stage, &quick(3)).unwrap();
    assert_eq!((report.finished, report.open, report.failed.len()), (8, 0, 0), "{report:?}");
    let table = read_table(&stage.out().join("table.csv"), &ReadOptions::default()).unwrap();
    assert_eq!(table.modalities().into_iter().collect::<Vec<_>>(), ["speech|text", "text"]);
    let plan = stage.plan();
    for (row, planned) in table.runs().iter().zip(&plan.runs) {
        assert_eq!(row.run.as_deref(), Some(planned.name.as_str()));
        assert!((row.params - planned.params).abs() < 0.5 && (row.tokens - planned.tokens).abs() < 0.5);
        assert_eq!(row.seed, Some(0.0));
        assert!((row.loss - program::loss(planned.params, planned.tokens)).abs() < 1e-9);
        // Ten thousand of text, as the sweep says; of speech what the run says, half of what it saw.
        let speech = if row.modality == "text" { 0.0 } else { row.tokens / 4.0 };
        assert!((row.unique_tokens.unwrap() - 1e4 - speech).abs() < 0.5, "{row:?}");
        assert_eq!(row.first_share, (row.modality == "speech|text").then_some(0.5));
        assert!(row.tokenizer.as_ref().is_some_and(|hash| hash.len() == 12));
    }
    let runs = std::fs::read_to_string(stage.out().join("runs.csv")).unwrap();
    assert_eq!(runs.lines().filter(|line| line.contains(",finished,")).count(), 8, "{runs}");
    // Had half as many tokens been planned, it would be said.
    let collected = interfuse_sweep::results::collect(&plan, &stage.out(), false).unwrap();
    assert_eq!((collected.counts, collected.notes.len()), ([8, 0, 0], 0), "{:?}", collected.notes);
    let mut other = plan.clone();
    other.runs.iter_mut().filter(|run| run.group == "text").for_each(|run| run.tokens *= 0.5);
    let collected = interfuse_sweep::results::collect(&other, &stage.out(), false).unwrap();
    assert!(collected.notes[0].starts_with("text: runs saw 2.000 times"), "{:?}", collected.notes);
    // The same command again starts nothing.
    let before = stage.events().len();
    assert_eq!(run(&stage, &quick(3)).unwrap().finished, 8);
    assert_eq!(stage.events().len(), before);
}

#[test]
fn a_sweep_over_batches_finds_the_best_of_every_cell() {
    let stage = Stage::new("[fake]\nstep_ms = 0\nbest_batch = 150.0\n");
    stage.change("tokens = [\"20K\", \"40K\"]", "tokens = [\"20K\"]\nbatches = [50, 100, 200, 400]");
    let plan = stage.batch_plan().unwrap();
    assert_eq!(plan.runs.len(), 16);
    let exponents = BTreeMap::from([("speech|text".to_owned(), (0.2, 0.3))]);
    let answer = || batches::answer(&plan, &stage.out(), exponents.clone(), BootstrapSettings::default()).unwrap();
    std::fs::create_dir_all(stage.out()).unwrap();
    let early = answer();
    assert!(early.cells.iter().all(|cell| cell.best.is_none() && cell.missing == 4), "{early:?}");
    let run = || sweep(&plan, &stage.out(), &stage.program(), &quick(3), &AtomicBool::new(false), &mut |_| {}).unwrap();
    assert_eq!(run().finished, 16);
    let found = answer();
    assert_eq!(found.cells.len(), 4, "two groups of two sizes");
    for cell in &found.cells {
        assert_eq!((cell.runs.len(), cell.missing), (4, 0));
        let best = cell.best.unwrap();
        assert!((best.batch / 150.0 - 1.0).abs() < 0.03 && best.inside, "{best:?}");
        assert!((best.curvature / 0.05 - 1.0).abs() < 0.03, "{best:?}");
        assert!((best.loss - program::loss(cell.params, 2e4)).abs() < 2e-3, "{best:?}");
    }
    let text = found.to_text();
    let parts =
        ["speech|text  N ", "best batch 1", "loss = ", "(ln B - ln 1", "ln best batch against beta: too few runs"];
    assert!(parts.iter().all(|part| text.contains(part)) && text.contains("the paper: rises"), "{text}");
    let path = batches::answer_path(&stage.out());
    // JSON may move a number by its last place.
    assert_eq!(BatchAnswer::load(&path).unwrap().to_text(), text);
    assert_eq!(found.best_batches().len(), 4);
    // The same command again trains nothing, and gives the same answer.
    let before = (stage.events().len(), std::fs::read(&path).unwrap());
    assert_eq!(run().finished, 16);
    answer();
    assert!(before == (stage.events().len(), std::fs::read(&path).unwrap()));
}

#[test]
fn a_best_batch_beyond_those_that_were_tried_is_said_and_not_counted() {
    let stage = Stage::new("[fake]\nstep_ms = 0\nbest_batch = 1500.0\n");
    stage.change("tokens = [\"20K\", \"40K\"]", "tokens = [\"20K\"]\nbatches = [100, 200, 400]");
    stage.change("sizes = [\"8K\", \"16K\"]", "sizes = [\"8K\"]");
    let plan = stage.batch_plan().unwrap();
    sweep(&plan, &stage.out(), &stage.program(), &quick(3), &AtomicBool::new(false), &mut |_| {}).unwrap();
    let found = batches::answer(&plan, &stage.out(), BTreeMap::new(), BootstrapSettings::default()).unwrap();
    assert!(found.cells.iter().all(|cell| cell.best.is_some_and(|best| !best.inside)), "{found:?}");
    assert!(found.best_batches().is_empty());
    let text = found.to_text();
    assert!(text.contains("beyond the batches that were tried") && text.contains("--fit"), "{text}");
}

#[test]
fn whatever_is_killed_nothing_finished_is_lost_or_done_twice() {
    let stage = Stage::new("[fake]\nstep_ms = 4\n");
    let mut random = ChaCha8Rng::seed_from_u64(13);
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for _ in 0..16 {
        let mut child = stage.spawn(2, None);
        std::thread::sleep(Duration::from_millis(random.random_range(5..260)));
        child.kill().unwrap();
        child.wait().unwrap();
        // Now and then what it had started dies with it.
        if random.random_bool(0.5) {
            stage.kill_programs();
        }
        known = stage.finished_files(&known);
    }
    let report = run(&stage, &quick(2)).unwrap();
    assert_eq!((report.finished, report.failed.len()), (8, 0), "{report:?}");
    known = stage.finished_files(&known);
    assert_eq!(known.len(), 8);
    let gone_on = stage.events().iter().filter(|event| event.kind == "start" && event.step > 0).count();
    assert!(gone_on >= 3, "the kills must have met runs at work: {:?}", stage.events());
    for planned in &stage.plan().runs {
        let events: Vec<Event> = stage.events().into_iter().filter(|event| event.run == planned.name).collect();
        let done: Vec<usize> = (0..events.len()).filter(|at| events[*at].kind == "done").collect();
        assert!(done.len() <= 1, "{events:?}");
        if let [done] = done[..] {
            assert_eq!(done, events.len() - 1, "a finished run was started again: {events:?}");
        }
        assert!(events.iter().all(|event| event.kind != "in-use"), "two programs worked in one folder: {events:?}");
        let row = stage.row(&planned.name);
        assert_eq!(row.steps, Some(planned.steps as f64));
        assert!((row.tokens - planned.tokens).abs() < 0.5, "steps were lost or counted twice");
    }
}

#[test]
fn two_sweeps_on_one_folder_are_refused_and_jobs_share_it() {
    let stage = Stage::new("[fake]\nstep_ms = 4\n");
    let mut whole = stage.spawn(1, None);
    stage.wait_for_events(1);
    let job = SweepOptions { job: Some(Job::new(1, 2).unwrap()), ..quick(1) };
    for options in [&quick(1), &job] {
        let message = run(&stage, options).unwrap_err().to_string();
        assert!(message.contains("is in use by another sweep"), "{message}");
    }
    whole.kill().unwrap();
    whole.wait().unwrap();
    // Lines of events before the jobs are the killed sweep's.
    let mut jobs: Vec<_> = ["1/2", "2/2"].map(|job| stage.spawn(2, Some(job))).into();
    for job in &mut jobs {
        assert!(job.wait().unwrap().success());
    }
    let events = stage.events();
    let done = events.iter().filter(|event| event.kind == "done").count();
    assert_eq!(done, 8, "{events:?}");
    assert_eq!(run(&stage, &quick(1)).unwrap().finished, 8);
    assert_eq!(read_table(&stage.out().join("table.csv"), &ReadOptions::default()).unwrap().runs().len(), 8);
}

#[test]
fn a_diverged_run_is_begun_again_with_a_lower_rate() {
    // The dial's rate of small models is 2e-3: it diverges there, and not with 0.8 of it.
    let stage = Stage::new("[fake]\ndiverge_above = 1.9e-3\n");
    let report = run(&stage, &quick(3)).unwrap();
    assert_eq!((report.finished, report.failed.len()), (8, 0), "{report:?}");
    let name = &stage.plan().runs[0].name;
    assert!((stage.row(name).learning_rate.unwrap() - 1.6e-3).abs() < 1e-9);
    let failed = std::fs::read_to_string(stage.run_folder(name).join("attempt-1.failed.json")).unwrap();
    assert!(failed.contains("the training loss ended at"), "{failed}");
    assert!(stage.run_folder(name).join("attempt-2/metrics.jsonl").is_file());
}

#[test]
fn a_run_that_fails_twice_is_reported_and_the_others_go_on() {
    let stage = Stage::new("[fake]\nfail_from_tokens = 30000\n");
    let report = run(&stage, &quick(3)).unwrap();
    assert_eq!((report.finished, report.failed.len(), report.open), (4, 4, 0), "{report:?}");
    let (name, reason) = &report.failed[0];
    assert!(name.contains("-D40K-"), "{name}");
    assert!(reason.contains("attempt 1: exit code 7: out of luck; attempt 2: exit code 7"), "{reason}");
    let runs = std::fs::read_to_string(stage.out().join("runs.csv")).unwrap();
    assert_eq!(runs.lines().filter(|line| line.contains(",failed,") && line.contains("out of luck")).count(), 4);
    // It stays so: a sweep does not try a third time.
    let before = stage.events().len();
    assert_eq!(run(&stage, &quick(3)).unwrap().failed.len(), 4);
    assert_eq!(stage.events().len(), before);
}

#[test]
fn a_loss_that_is_not_there_is_named_and_not_tried_again() {
    let stage = Stage::with_loss("held_out/speach_loss");
    let report = run(&stage, &quick(4)).unwrap();
    let reason = &report.failed.iter().find(|(name, _)| name.starts_with("speech")).unwrap().1;
    assert!(reason.contains("held_out/speach_loss") && reason.contains("held_out/speech_loss"), "{reason}");
    assert!(!reason.contains("attempt 2"), "{reason}");
}

#[test]
fn a_sweep_that_is_asked_to_end_saves_and_goes_on_later() {
    let stage = Stage::new("[fake]\nstep_ms = 5\n");
    let stop = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            stage.wait_for_events(2);
            std::thread::sleep(Duration::from_millis(60));
            stop.store(true, Ordering::Relaxed);
        });
        sweep(&stage.plan(), &stage.out(), &stage.program(), &quick(2), &stop, &mut |_| {}).unwrap()
    });
    assert!(report.open >= 6 && report.failed.is_empty(), "{report:?}");
    assert!(stage.programs().is_empty(), "a child was left behind");
    let report = run(&stage, &quick(2)).unwrap();
    assert_eq!(report.finished, 8);
    let resumed = stage.events().iter().filter(|event| event.kind == "start" && event.step > 0).count();
    assert!(resumed >= 1, "nothing went on: {:?}", stage.events());
}

#[test]
fn a_run_that_somebody_trains_by_hand_is_waited_for() {
    let stage = Stage::new("");
    let folder = stage.run_folder(&stage.plan().runs[0].name).join("attempt-1");
    std::fs::create_dir_all(&folder).unwrap();
    let lock = std::fs::File::create(folder.join(".lock")).unwrap();
    lock.try_lock().unwrap();
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            stage.wait_for_events(14);
            drop(lock);
        });
        run(&stage, &quick(4)).unwrap()
    });
    assert_eq!((report.finished, report.failed.len()), (8, 0), "{report:?}");
    assert!(stage.events().iter().all(|event| event.kind != "in-use"));
}

#[test]
fn another_plan_on_the_same_folder_is_refused_by_key() {
    let stage = Stage::new("");
    run(&stage, &quick(4)).unwrap();
    stage.change("least_steps = 50", "least_steps = 40");
    let message = run(&stage, &quick(1)).unwrap_err().to_string();
    assert!(message.contains("changes: ") && message.contains("train.steps"), "{message}");
}

#[test]
fn commands_are_listed_for_what_is_left() {
    let stage = Stage::new("");
    let list = |job: Option<Job>| {
        let options = SweepOptions { threads: Some(4), job, ..quick(2) };
        commands(&stage.plan(), &stage.out(), &stage.program(), &options).unwrap()
    };
    let all = list(None);
    assert_eq!(all.len(), 8);
    assert!(all[0].starts_with("RAYON_NUM_THREADS=2 ") && all[0].contains(" train "), "{}", all[0]);
    assert!(all[0].contains("run.dir=") && !all[0].contains("--resume"));
    let jobs: Vec<String> = (1..=3).flat_map(|k| list(Some(Job::new(k, 3).unwrap()))).collect();
    assert!(jobs.len() == 8 && all.iter().all(|line| jobs.contains(line)));
    run(&stage, &quick(4)).unwrap();
    assert!(list(None).is_empty());
}

/// Counts how many runs are started at once, and on which device.
struct Watched {
    started: std::sync::Mutex<Vec<(String, Instant)>>,
}

struct Sleeping {
    until: Instant,
}

impl Running for Sleeping {
    fn ended(&mut self) -> Result<Option<Ended>, interfuse_sweep::SweepError> {
        Ok((Instant::now() >= self.until).then_some(Ended::Code(1)))
    }
    fn stop(&mut self) {}
    fn kill(&mut self) {}
}

impl Launcher for Watched {
    fn start(&self, work: &Work, _: &Path, _: std::fs::File) -> Result<Box<dyn Running>, interfuse_sweep::SweepError> {
        let device = work.overrides.iter().find_map(|change| change.strip_prefix("run.device=")).unwrap_or_default();
        assert_eq!(work.threads, 4);
        self.started.lock().unwrap().push((device.to_owned(), Instant::now()));
        Ok(Box::new(Sleeping { until: Instant::now() + Duration::from_millis(30) }))
    }
}

#[test]
fn every_run_has_a_device_to_itself() {
    let stage = Stage::new("");
    let watched = Watched { started: std::sync::Mutex::new(vec![]) };
    let devices = vec!["cuda:0".to_owned(), "cuda:1".to_owned()];
    let options = SweepOptions { devices, threads: Some(8), ..quick(7) };
    let stop = AtomicBool::new(false);
    let report = sweep(&stage.plan(), &stage.out(), &watched, &options, &stop, &mut |_| {}).unwrap();
    assert_eq!(report.failed.len(), 8);
    let started = watched.started.into_inner().unwrap();
    assert_eq!(started.len(), 16);
    for device in ["\"cuda:0\"", "\"cuda:1\""] {
        let own: Vec<Instant> = started.iter().filter(|(name, _)| name == device).map(|(_, at)| *at).collect();
        assert!(own.len() >= 6 && own.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(30)));
    }
}

#[test]
fn options_that_make_no_sense_are_named() {
    let stage = Stage::new("");
    for (options, name) in [
        (SweepOptions { at_once: 0, ..quick(1) }, "--at-once"),
        (SweepOptions { threads: Some(1), ..quick(2) }, "--threads"),
    ] {
        let message = run(&stage, &options).unwrap_err().to_string();
        assert!(message.starts_with(name), "{message}");
    }
    let _: Plan = stage.plan();
}
