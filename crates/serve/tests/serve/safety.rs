//! Hosts, pages, keys and bounds.

use interfuse_serve::Key;
use serde_json::json;

use crate::chat::image_part;
use crate::support::{FORM, Part, Server, head};
use crate::toy::Toy;

const GENERATE: &str = "/v1/images/generations";

/// The status of a request for the page, or another path, with headers.
fn status(server: &Server, path: &str, headers: &str) -> u16 {
    server.client().send(&format!("GET {path} HTTP/1.1\r\n{headers}\r\n"), &[]).status
}

#[test]
fn a_foreign_host_is_refused() {
    let server = Server::start(Toy::quick(8), |config| config.names = vec!["studio.local".into()]);
    for own in ["localhost", "127.0.0.1:8000", "[::1]:80", "Studio.Local:8000"] {
        assert_eq!(status(&server, "/", &format!("Host: {own}\r\n")), 200, "{own}");
    }
    for foreign in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.example:8000"] {
        let answer = server.client().send(&format!("GET /status HTTP/1.1\r\nHost: {foreign}\r\n\r\n"), &[]);
        assert_eq!(answer.error(), (403, "foreign_host".into()), "{foreign}");
    }
    assert_eq!(status(&server, "/", ""), 400);
    assert_eq!(status(&server, "/", "Host: localhost\r\nHost: evil.example\r\n"), 400);
    assert_eq!(status(&server, "http://evil.example/", "Host: localhost\r\n"), 403);
}

#[test]
fn a_foreign_page_is_refused() {
    let server = Server::toy();
    let host = format!("Host: {}\r\n", server.address);
    let own = format!("{host}Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n", server.address);
    assert_eq!(status(&server, "/status", &own), 200);
    let foreign = [
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://127.0.0.1:1",
        "Origin: http://localhost",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe",
    ];
    for header in foreign {
        for path in ["/", "/status", "/training/preview.png"] {
            assert_eq!(status(&server, path, &format!("{host}{header}\r\n")), 403, "{header} {path}");
        }
    }
    let link = format!("{host}Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n");
    assert_eq!(status(&server, "/", &link), 200);
    assert_eq!(status(&server, "/status", &link), 403);
}

#[test]
fn a_body_says_its_type() {
    let server = Server::toy();
    let body = json!({ "prompt": "" }).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        let answer = server.client().post_bytes(GENERATE, kind, body.as_bytes());
        assert_eq!(answer.error().0, 415, "{kind}");
    }
    assert_eq!(server.client().post_bytes(GENERATE, "Application/JSON; charset=utf-8", body.as_bytes()).status, 200);
    let answer = server.client().post_bytes("/v1/images/edits", "application/json", b"{}");
    assert_eq!(answer.error().0, 415);
}

#[test]
fn the_key_is_asked_for_everywhere_but_on_the_page() {
    let server = Server::start(Toy::quick(8), |config| config.key = Some(Key::new("correct-horse")));
    let with = |header: &str, path: &str| {
        server.client().send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n"), &[])
    };
    for path in ["/status", "/v1/models", "/training", "/training/preview.png"] {
        assert_eq!(with("Authorization: Bearer correct-horse\r\n", path).status, 200, "{path}");
        assert_eq!(with("authorization: bearer correct-horse\r\n", path).status, 200, "{path}");
        let wrong = [
            "",
            "Authorization: Bearer correct-hors\r\n",
            "Authorization: Bearer correct-horses\r\n",
            "Authorization: Bearer\r\n",
            "Authorization: Basic correct-horse\r\n",
            "Authorization: Bearer correct-horse\r\nAuthorization: Bearer x\r\n",
        ];
        for header in wrong {
            let answer = with(header, path);
            assert_eq!(answer.error(), (401, "invalid_api_key".into()), "{header}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert_eq!(server.post(GENERATE, &json!({ "prompt": "" })).error().0, 401);
    assert_eq!(with("", "/").status, 200);
    assert_eq!(with("", "/app.js").status, 200);
}

#[test]
fn bodies_are_bounded() {
    let server = Server::start(Toy::quick(8), |config| config.max_body = 4096);
    let mut announced = server.client();
    announced.write(&head(GENERATE, "application/json", 4097), b"");
    assert_eq!(announced.read().unwrap().error().0, 413);
    // One that does not say how long it is.
    let mut chunked = server.client();
    let head = format!(
        "POST {GENERATE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    chunked.write(&head, format!("1400\r\n{}\r\n", " ".repeat(0x1400)).as_bytes());
    assert_eq!(chunked.read().unwrap().error().0, 413);
    let exact = json!({ "prompt": "" }).to_string();
    let padded = format!("{exact}{}", " ".repeat(4096 - exact.len()));
    assert_eq!(server.client().post_bytes(GENERATE, "application/json", padded.as_bytes()).status, 200);
}

#[test]
fn prompts_images_and_heads_are_bounded() {
    let server = Server::start(Toy::quick(8), |config| (config.max_prompt, config.max_pixels) = (5, 15));
    let answer = server.post(GENERATE, &json!({ "prompt": "ääää" }));
    assert_eq!(answer.message(), "prompt: expected at most 5 bytes, found 8");
    let answer = server.post("/v1/chat/completions", &json!({ "messages": [{ "role": "user", "content": "abcdef" }] }));
    assert_eq!(answer.message(), "messages.content: expected at most 5 bytes, found 6");
    let ask = json!({ "messages": [{ "role": "user", "content": [image_part(0)] }] });
    let answer = server.post("/v1/chat/completions", &ask);
    assert_eq!(answer.message(), "messages.content.image_url: expected an image of at most 15 pixels, found 4 x 4");
    let many: String = (0..100).map(|number| format!("X-{number}: 1\r\n")).collect();
    assert_eq!(status(&server, "/", &format!("Host: localhost\r\n{many}")), 431);
    let long = format!("Host: localhost\r\nX: {}\r\n", "x".repeat(100_000));
    assert_eq!(status(&server, "/", &long), 431);
}

#[test]
fn a_small_file_that_says_it_is_huge_costs_nothing() {
    let size = 60_000u32.to_be_bytes();
    let head = [&size[..], &size[..], &[8, 2, 0, 0, 0]].concat();
    let file = [b"\x89PNG\r\n\x1a\n".to_vec(), png_chunk(b"IHDR", &head), png_chunk(b"IDAT", &[])].concat();
    let parts: [Part<'_>; 2] = [("image", Some("a.png"), &file), ("prompt", None, b"x")];
    let answer = Server::toy().client().post_bytes("/v1/images/edits", FORM, &crate::support::form(&parts));
    assert_eq!(answer.message(), "image: expected an image of at most 16777216 pixels, found 60000 x 60000");
}

fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let named = [kind, data].concat();
    let bit = |sum: u32| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    let sum = named.iter().fold(!0u32, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| bit(sum)));
    [&(data.len() as u32).to_be_bytes()[..], &named, &(!sum).to_be_bytes()].concat()
}

#[test]
fn connections_are_bounded_and_wait_for_one_another() {
    let server = Server::start(Toy::quick(8), |config| config.max_connections = 2);
    let mut first = server.client();
    let mut second = server.client();
    let get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(first.send(get, &[]).status, 200);
    assert_eq!(second.send(get, &[]).status, 200);
    let mut third = server.client();
    third.write(get, &[]);
    drop(first);
    assert_eq!(third.read().unwrap().status, 200);
}

#[test]
fn a_client_that_reads_nothing_loses_its_place() {
    let server = Server::start(Toy::quick(256), |config| (config.max_connections, config.read_timeout) = (1, 0.3));
    let mut stalled = server.client();
    // More than the system holds for a client.
    let body = json!({ "prompt": "", "n": 10, "steps": 24, "stream": true, "partial_images": 23 }).to_string();
    for _ in 0..4 {
        stalled.write(&head(GENERATE, "application/json", body.len()), body.as_bytes());
    }
    let mut second = server.client();
    assert_eq!(second.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", &[]).status, 200);
}
