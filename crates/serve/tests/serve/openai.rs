//! OpenAI's own client, where it is installed.

use std::process::Command;

use interfuse_serve::Key;

use crate::support::Server;
use crate::toy::Toy;

/// Runs `openai_client.py` with the interpreter of `INTERFUSE_PYTHON`, or `python3`.
#[test]
#[allow(clippy::print_stderr)] // A test that is skipped says so.
fn the_python_client_understands_every_answer() {
    let python = std::env::var("INTERFUSE_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_client = Command::new(&python).args(["-c", "import openai"]).output();
    if !has_client.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {python} has no package `openai`");
        return;
    }
    let server = Server::start(Toy::quick(8), |config| config.key = Some(Key::new("correct-horse")));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/serve/openai_client.py");
    let output = Command::new(&python).arg(script).arg(format!("http://{}/v1", server.address)).output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}\n{}", said[0], said[1]);
    assert!(said[0].contains("all checks passed"), "{}", said[0]);
}
