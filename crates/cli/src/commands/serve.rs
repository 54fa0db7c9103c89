//! `interfuse serve`: a page to play with, and the same over HTTP in OpenAI's form.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use interfuse_run::serving::{ModelEngine, RunTraining};
use interfuse_serve::engine::Idle;
use interfuse_serve::training::Training;
use interfuse_serve::{Key, ServeConfig, Served, serve, stop_switch};

use crate::args::ServeArgs;
use crate::print::say;
use crate::stopping::stop_saying;

/// Between looks at whether the server is to end.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let mut config = ServeConfig {
        host: args.host,
        port: args.port,
        key: key(args)?,
        names: args.names.clone(),
        ..ServeConfig::default()
    };
    let run = &args.model.run;
    let is_run = run.join("config.toml").is_file();
    let training = || is_run.then(|| Arc::new(RunTraining::new(run.clone())) as Arc<dyn Training>);
    let stop = stop_saying("ending when what is being answered is done; Ctrl-C again ends at once")?;
    let asked = {
        let stop = Arc::clone(&stop);
        move || stop.load(Ordering::Relaxed)
    };
    if is_run && !has_checkpoint(run) {
        // A training that has not come to its first checkpoint can be watched all the same.
        say!("no checkpoint yet, so there is training to watch and nothing to draw until there is one");
        let idle = Served { engine: Box::new(Idle { id: "interfuse".into() }), training: training() };
        let (asked, run) = (asked.clone(), run.clone());
        // The model comes at the same address, also where the system chose it.
        config.port = serve_until(idle, &config, move || asked() || has_checkpoint(&run))?;
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        say!("the first checkpoint is there; who had the page open loads it again to draw");
    }
    let engine = Box::new(ModelEngine::new(args.model.open()?));
    serve_until(Served { engine, training: training() }, &config, asked)?;
    Ok(())
}

/// Serves until `ends` says so, and gives the port.
fn serve_until(served: Served, config: &ServeConfig, ends: impl Fn() -> bool + Send + 'static) -> anyhow::Result<u16> {
    let (switch, stopped) = stop_switch();
    std::thread::spawn(move || {
        while !ends() {
            std::thread::sleep(LOOK);
        }
        switch.stop();
    });
    let mut port = config.port;
    let bound = |address: SocketAddr| {
        port = address.port();
        say!("http://{address}  (Ctrl-C ends the server)");
    };
    serve(served, config, bound, stopped)?;
    Ok(port)
}

/// Whether a run has come to its first checkpoint. One that is being written has another name.
fn has_checkpoint(run: &Path) -> bool {
    let is_whole =
        |name: &str| name.strip_prefix("step-").is_some_and(|step| step.bytes().all(|byte| byte.is_ascii_digit()));
    let found = run.join("checkpoints").read_dir();
    found.is_ok_and(|found| found.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_whole)))
}

/// What clients have to show.
fn key(args: &ServeArgs) -> anyhow::Result<Option<Key>> {
    let Some(path) = &args.key_file else { return Ok(None) };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let first = text.lines().next().unwrap_or_default().trim();
    Ok(Some(Key::new(first)))
}
