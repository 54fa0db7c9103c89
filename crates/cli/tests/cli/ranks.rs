//! Several processes that train one model.

#![cfg(unix)]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::fixture::{Ended, Sandbox};
use crate::resume::wait_for_lines;

/// Who starts the processes. A script is given the program and its arguments as `"$0" "$@"`.
#[derive(Clone, Copy, Debug)]
enum Launcher {
    /// One that says by the environment where rank 0 is to be found, as `torchrun` does.
    Environment,
    /// `mpirun`; `.ci/run` installs it.
    #[cfg(feature = "mpi")]
    Mpi,
}

const LAUNCHERS: &[Launcher] = &[
    Launcher::Environment,
    #[cfg(feature = "mpi")]
    Launcher::Mpi,
];

impl Launcher {
    /// Starts so many processes. The shell knows the number of its rank as `$rank`, before and in `more` arguments, and runs
    /// `before` in the process that becomes the program.
    fn script(self, ranks: usize, before: &str, more: &str) -> String {
        match self {
            Self::Environment => {
                let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|found| found.local_addr());
                let port = free.expect("a port").port();
                format!(
                    "start() {{ rank=$1; shift; {before} exec \"$@\" {more}; }}
                    pids=
                    for rank in $(seq 0 {last}); do
                        export RANK=$rank WORLD_SIZE={ranks} MASTER_ADDR=127.0.0.1 MASTER_PORT={port}
                        (start $rank \"$0\" \"$@\") & pids=\"$pids $!\"
                    done
                    code=0
                    for pid in $pids; do wait $pid || code=$?; done
                    exit $code",
                    last = ranks - 1
                )
            }
            // Also as root and with more ranks than cores.
            #[cfg(feature = "mpi")]
            Self::Mpi => format!(
                "exec mpirun --allow-run-as-root --oversubscribe -n {ranks} sh -c \
                 'rank=$OMPI_COMM_WORLD_RANK; {before} exec \"$0\" \"$@\" {more}' \"$0\" \"$@\""
            ),
        }
    }

    /// Six micro-batches a step, so that 1, 2 and 3 ranks have equal shares and 4 have not.
    fn train(self, sandbox: &Sandbox, ranks: usize, changes: &[&str]) -> Ended {
        sandbox.in_shell(&self.script(ranks, "", ""), &arguments(&["train.gradient_accumulation=6"], changes))
    }
}

fn arguments<'a>(settings: &[&'a str], changes: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["train", "tiny.toml"];
    for change in settings.iter().chain(changes) {
        all.extend(if change.starts_with("--") { vec![*change] } else { vec!["--set", change] });
    }
    all
}

/// Everything that a resume needs, byte by byte, and the losses of all steps.
fn result(sandbox: &Sandbox, run: &str) -> (Vec<Vec<u8>>, Vec<String>) {
    let files = ["model", "ema", "training_state/optimizer"].map(|name| format!("{name}.safetensors"));
    let files = files.iter().map(String::as_str).chain(["training_state/state.json"]);
    let bytes = files.map(|name| sandbox.bytes(&format!("{run}/checkpoints/step-000006/{name}")));
    let lines = sandbox.json_lines(&format!("{run}/metrics.jsonl")).into_iter();
    (bytes.collect(), lines.map(|line| line["loss"].to_string()).collect())
}

#[cfg(not(feature = "mpi"))]
#[test]
fn a_launcher_without_a_program_for_it_is_refused() {
    let sandbox = Sandbox::new();
    let start = |variable: &str| sandbox.in_shell(&format!("{variable}=2 \"$0\" \"$@\""), &["train", "tiny.toml"]);
    start("OMPI_COMM_WORLD_SIZE").refused(&["OMPI_COMM_WORLD_SIZE = 2", "--features mpi"]);
    start("WORLD_SIZE").refused(&["RANK: expected a number from 0 to 1", "WORLD_SIZE = 2"]);
    assert!(!sandbox.path("run").exists());
}

#[test]
fn any_number_of_processes_leaves_the_same_bytes() {
    let sandbox = Sandbox::new();
    sandbox.train(&["train.gradient_accumulation=6", "run.dir=alone"]).succeeded();
    let expected = result(&sandbox, "alone");
    for &launcher in LAUNCHERS {
        for ranks in [1, 2, 3, 4] {
            let folder = format!("{launcher:?}-{ranks}");
            let ended = launcher.train(&sandbox, ranks, &[&format!("run.dir={folder}")]).succeeded();
            assert_eq!(ended.stdout.matches("trained 6 steps").count(), 1, "one rank speaks: {}", ended.stdout);
            assert_eq!(result(&sandbox, &folder), expected, "{launcher:?}, {ranks} ranks");
        }
    }
}

/// AdamW and Muon, of which the second remembers less.
#[test]
fn moments_in_shares_leave_the_same_bytes() {
    let sandbox = Sandbox::new();
    for matrices in ["optimizer.matrices=adamw", "optimizer.matrices=muon"] {
        let alone = format!("run.dir=alone-{matrices}");
        sandbox.train(&["train.gradient_accumulation=6", matrices, &alone]).succeeded();
        let expected = result(&sandbox, &alone["run.dir=".len()..]);
        for &launcher in LAUNCHERS {
            let folder = format!("{launcher:?}-{matrices}");
            let changes = [matrices, "optimizer.sharded=true", &format!("run.dir={folder}")];
            launcher.train(&sandbox, 3, &changes).succeeded();
            assert_eq!(result(&sandbox, &folder), expected, "{launcher:?}, {matrices}");
            // And on, with other shares, or with none.
            for ranks in [2, 1] {
                std::fs::remove_dir_all(sandbox.path(&format!("{folder}/checkpoints/step-000006"))).expect("removed");
                launcher.train(&sandbox, ranks, &[&changes[..], &["--resume"]].concat()).succeeded();
                assert_eq!(result(&sandbox, &folder), expected, "{launcher:?}, {matrices}, resumed by {ranks}");
            }
        }
    }
}

#[test]
fn a_resume_goes_on_with_another_number_of_processes() {
    for launcher in LAUNCHERS {
        let sandbox = Sandbox::new();
        sandbox.train(&["train.gradient_accumulation=6", "run.dir=alone"]).succeeded();
        // The learning rate depends on the number of steps, so the run is cut short by its files.
        launcher.train(&sandbox, 3, &[]).succeeded();
        std::fs::remove_dir_all(sandbox.path("run/checkpoints/step-000006")).expect("removed");
        launcher.train(&sandbox, 2, &["--resume"]).succeeded();
        assert_eq!(result(&sandbox, "run"), result(&sandbox, "alone"));
    }
}

#[test]
fn ranks_that_differ_end_with_the_reason_and_leave_nothing() {
    for launcher in LAUNCHERS {
        let sandbox = Sandbox::new();
        let args = arguments(&["train.gradient_accumulation=2"], &[]);
        let ended = sandbox.in_shell(&launcher.script(2, "", "--set run.seed=$rank"), &args);
        assert_ne!(ended.code, Some(0));
        assert!(ended.stderr.contains("expected the same configuration on every rank"), "{}", ended.stderr);
        assert!(!sandbox.path("run").exists());
        let ended = launcher.train(&sandbox, 7, &[]);
        assert!(ended.stderr.contains("expected at least 7, a micro-batch for each rank, found 6"), "{}", ended.stderr);
    }
}

#[test]
fn a_process_that_dies_ends_all_and_the_last_checkpoint_stays_whole() {
    let settings = ["train.steps=100000", "intervals.checkpoint=5", "intervals.preview=0", "intervals.validation=0"];
    for launcher in LAUNCHERS {
        let sandbox = Sandbox::new();
        let args = arguments(&settings, &["train.gradient_accumulation=2"]);
        // Rank 1 leaves its number behind, so that it alone can be killed.
        sandbox.write("leave.sh", "echo $PPID > victim");
        let script = launcher.script(2, "if [ $rank = 1 ]; then sh leave.sh; fi;", "");
        let ended = std::thread::scope(|scope| {
            let training = scope.spawn(|| sandbox.in_shell(&script, &args));
            wait_for_lines(&sandbox, "run/metrics.jsonl", 12);
            let victim = String::from_utf8(sandbox.bytes("victim")).expect("a number");
            let killed = Instant::now();
            sandbox.in_shell(&format!("kill -KILL {}", victim.trim()), &[]).succeeded();
            let ended = training.join().expect("it ends");
            assert!(killed.elapsed() < Duration::from_secs(60));
            ended
        });
        assert_ne!(ended.code, Some(0));
        sandbox.interfuse(&["sample", "run", "red", "--out", "generated"]).succeeded();
    }
}
