//! Who starts a run. The real one starts a child process; tests start programs of their own.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Result, SweepError};

/// The variable by which a child learns how many threads it has.
pub const THREADS: &str = "RAYON_NUM_THREADS";

/// What a child is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The configuration.
    pub config: PathBuf,
    /// All changes to it, the run's folder among them.
    pub overrides: Vec<String>,
    /// Whether it goes on from a checkpoint.
    pub resume: bool,
    /// Threads that it has.
    pub threads: usize,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with an exit code.
    Code(i32),
    /// By a signal; 0 where the system does not say which.
    Signal(i32),
}

/// A child that was started.
pub trait Running {
    /// How it ended; nothing while it runs.
    ///
    /// # Errors
    /// The system does not say.
    fn ended(&mut self) -> Result<Option<Ended>>;

    /// Asks it to save and end.
    fn stop(&mut self);

    /// Ends it at once.
    fn kill(&mut self);
}

/// Starts runs.
pub trait Launcher {
    /// Starts one. What it writes is appended to `log`; `held` is the lock of the run, to be kept open for as long as it works.
    ///
    /// # Errors
    /// It cannot be started, or the log cannot be written.
    fn start(&self, work: &Work, log: &Path, held: File) -> Result<Box<dyn Running>>;
}

/// Asks children to save and end, and ends those at once that take longer than `grace`. Returns when none runs any more, or the
/// system does not say of one whether it does.
pub fn end_all(children: &mut [&mut dyn Running], grace: Duration, poll: Duration) {
    children.iter_mut().for_each(|child| child.stop());
    let asked = Instant::now();
    for child in children {
        while let Ok(None) = child.ended() {
            if asked.elapsed() >= grace {
                child.kill();
            }
            std::thread::sleep(poll);
        }
    }
}

/// A program that trains: `PROGRAM ARGUMENTS… train CONFIG --set … [--resume]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The program.
    pub path: PathBuf,
    /// Arguments before `train`, such as those of a launcher of several processes.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// A program without arguments of its own.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), arguments: vec![] }
    }

    /// The program and all its arguments.
    pub fn command(&self, work: &Work) -> Vec<OsString> {
        let mut command = vec![self.path.clone().into_os_string()];
        command.extend(self.arguments.iter().cloned());
        command.extend(["train".into(), work.config.clone().into_os_string()]);
        for change in &work.overrides {
            command.extend(["--set".into(), OsString::from(change)]);
        }
        command.extend(work.resume.then(|| "--resume".into()));
        command
    }
}

impl Launcher for Program {
    fn start(&self, work: &Work, log: &Path, held: File) -> Result<Box<dyn Running>> {
        let output = File::options().create(true).append(true).open(log).map_err(SweepError::file("write", log))?;
        let errors = output.try_clone().map_err(SweepError::file("write", log))?;
        let words = self.command(work);
        let mut command = Command::new(&self.path);
        command.args(&words[1..]).stdin(Stdio::from(held)).stdout(output).stderr(errors);
        command.env(THREADS, work.threads.to_string());
        let child = command.spawn().map_err(SweepError::file("start", &self.path))?;
        Ok(Box::new(RunningChild { child, program: self.path.clone() }))
    }
}

struct RunningChild {
    child: Child,
    program: PathBuf,
}

impl Running for RunningChild {
    fn ended(&mut self) -> Result<Option<Ended>> {
        let status = self.child.try_wait().map_err(SweepError::file("wait for", &self.program))?;
        Ok(status.map(|status| status.code().map_or(Ended::Signal(signal_of(status)), Ended::Code)))
    }

    fn stop(&mut self) {
        ask_to_end(&mut self.child);
    }

    fn kill(&mut self) {
        // A child that has ended already cannot be killed, and need not be.
        let _ = self.child.kill();
    }
}

#[cfg(unix)]
fn signal_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal().unwrap_or_default()
}

#[cfg(not(unix))]
fn signal_of(_: std::process::ExitStatus) -> i32 {
    0
}

#[cfg(unix)]
fn ask_to_end(child: &mut Child) {
    use nix::sys::signal::{Signal, kill};
    // Not waited for yet, so that the number is still this child's; one that has ended cannot be asked, and need not be.
    if let Ok(id) = i32::try_from(child.id()) {
        let _ = kill(nix::unistd::Pid::from_raw(id), Signal::SIGTERM);
    }
}

#[cfg(not(unix))]
fn ask_to_end(child: &mut Child) {
    let _ = child.kill();
}

/// A command as a line of shell, with its threads before it.
pub fn shell_line(command: &[OsString], threads: usize) -> String {
    let words = command.iter().map(|word| shell_word(&word.to_string_lossy()));
    std::iter::once(format!("{THREADS}={threads}")).chain(words).collect::<Vec<_>>().join(" ")
}

/// A word of a shell's command line, quoted where it must be.
pub fn shell_word(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:,+%@".contains(letter);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell_where_they_must_be() {
        assert_eq!(shell_word("runs/mine-2"), "runs/mine-2");
        assert_eq!(shell_word("a red apple"), "'a red apple'");
        assert_eq!(shell_word("it's $5"), r"'it'\''s $5'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn a_command_is_what_a_person_would_type() {
        let work = Work {
            config: "text config.toml".into(),
            overrides: vec!["run.dir=\"a/b\"".into(), "train.steps=3".into()],
            resume: true,
            threads: 2,
        };
        let line = shell_line(&Program::new("interfuse").command(&work), work.threads);
        assert_eq!(
            line,
            "RAYON_NUM_THREADS=2 interfuse train 'text config.toml' --set 'run.dir=\"a/b\"' --set train.steps=3 --resume"
        );
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let file = File::create(&path).unwrap();
        let work = Work { config: "c".into(), overrides: vec![], resume: false, threads: 1 };
        let started = Program::new("no/such/program").start(&work, &folder.path().join("log"), file);
        assert!(started.err().unwrap().to_string().starts_with("cannot start no/such/program"));
    }
}
