//! Several processes that train one model.

#![cfg(unix)]

#[cfg(feature = "mpi")]
use crate::fixture::Ended;
use crate::fixture::Sandbox;

#[cfg(not(feature = "mpi"))]
#[test]
fn a_launcher_without_a_program_for_it_is_refused() {
    let sandbox = Sandbox::new();
    let start = |variable: &str| sandbox.in_shell(&format!("{variable}=2 \"$0\" \"$@\""), &["train", "tiny.toml"]);
    start("OMPI_COMM_WORLD_SIZE").refused(&["OMPI_COMM_WORLD_SIZE = 2", "--features mpi"]);
    start("WORLD_SIZE").refused(&["WORLD_SIZE = 2", "mpirun"]);
    assert!(!sandbox.path("run").exists());
}

/// With an MPI library and its launcher; `.ci/run` installs them.
#[cfg(feature = "mpi")]
mod launched {
    use std::time::{Duration, Instant};

    use super::{Ended, Sandbox};
    use crate::resume::wait_for_lines;

    /// The launcher, also as root and with more ranks than cores.
    const LAUNCHER: &str = "mpirun --allow-run-as-root --oversubscribe";

    /// Six micro-batches a step, so that 1, 2 and 3 ranks have equal shares and 4 have not.
    fn train(sandbox: &Sandbox, ranks: usize, changes: &[&str]) -> Ended {
        let mut args = vec!["train", "tiny.toml", "--set", "train.gradient_accumulation=6"];
        for change in changes {
            args.extend(if change.starts_with("--") { vec![*change] } else { vec!["--set", change] });
        }
        sandbox.in_shell(&format!("exec {LAUNCHER} -n {ranks} \"$0\" \"$@\""), &args)
    }

    /// Everything that a resume needs, byte by byte, and the losses of all steps.
    fn result(sandbox: &Sandbox, run: &str) -> (Vec<Vec<u8>>, Vec<String>) {
        let files = ["model", "ema", "training_state/optimizer"].map(|name| format!("{name}.safetensors"));
        let files = files.iter().map(String::as_str).chain(["training_state/state.json"]);
        let bytes = files.map(|name| sandbox.bytes(&format!("{run}/checkpoints/step-000006/{name}")));
        let lines = sandbox.json_lines(&format!("{run}/metrics.jsonl")).into_iter();
        (bytes.collect(), lines.map(|line| line["loss"].to_string()).collect())
    }

    #[test]
    fn any_number_of_processes_leaves_the_same_bytes() {
        let sandbox = Sandbox::new();
        sandbox.train(&["train.gradient_accumulation=6", "run.dir=alone"]).succeeded();
        let expected = result(&sandbox, "alone");
        for (ranks, folder) in [(1, "run.dir=one"), (2, "run.dir=two"), (3, "run.dir=three"), (4, "run.dir=four")] {
            let ended = train(&sandbox, ranks, &[folder]).succeeded();
            assert_eq!(ended.stdout.matches("trained 6 steps").count(), 1, "one rank speaks: {}", ended.stdout);
            assert_eq!(result(&sandbox, &folder["run.dir=".len()..]), expected, "{ranks} ranks");
        }
    }

    #[test]
    fn a_resume_goes_on_with_another_number_of_processes() {
        let sandbox = Sandbox::new();
        sandbox.train(&["train.gradient_accumulation=6", "run.dir=alone"]).succeeded();
        // The learning rate depends on the number of steps, so the run is cut short by its files.
        train(&sandbox, 3, &[]).succeeded();
        std::fs::remove_dir_all(sandbox.path("run/checkpoints/step-000006")).expect("removed");
        train(&sandbox, 2, &["--resume"]).succeeded();
        assert_eq!(result(&sandbox, "run"), result(&sandbox, "alone"));
    }

    #[test]
    fn ranks_that_differ_end_with_the_reason_and_leave_nothing() {
        let sandbox = Sandbox::new();
        let one = |seed: u32| format!("-n 1 \"$0\" \"$@\" --set run.seed={seed}");
        let args = ["train", "tiny.toml", "--set", "train.gradient_accumulation=2"];
        let ended = sandbox.in_shell(&format!("exec {LAUNCHER} {} : {}", one(1), one(2)), &args);
        assert_ne!(ended.code, Some(0));
        assert!(ended.stderr.contains("expected the same configuration on every rank"), "{}", ended.stderr);
        assert!(!sandbox.path("run").exists());
        let ended = train(&sandbox, 7, &[]);
        assert!(ended.stderr.contains("expected at least 7, a micro-batch for each rank, found 6"), "{}", ended.stderr);
    }

    #[test]
    fn a_process_that_dies_ends_all_and_the_last_checkpoint_stays_whole() {
        let sandbox = Sandbox::new();
        let long = ["train.steps=100000", "intervals.checkpoint=5", "intervals.preview=0", "intervals.validation=0"];
        let mut args: Vec<&str> = vec!["train", "tiny.toml"];
        for change in long.into_iter().chain(["train.gradient_accumulation=2"]) {
            args.extend(["--set", change]);
        }
        // Rank 1 leaves its number behind, so that it alone can be killed.
        let rank = "[ \"$OMPI_COMM_WORLD_RANK\" = 1 ] && echo $$ > victim; exec \"$0\" \"$@\"";
        sandbox.write("rank.sh", rank);
        let script = format!("exec {LAUNCHER} -n 2 sh -c \"$(cat rank.sh)\" \"$0\" \"$@\"");
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
