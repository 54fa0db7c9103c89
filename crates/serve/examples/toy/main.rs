//! Serves a model that is none, to see the page and to try clients:
//!
//! ```sh
//! cargo run --release -p interfuse-serve --example toy -- 8000
//! ```
//!
//! A second argument is the key that clients have to show.
//!
//! It ends when its input ends, or with Ctrl-C.

#![allow(clippy::print_stdout)] // An example is a program.

mod engine;
mod training;

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use interfuse_serve::{Key, ServeConfig, Served, serve, stop_switch};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(8000), |port| port.parse())?;
    let key = std::env::args().nth(2).map(Key::new);
    let config = ServeConfig { port, key, ..ServeConfig::default() };
    let step = Duration::from_millis(40);
    let toy = engine::Toy { step, word: Duration::from_millis(60), ..engine::Toy::quick(64) };
    let run = training::ToyTraining::new(1200, 4000, Duration::from_millis(200));
    let (switch, stopped) = stop_switch();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut vec![]);
        switch.stop();
    });
    let served = Served { engine: Box::new(toy), training: Some(Arc::new(run)) };
    serve(served, &config, |address| println!("http://{address}"), stopped)?;
    Ok(())
}
