//! `interfuse serve`: a page to play with, and the same over HTTP in OpenAI's form.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use interfuse_run::serving::{ModelEngine, RunTraining};
use interfuse_serve::engine::{Engine, Idle};
use interfuse_serve::training::Training;
use interfuse_serve::{Key, ServeConfig, Served, serve, stop_switch};

use crate::args::ServeArgs;
use crate::print::say;
use crate::stopping::stop_saying;

/// Between looks at whether the server is to end.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let config = ServeConfig {
        host: args.host,
        port: args.port,
        key: key(args)?,
        names: args.names.clone(),
        ..ServeConfig::default()
    };
    let is_run = args.model.run.join("config.toml").is_file();
    let has_model =
        !is_run || args.model.run.join("checkpoints").read_dir().is_ok_and(|mut found| found.next().is_some());
    let engine: Box<dyn Engine> = match has_model {
        true => Box::new(ModelEngine::new(args.model.open()?)),
        // A training that has not come to its first checkpoint can be watched all the same.
        false => {
            say!("no checkpoint yet, so there is training to watch and nothing to draw; start again once there is one");
            Box::new(Idle { id: "interfuse".into() })
        }
    };
    let training = is_run.then(|| Arc::new(RunTraining::new(args.model.run.clone())) as Arc<dyn Training>);
    let (switch, stopped) = stop_switch();
    let stop = stop_saying("ending when what is being answered is done; Ctrl-C again ends at once")?;
    std::thread::spawn(move || wait(&stop, || switch.stop()));
    let bound = |address| say!("http://{address}  (Ctrl-C ends the server)");
    Ok(serve(Served { engine, training }, &config, bound, stopped)?)
}

/// Does something once a flag is set.
fn wait(stop: &AtomicBool, then: impl FnOnce()) {
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
    }
    then();
}

/// What clients have to show.
fn key(args: &ServeArgs) -> anyhow::Result<Option<Key>> {
    let Some(path) = &args.key_file else { return Ok(None) };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let first = text.lines().next().unwrap_or_default().trim();
    Ok(Some(Key::new(first)))
}
