//! A sweep of eight small runs in a folder of its own, and what happened in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use interfuse_scaling::table::Run;
use interfuse_sweep::running::{RunPlace, State};
use interfuse_sweep::{Plan, Program, Sweep, SweepOptions, sweep};

use super::program::write_script;

pub(crate) struct Stage {
    folder: tempfile::TempDir,
}

/// A line of the programs' common log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) run: String,
    pub(crate) step: u64,
    pub(crate) process: i32,
}

const SWEEP: &str = r#"
sizes = ["8K", "16K"]
tokens = ["20K", "40K"]
least_steps = 50

[modalities.text]
unique_tokens = "10K"

[modalities.speech]
loss = "held_out/speech_loss"

[[groups]]
modalities = ["text"]
config = "text.toml"
tokens_per_document = 10.0

[[groups]]
modalities = ["speech", "text"]
config = "both.toml"
tokens_per_document = 10.0
"#;

const MODEL: &str = "[train]\nbatch_size = 8\n[model.backbone]\nqk_norm = true\n[model.modalities.text]\n[tokenizer]\npath = \"t.json\"\n";

impl Stage {
    /// With something more in the groups' configurations.
    pub(crate) fn new(more: &str) -> Self {
        let stage = Self { folder: tempfile::tempdir().unwrap() };
        let path = |name: &str| stage.folder.path().join(name);
        std::fs::write(path("sweep.toml"), SWEEP).unwrap();
        std::fs::write(path("text.toml"), format!("{MODEL}{more}")).unwrap();
        std::fs::write(path("both.toml"), format!("{MODEL}[model.modalities.speech]\n{more}")).unwrap();
        write_script(&path("program"));
        stage
    }

    pub(crate) fn with_loss(name: &str) -> Self {
        let stage = Self::new("");
        stage.change("held_out/speech_loss", name);
        stage
    }

    pub(crate) fn change(&self, from: &str, to: &str) {
        let path = self.folder.path().join("sweep.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    pub(crate) fn plan(&self) -> Plan {
        plan_of(&self.folder.path().join("sweep.toml"))
    }

    /// The sweep over its batches.
    pub(crate) fn batch_plan(&self) -> Result<Plan, interfuse_sweep::SweepError> {
        Plan::of_batches(&Sweep::load(&self.folder.path().join("sweep.toml"))?, None)
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    pub(crate) fn program(&self) -> Program {
        Program::new(self.folder.path().join("program"))
    }

    pub(crate) fn run_folder(&self, name: &str) -> PathBuf {
        self.out().join("runs").join(name)
    }

    /// A sweep in a process of its own.
    pub(crate) fn spawn(&self, at_once: usize, job: Option<&str>) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "role", "--nocapture"])
            .env("SWEEP_ROLE", "sweep")
            .env("SWEEP_STAGE", self.folder.path())
            .env("SWEEP_AT_ONCE", at_once.to_string())
            .env("SWEEP_JOB", job.unwrap_or_default())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        let text = std::fs::read_to_string(self.out().join("events")).unwrap_or_default();
        let of = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let (kind, run) = (words[0].to_owned(), words[1].to_owned());
            Event { kind, run, step: words[2].parse().unwrap(), process: words[3].parse().unwrap() }
        };
        text.lines().map(of).collect()
    }

    pub(crate) fn wait_for_events(&self, count: usize) {
        for _ in 0..2000 {
            if self.events().len() >= count {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("nothing was started");
    }

    /// Programs of this stage that are still running.
    pub(crate) fn programs(&self) -> Vec<i32> {
        let is_ours = |process: i32| {
            let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
            let folder = self.folder.path().display().to_string();
            String::from_utf8_lossy(&environment).contains(&folder)
        };
        let started = self.events().into_iter().filter(|event| event.kind == "start").map(|event| event.process);
        started.filter(|process| is_ours(*process)).collect()
    }

    pub(crate) fn kill_programs(&self) {
        for process in self.programs() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// The markers of finished runs, of which those that were known must be as they were.
    pub(crate) fn finished_files(&self, known: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let read = |name: &str| std::fs::read_to_string(self.run_folder(name).join("finished.json")).ok();
        let names = self.plan().runs.into_iter().map(|run| run.name);
        let found: BTreeMap<String, String> = names.filter_map(|name| Some((name.clone(), read(&name)?))).collect();
        for (name, text) in known {
            assert_eq!(found.get(name), Some(text), "a finished run was lost or made again");
        }
        found
    }

    pub(crate) fn row(&self, name: &str) -> Run {
        match RunPlace::new(&self.out(), name).state().unwrap() {
            State::Finished(finished) => finished.row,
            other => panic!("{name} is {other:?}"),
        }
    }
}

fn plan_of(path: &Path) -> Plan {
    Plan::new(&Sweep::load(path).unwrap(), None).unwrap()
}

/// Plays the part of a sweep that can be killed.
pub(crate) fn main() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let folder = PathBuf::from(variable("SWEEP_STAGE"));
    let job = variable("SWEEP_JOB");
    let options = SweepOptions {
        at_once: variable("SWEEP_AT_ONCE").parse().unwrap(),
        job: (!job.is_empty()).then(|| job.parse().unwrap()),
        poll: Duration::from_millis(5),
        ..SweepOptions::default()
    };
    let program = Program::new(folder.join("program"));
    let plan = plan_of(&folder.join("sweep.toml"));
    let done = sweep(&plan, &folder.join("out"), &program, &options, &AtomicBool::new(false), &mut |_| {});
    std::process::exit(i32::from(done.is_err()));
}
