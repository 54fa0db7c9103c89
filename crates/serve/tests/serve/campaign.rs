//! Many clients for a long time: what is lost, how long answers take, and whether memory grows.
//!
//! ```sh
//! INTERFUSE_SECONDS=120 cargo test --release -p interfuse-serve --test serve -- --ignored --nocapture campaign
//! ```

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::chat::image_part;
use crate::support::{Client, Server, head};
use crate::toy::Toy;

const CLIENTS: u64 = 64;
const KINDS: [&str; 5] = ["image", "image, streamed", "caption", "document, streamed", "wrong"];

/// Answers by how many tenths of a millisecond they took; it takes up the same memory however many they are.
struct Times(Vec<AtomicU32>);

impl Times {
    fn new() -> Self {
        Self((0..100_000).map(|_| AtomicU32::new(0)).collect())
    }

    fn note(&self, took: Duration) {
        let place = (took.as_micros() / 100) as usize;
        self.0[place.min(self.0.len() - 1)].fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Milliseconds within which this part of the answers came.
    fn within(&self, part: f64) -> f64 {
        let wanted = (f64::from(self.count()) * part).ceil() as u32;
        let mut seen = 0;
        let place = self.0.iter().position(|count| {
            seen += count.load(Ordering::Relaxed);
            seen >= wanted
        });
        place.map_or(f64::NAN, |place| (place + 1) as f64 / 10.0)
    }
}

/// Memory of this process in MiB: server, model and clients.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN);
    kib / 1024.0
}

/// Asks once and checks the answer. Returns the kind of request, or none for a client that goes away.
fn ask(client: &mut Client, server: &Server, number: u64) -> Option<usize> {
    let images = "/v1/images/generations";
    let chat = "/v1/chat/completions";
    let seed = number % 100;
    let expect = |kind: usize, answer: crate::support::Answer, holds: bool| {
        assert!(holds, "{}: {} {}", KINDS[kind], answer.status, answer.text());
        Some(kind)
    };
    match number % 12 {
        0..=4 => {
            let answer =
                client.post(images, &json!({ "prompt": "hills", "seed": seed, "steps": 4, "n": 1 + number % 3 }));
            let count = answer.json()["data"].as_array().map_or(0, Vec::len) as u64;
            expect(0, answer, count == 1 + number % 3)
        }
        5..=6 => {
            let body = json!({ "prompt": "sea", "seed": seed, "steps": 4, "stream": true, "partial_images": 2 });
            let answer = client.post(images, &body);
            let is_complete = answer.events().last().is_some_and(|(name, _)| name == "image_generation.completed");
            expect(1, answer, is_complete)
        }
        7..=8 => {
            let answer = client.post(chat, &json!({ "messages": [{ "role": "user", "content": [image_part(9)] }] }));
            let holds = answer.json()["choices"][0]["finish_reason"] == "stop";
            expect(2, answer, holds)
        }
        9 => {
            let body = json!({
                "messages": [{ "role": "user", "content": "" }], "modalities": ["text", "image"], "stream": true
            });
            let answer = client.post(chat, &body);
            let is_complete = answer.events().last().is_some_and(|(_, data)| data == "[DONE]");
            expect(3, answer, is_complete)
        }
        10 => {
            let answer = client.post(images, &json!({ "prompt": "x", "steps": 0 }));
            let holds = answer.status == 400;
            expect(4, answer, holds)
        }
        _ => {
            let body = json!({ "prompt": "gone", "steps": 250 }).to_string();
            client.write(&head(images, "application/json", body.len()), body.as_bytes());
            *client = server.client();
            None
        }
    }
}

#[test]
#[ignore = "takes minutes"]
#[allow(clippy::print_stdout)] // It is run for its numbers.
fn campaign() {
    let seconds = std::env::var("INTERFUSE_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(120);
    let toy = Toy { step: Duration::from_millis(1), ..Toy::quick(32) };
    let server = Server::start(toy, |config| config.queue = 1024);
    let times = KINDS.map(|_| Times::new());
    let began = Instant::now();
    let lasts = Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        for lane in 0..CLIENTS {
            let (server, times) = (&server, &times);
            scope.spawn(move || {
                let mut client = server.client();
                for number in 0.. {
                    let asked = Instant::now();
                    if asked.duration_since(began) > lasts {
                        break;
                    }
                    if let Some(kind) = ask(&mut client, server, lane * 7 + number) {
                        times[kind].note(asked.elapsed());
                    }
                }
            });
        }
        for quarter in 1..=4 {
            let until = lasts * quarter / 4;
            std::thread::sleep(until.saturating_sub(began.elapsed()));
            println!("after {:>4.0} s: {:.1} MiB", began.elapsed().as_secs_f64(), memory());
        }
    });
    for (kind, times) in KINDS.iter().zip(times) {
        let [middle, most, last] = [0.5, 0.95, 1.0].map(|part| times.within(part));
        println!(
            "{kind:>18}: {:>6} answers, p50 {middle:.1} ms, p95 {most:.1} ms, longest {last:.1} ms",
            times.count()
        );
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.get("/status").json()["load"], json!({ "waiting": 0, "running": 0 }));
}
