//! Requests that nobody should send, made from a seed: none ends the server, and each gets the class of status it deserves.

use std::time::Duration;

use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::support::{Client, FORM, Server, form, head};
use crate::toy::Toy;

/// What a request deserves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Deserved {
    /// A status from 400 to 499.
    Refusal,
    /// That, or an answer where the change did no harm; never an error of the server.
    NoFault,
    /// That, or a closed connection: what was sent may be no HTTP at all.
    NoFaultOrClosed,
}

struct Case {
    bytes: Vec<u8>,
    deserved: Deserved,
}

const PATHS: [&str; 3] = ["/v1/images/generations", "/v1/images/edits", "/v1/chat/completions"];

fn pick<'a, T>(rng: &mut ChaCha8Rng, of: &'a [T]) -> &'a T {
    &of[rng.random_range(0..of.len())]
}

/// A request that would be answered.
fn sound(rng: &mut ChaCha8Rng) -> (&'static str, Value) {
    match rng.random_range(0..3) {
        0 => (PATHS[0], json!({ "prompt": "hills", "n": 1, "seed": 1, "steps": 1, "guidance": 2.0, "size": "8x8" })),
        1 => (PATHS[2], json!({ "messages": [{ "role": "user", "content": "hills" }], "steps": 1, "temperature": 1 })),
        _ => {
            let content = json!([{ "type": "text", "text": "?" }, crate::chat::image_part(9)]);
            (PATHS[2], json!({ "messages": [{ "role": "user", "content": content }], "max_tokens": 4 }))
        }
    }
}

/// A value that no field takes.
fn wrong_value(rng: &mut ChaCha8Rng) -> Value {
    let deep = (0..rng.random_range(2..60)).fold(json!(-1), |inner, _| json!([inner]));
    let values = [json!({ "a": -1 }), json!([[[]]]), json!(-1), json!(-1e300), deep, json!([{ "role": 7 }])];
    pick(rng, &values).clone()
}

fn post(path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    [head(path, kind, body.len()).as_bytes(), body].concat()
}

fn case(rng: &mut ChaCha8Rng) -> Case {
    let (path, mut body) = sound(rng);
    let json_of = |body: &[u8], deserved| Case { bytes: post(path, "application/json", body), deserved };
    match rng.random_range(0..9) {
        // A field of another kind.
        0 => {
            let names: Vec<String> = body.as_object().unwrap().keys().cloned().collect();
            let name = pick(rng, &names).clone();
            body[name] = wrong_value(rng);
            json_of(body.to_string().as_bytes(), Deserved::Refusal)
        }
        // A field that does not exist.
        1 => {
            let name: String = (0..rng.random_range(1..200)).map(|_| rng.random::<char>()).collect();
            body[format!("x{name}")] = json!(1);
            json_of(body.to_string().as_bytes(), Deserved::Refusal)
        }
        // JSON that breaks off.
        2 => {
            let text = body.to_string();
            json_of(&text.as_bytes()[..rng.random_range(0..text.len())], Deserved::Refusal)
        }
        // JSON with bytes changed.
        3 => {
            let mut text = body.to_string().into_bytes();
            for _ in 0..rng.random_range(1..6) {
                let place = rng.random_range(0..text.len());
                text[place] = rng.random();
            }
            json_of(&text, Deserved::NoFault)
        }
        // No JSON at all, or none that ends.
        4 => {
            let mut noise = vec![0; rng.random_range(0..300)];
            rng.fill_bytes(&mut noise);
            let deep = "[".repeat(rng.random_range(100..5000)).into_bytes();
            let body = if rng.random() { noise } else { deep };
            json_of(&body, Deserved::Refusal)
        }
        5 => broken_form(rng),
        // A body of another type, or a path and method that are not there.
        6 => {
            let kind =
                pick(rng, &["text/plain", "application/xml", "multipart/form-data", "multipart/form-data; boundary="]);
            Case {
                bytes: post(pick::<&str>(rng, &PATHS), kind, body.to_string().as_bytes()),
                deserved: Deserved::Refusal,
            }
        }
        7 => {
            let method = pick(rng, &["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"]);
            let path =
                pick(rng, &["/", "/v1/models", "/v1/%00", "/..%2f..%2fetc/passwd", "/v1/models/%f0", "//", "/status"]);
            let bytes = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
            Case { bytes, deserved: Deserved::Refusal }
        }
        _ => broken_http(rng, path, &body),
    }
}

fn broken_form(rng: &mut ChaCha8Rng) -> Case {
    let mut file = vec![0; rng.random_range(0..200)];
    rng.fill_bytes(&mut file);
    let signatures =
        [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], b"\xff\xd8\xff\xe0\0\x10JFIF", b"RIFF\x20\0\0\0WEBPVP8 ", b""];
    let file = [pick(rng, &signatures), &file[..]].concat();
    let mut body = form(&[("image", Some("a.png"), &file), ("prompt", None, b"x"), ("steps", None, b"1")]);
    if rng.random() {
        body.truncate(rng.random_range(0..body.len()));
    } else {
        let place = rng.random_range(0..body.len());
        body[place] = rng.random();
    }
    Case { bytes: post(PATHS[1], FORM, &body), deserved: Deserved::Refusal }
}

/// A request whose head is changed.
fn broken_http(rng: &mut ChaCha8Rng, path: &str, body: &Value) -> Case {
    let mut bytes = post(path, "application/json", body.to_string().as_bytes());
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    for _ in 0..rng.random_range(1..12) {
        let place = rng.random_range(0..end);
        bytes[place] = rng.random();
    }
    Case { bytes, deserved: Deserved::NoFaultOrClosed }
}

fn check(number: usize, case: &Case, client: &mut Client, server: &Server) {
    let mut answer = None;
    // A connection may be closed after an answer; then the next request has one of its own.
    for _ in 0..2 {
        client.write("", &case.bytes);
        if case.deserved == Deserved::NoFaultOrClosed {
            // A changed head may announce a longer body than comes; such an answer is not waited for.
            client.stream.get_ref().set_read_timeout(Some(Duration::from_millis(40))).unwrap();
        }
        answer = client.read();
        let closes = answer.as_ref().is_none_or(|answer| answer.header("connection") == Some("close"));
        if closes || case.deserved == Deserved::NoFaultOrClosed {
            *client = server.client();
        }
        if answer.is_some() || case.deserved == Deserved::NoFaultOrClosed {
            break;
        }
    }
    let shown = || String::from_utf8_lossy(&case.bytes[..case.bytes.len().min(600)]).into_owned();
    match (case.deserved, answer.map(|answer| answer.status)) {
        (Deserved::Refusal, Some(400..=499)) => {}
        (Deserved::NoFault | Deserved::NoFaultOrClosed, Some(200..=299 | 400..=499)) => {}
        (Deserved::NoFaultOrClosed, None) => {}
        (deserved, found) => panic!("case {number} deserves {deserved:?}, found {found:?}:\n{}", shown()),
    }
}

#[test]
fn ten_thousand_malformed_requests_do_no_harm() {
    let server = Server::start(Toy::quick(8), |config| config.read_timeout = 2.0);
    std::thread::scope(|scope| {
        for lane in 0..4usize {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.client();
                for number in (lane..10_000).step_by(4) {
                    let case = case(&mut ChaCha8Rng::seed_from_u64(number as u64));
                    check(number, &case, &mut client, server);
                }
            });
        }
    });
    let answer = server.post(PATHS[0], &json!({ "prompt": "still there", "steps": 1 }));
    assert_eq!(answer.status, 200);
    assert_eq!(server.get("/status").json()["load"], json!({ "waiting": 0, "running": 0 }));
}
