//! A disk that is full when a checkpoint is due.

#![cfg(unix)]

use crate::fixture::Sandbox;

/// A limit on the size of files, below that of the weights and above that of the curves, stands in for a full disk: writing
/// fails in the same place, with an error of the system. Without the trap the limit would end the program by a signal.
const FULL: &str = "ulimit -f 64; trap '' XFSZ";

#[test]
fn a_full_disk_is_an_error_and_the_older_checkpoint_survives() {
    let sandbox = Sandbox::trained();
    let weights = "run/checkpoints/step-000006/model.safetensors";
    let before = sandbox.bytes(weights);
    assert!(before.len() > 64 * 1024, "the limit would not bite");

    let ended = sandbox.train_after(FULL, &["train.steps=9", "--resume"]);
    let last_good = "the last good checkpoint is run/checkpoints/step-000006";
    ended.refused(&[last_good, "step-000009", "model.safetensors", "File too large"]);

    assert_eq!(sandbox.names("run/checkpoints"), ["step-000003", "step-000006"], "a partial save was left behind");
    assert!(sandbox.bytes(weights) == before, "the older checkpoint was touched");
    sandbox.interfuse(&["sample", "run", "red", "--count", "1", "--out", "generated"]).succeeded();

    // Once there is room again, the run goes on.
    sandbox.train(&["train.steps=9", "--resume"]).succeeded().said(&["resuming from run/checkpoints/step-000006"]);
}
