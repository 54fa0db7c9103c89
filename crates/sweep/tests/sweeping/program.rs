//! A program that seems to train: it reads a configuration, takes steps, saves, goes on, and leaves a run folder as the real one
//! does. Its losses follow a law exactly.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The held-out loss of every modality.
pub(crate) fn loss(params: f64, tokens: f64) -> f64 {
    1.5 + 5.0 * params.powf(-0.2) + 20.0 * tokens.powf(-0.3)
}

struct Program {
    folder: PathBuf,
    config: toml::Table,
    batch: f64,
    params: f64,
}

/// Plays its part and ends the process.
pub(crate) fn main() {
    let arguments = std::env::var("SWEEP_ARGS").unwrap();
    let mut words = arguments.lines();
    assert_eq!(words.next(), Some("train"));
    let mut config: toml::Table = toml::from_str(&fs::read_to_string(words.next().unwrap()).unwrap()).unwrap();
    let mut resume = false;
    while let Some(word) = words.next() {
        match word {
            "--set" => set(&mut config, words.next().unwrap()),
            "--resume" => resume = true,
            other => panic!("unknown argument {other}"),
        }
    }
    let number = |path: &str| get(&config, path).unwrap();
    let (d, f, layers) =
        (number("model.backbone.d_model"), number("model.backbone.d_ff"), number("model.backbone.n_layers"));
    let batch = number("train.batch_size") * number("train.gradient_accumulation") * 10.0;
    let folder = PathBuf::from(config["run"]["dir"].as_str().unwrap());
    let program = Program { folder, batch, params: layers * (4.0 * d * d + 3.0 * d * f), config };
    std::process::exit(program.train(resume));
}

impl Program {
    fn number(&self, path: &str) -> Option<f64> {
        get(&self.config, path)
    }

    fn train(&self, resume: bool) -> i32 {
        fs::create_dir_all(self.folder.join("checkpoints")).unwrap();
        let lock = File::create(self.folder.join(".lock")).unwrap();
        if lock.try_lock().is_err() {
            self.event("in-use", 0);
            return 3;
        }
        let stop = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&stop)).unwrap();
        let from = self.checkpoint();
        assert_eq!(resume, from > 0, "a run is gone on with if and only if there is a checkpoint");
        fs::write(self.folder.join("config.toml"), toml::to_string(&self.config).unwrap()).unwrap();
        self.cut(from);
        self.event("start", from);
        let steps = self.number("train.steps").unwrap() as u64;
        if self.number("fake.fail_from_tokens").is_some_and(|most| steps as f64 * self.batch >= most) {
            std::io::stderr().write_all(b"out of luck\n").unwrap();
            return 7;
        }
        let every = self.number("intervals.checkpoint").unwrap() as u64;
        let mut metrics = File::options().create(true).append(true).open(self.folder.join("metrics.jsonl")).unwrap();
        for step in from + 1..=steps {
            std::thread::sleep(Duration::from_millis(self.number("fake.step_ms").unwrap_or(1.0) as u64));
            self.step(&mut metrics, step, steps);
            let asked = stop.load(Ordering::Relaxed);
            if step % every == 0 || step == steps || asked {
                self.save(&mut metrics, step);
            }
            if asked && step < steps {
                return 0;
            }
        }
        self.event("done", steps);
        0
    }

    fn step(&self, metrics: &mut File, step: u64, steps: u64) {
        let rate = self.number("optimizer.learning_rate").unwrap();
        let diverged = self.number("fake.diverge_above").is_some_and(|most| rate > most) && 2 * step > steps;
        let loss = if diverged { 9.0 } else { self.loss(step) };
        let lanes = self.lanes();
        let mut record = serde_json::json!({"step": step, "loss": loss, "gradient_norm": 1.0, "learning_rate": rate});
        for lane in &lanes {
            record[format!("{lane}_loss")] = loss.into();
            let tokens = self.batch / lanes.len() as f64;
            record[format!("{lane}_count")] = tokens.into();
            record[format!("{lane}_unique_tokens")] = (step as f64 * tokens / 2.0).into();
        }
        write_line(metrics, &record);
    }

    fn save(&self, metrics: &mut File, step: u64) {
        let mut record = serde_json::json!({ "step": step });
        for lane in self.lanes() {
            record[format!("held_out/{lane}_loss")] = self.loss(step).into();
        }
        write_line(metrics, &record);
        let folder = self.folder.join("checkpoints").join(format!("step-{step:06}"));
        let partial = folder.with_extension("partial");
        let _ = fs::remove_dir_all(&partial);
        fs::create_dir_all(&partial).unwrap();
        fs::write(partial.join("tokenizer.json"), "{}").unwrap();
        fs::write(partial.join("model.safetensors"), "").unwrap();
        if !folder.exists() {
            fs::rename(&partial, &folder).unwrap();
        }
    }

    /// The law's loss, and what a batch costs that is not the best.
    fn loss(&self, step: u64) -> f64 {
        let away = self.number("fake.best_batch").map_or(0.0, |best| (self.batch / best).ln());
        loss(self.params, step as f64 * self.batch) + 0.05 * away.powi(2)
    }

    fn lanes(&self) -> Vec<String> {
        self.config["model"]["modalities"].as_table().unwrap().keys().cloned().collect()
    }

    fn checkpoint(&self) -> u64 {
        let entries = fs::read_dir(self.folder.join("checkpoints")).unwrap().flatten();
        let step = |name: String| name.strip_prefix("step-")?.parse().ok();
        entries.filter_map(|entry| step(entry.file_name().into_string().unwrap())).max().unwrap_or_default()
    }

    /// Drops the lines of steps that come again.
    fn cut(&self, from: u64) {
        let path = self.folder.join("metrics.jsonl");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let is_kept = |line: &&str| {
            serde_json::from_str::<serde_json::Value>(line).is_ok_and(|record| record["step"].as_u64().unwrap() <= from)
        };
        let kept: String = text.lines().filter(is_kept).map(|line| format!("{line}\n")).collect();
        let partial = path.with_extension("partial");
        fs::write(&partial, kept).unwrap();
        fs::rename(&partial, &path).unwrap();
    }

    fn event(&self, kind: &str, step: u64) {
        let run = self.folder.parent().unwrap();
        let out = run.parent().unwrap().parent().unwrap();
        let name = run.file_name().unwrap().to_str().unwrap();
        let mut events = File::options().create(true).append(true).open(out.join("events")).unwrap();
        events.write_all(format!("{kind} {name} {step} {}\n", std::process::id()).as_bytes()).unwrap();
    }
}

fn write_line(metrics: &mut File, record: &serde_json::Value) {
    metrics.write_all(format!("{record}\n").as_bytes()).unwrap();
}

fn get(config: &toml::Table, path: &str) -> Option<f64> {
    let mut value = config.get(path.split('.').next()?)?;
    for key in path.split('.').skip(1) {
        value = value.get(key)?;
    }
    value.as_float().or_else(|| value.as_integer().map(|number| number as f64))
}

fn set(config: &mut toml::Table, change: &str) {
    let (path, value) = change.split_once('=').unwrap();
    let value = toml::from_str::<toml::Table>(&format!("x = {value}")).unwrap()["x"].clone();
    let keys: Vec<&str> = path.split('.').collect();
    let mut table = config;
    for key in &keys[..keys.len() - 1] {
        let entry = table.entry(key.to_string()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = entry.as_table_mut().unwrap();
    }
    table.insert(keys[keys.len() - 1].to_owned(), value);
}

/// For the stage: a script that starts this binary in its part.
pub(crate) fn write_script(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let binary = std::env::current_exe().unwrap();
    let text = format!(
        "#!/bin/sh\nSWEEP_ARGS=$(printf '%s\\n' \"$@\")\nexport SWEEP_ARGS\nSWEEP_ROLE=train exec '{}' --exact role --nocapture\n",
        binary.display()
    );
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
