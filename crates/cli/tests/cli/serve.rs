//! A trained model behind the server: the same images and captions as the commands give.

#![cfg(all(unix, feature = "serve"))]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::fixture::{COLOURS, Sandbox};
use crate::resume::send;

/// A server of the sandbox's run; it is killed when a test fails.
struct Server {
    program: Child,
    address: String,
}

impl Server {
    fn of(sandbox: &Sandbox) -> Self {
        let mut program = sandbox.start(&["serve", "run", "--port", "0"]);
        let output = program.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(output).lines().map(|line| line.expect("a line"));
        let line = lines.find(|line| line.starts_with("http://")).expect("an address");
        let address = line.trim_start_matches("http://").split_whitespace().next().unwrap_or_default().to_string();
        assert!(address.starts_with("127.0.0.1:"), "{line:?}");
        Self { program, address }
    }

    /// Status and body of the answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        self.try_to_ask(method, path, body).expect("an answer in time")
    }

    /// As [`Self::ask`]; nothing where nobody listens or the connection ends before its time.
    fn try_to_ask(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        let mut connection = TcpStream::connect(&self.address).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        connection.write_all(format!("{head}{body}").as_bytes()).ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Some((status, body.to_string()))
    }

    fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask("POST", path, &body.to_string());
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str(&answer).expect("JSON")
    }

    /// Ends it by a signal, and says how it ended.
    fn end(mut self, signal: &str) -> Option<i32> {
        send(&self.program, signal);
        self.program.wait().expect("it ends").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[test]
fn draws_and_captions_as_the_commands_do_and_ends_in_order() {
    let sandbox = Sandbox::trained();
    sandbox.interfuse(&["sample", "run", "red", "--count", "2", "--seed", "5", "--out", "drawn"]).succeeded();
    let captioned = sandbox.interfuse(&["caption", "run", "drawn/000000.png"]).succeeded().stdout;
    let server = Server::of(&sandbox);

    let order = json!({ "prompt": "red", "n": 2, "seed": 5, "response_format": "b64_json" });
    let images = server.post("/v1/images/generations", order);
    for index in 0..2 {
        let png = images["data"][index]["b64_json"].as_str().expect("an image");
        let png = BASE64_STANDARD.decode(png).expect("base64");
        let found = image::load_from_memory(&png).expect("an image").to_rgb8();
        let expected = image::open(sandbox.path(&format!("drawn/00000{index}.png"))).expect("an image").to_rgb8();
        assert_eq!(found, expected, "image {index}");
    }
    // Alone, the second is what it is in a batch.
    let alone =
        server.post("/v1/images/generations", json!({ "prompt": "red", "seed": 6, "response_format": "b64_json" }));
    assert_eq!(alone["data"][0]["b64_json"], images["data"][1]["b64_json"]);

    let url = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(sandbox.bytes("drawn/000000.png")));
    let content = json!([{ "type": "image_url", "image_url": { "url": url } }]);
    let answer = server.post("/v1/chat/completions", json!({ "messages": [{ "role": "user", "content": content }] }));
    let caption = answer["choices"][0]["message"]["content"].as_str().expect("a caption").to_string();
    assert!(captioned.contains(caption.trim()), "{caption:?} is not in {captioned:?}");

    let models = server.ask("GET", "/v1/models", "");
    assert!(models.0 == 200 && models.1.contains("\"run\""), "{models:?}");
    assert_eq!(server.ask("POST", "/v1/images/generations", "{\"prompt\": 3}").0, 400);
    assert_eq!(server.end("TERM"), Some(0));
}

/// The second question about an image, by the server with the first in the same request, and by `ask`.
#[test]
fn a_conversation_is_answered_as_by_the_command_line() {
    let sandbox = Sandbox::new();
    let turns = |name: &str| {
        let says = |from: &str, value: &str| json!({ "from": from, "value": value });
        json!([says("human", "<image>\nwhat?"), says("gpt", name), says("human", "sure?"), says("gpt", "yes")])
    };
    let rows =
        COLOURS.map(|(name, _)| json!({ "image": format!("{name}.png"), "conversations": turns(name) }).to_string());
    sandbox.write("questions.jsonl", rows.join("\n"));
    let source = "{kind='files',files=['questions.jsonl'],layout={kind='conversation'},images='images'}";
    let questions = format!("{{name='questions',content={{kind='conversations',source={source}}}}}");
    let mixture = format!("data.mixture=[{{name='captioned',content={{kind='images'}}}},{questions}]");
    // Whoever learned so little goes on for long, and a conversation may be no longer than those of training.
    sandbox.train(&[&mixture, "sampling.max_caption_tokens=2"]).succeeded();
    let ended = sandbox.interfuse(&["ask", "run", "images/blue.png", "what?", "sure?", "--json"]).succeeded();
    let asked: Value = serde_json::from_str(&ended.stdout).expect("one value");
    let said = |question: usize| asked["answers"][question]["answer"].as_str().expect("an answer").to_string();

    let server = Server::of(&sandbox);
    let url = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(sandbox.bytes("images/blue.png")));
    let image = json!({ "type": "image_url", "image_url": { "url": url } });
    let first = json!({ "role": "user", "content": [image, { "type": "text", "text": "what?" }] });
    let answered = json!({ "role": "assistant", "content": said(0) });
    let behind = |text: &str| json!({ "messages": [first, answered, { "role": "user", "content": text }] });
    let answer = server.post("/v1/chat/completions", behind("sure?"));
    assert_eq!(answer["choices"][0]["message"]["content"].as_str().map(str::trim), Some(said(1).trim()), "{answer}");

    let long = behind(&"sure? ".repeat(40)).to_string();
    let (status, refused) = server.ask("POST", "/v1/chat/completions", &long);
    assert!(status == 400 && refused.contains("tokens") && refused.contains("too many"), "{status}: {refused}");
    assert_eq!(server.end("TERM"), Some(0));
}

#[test]
fn the_first_checkpoint_of_a_watched_training_is_served() {
    let sandbox = Sandbox::trained();
    // A training that has not come so far yet.
    std::fs::rename(sandbox.path("run/checkpoints"), sandbox.path("later")).expect("moved");
    let server = Server::of(&sandbox);
    let models = server.ask("GET", "/v1/models", "");
    assert!(models.0 == 200 && models.1.contains("\"interfuse\""), "{models:?}");
    let order = json!({ "prompt": "red", "response_format": "b64_json" }).to_string();
    assert_ne!(server.ask("POST", "/v1/images/generations", &order).0, 200);

    std::fs::rename(sandbox.path("later"), sandbox.path("run/checkpoints")).expect("moved");
    let started = Instant::now();
    while server.try_to_ask("POST", "/v1/images/generations", &order).is_none_or(|(status, _)| status != 200) {
        assert!(started.elapsed() < Duration::from_secs(60), "it was not picked up");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(server.ask("GET", "/v1/models", "").1.contains("\"run\""));
    assert_eq!(server.end("TERM"), Some(0));
}

#[test]
fn what_cannot_be_served_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.interfuse(&["serve", "nowhere"]).refused(&["nowhere"]);
    std::fs::create_dir(sandbox.path("empty")).expect("a folder");
    sandbox.interfuse(&["serve", "empty"]).refused(&["empty"]);
    sandbox.train(&[]).succeeded();
    sandbox.interfuse(&["serve", "run", "--host", "0.0.0.0"]).refused(&["host", "key"]);
    let server = Server::of(&sandbox);
    let port = server.address.rsplit(':').next().unwrap_or_default().to_string();
    sandbox.interfuse(&["serve", "run", "--port", &port]).refused(&[&port]);
    assert_eq!(server.end("INT"), Some(0));
}
