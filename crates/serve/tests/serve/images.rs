//! The wire format of `/v1/images`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use interfuse_serve::engine::{Abilities, Raster};
use serde_json::{Value, json};

use crate::support::{FORM, Part, Server, form};
use crate::toy::Toy;

const GENERATE: &str = "/v1/images/generations";
const EDIT: &str = "/v1/images/edits";

pub(crate) fn raster(base64: &Value) -> Raster {
    Raster::decode(&STANDARD.decode(base64.as_str().unwrap()).unwrap(), 3, 1 << 20).unwrap()
}

fn png(size: u32, value: u8) -> Vec<u8> {
    Raster::new(size, size, 3, vec![value; (size * size * 3) as usize]).unwrap().to_png().unwrap()
}

#[test]
fn images_have_the_form_of_openai() {
    let server = Server::toy();
    let answer =
        server.post(GENERATE, &json!({ "prompt": "hills", "n": 2, "seed": 7, "size": "8x8", "model": "toy-hills" }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["background", "output_format", "quality", "size", "created", "data"]);
    assert!(body["created"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!((&body["output_format"], &body["size"]), (&json!("png"), &json!("8x8")));
    let data = body["data"].as_array().unwrap();
    assert_eq!([&data[0]["seed"], &data[1]["seed"]], [&json!(7), &json!(8)]);
    let image = raster(&data[0]["b64_json"]);
    assert_eq!((image.width(), image.height(), image.channels()), (8, 8, 3));
    assert_ne!(image, raster(&data[1]["b64_json"]));
}

#[test]
fn a_url_is_a_data_url() {
    let answer = Server::toy().post(GENERATE, &json!({ "prompt": "hills", "response_format": "url" }));
    let body = answer.json();
    let url = body["data"][0]["url"].as_str().unwrap();
    assert!(url.starts_with("data:image/png;base64,iVBOR"), "{url}");
    assert_eq!(body["data"][0].get("b64_json"), None);
}

#[test]
fn an_image_has_the_size_that_is_asked_for() {
    let server = Server::toy();
    for (size, width) in [("8x8", 8), ("16x8", 16)] {
        let body = server.post(GENERATE, &json!({ "prompt": "hills", "size": size })).json();
        assert_eq!(body["size"], json!(size));
        let drawn = raster(&body["data"][0]["b64_json"]);
        assert_eq!((drawn.width(), drawn.height()), (width, 8));
    }
}

#[test]
fn the_same_request_has_the_same_image_and_settings_matter() {
    let server = Server::toy();
    let data = |body: Value| server.post(GENERATE, &body).json()["data"][0]["b64_json"].clone();
    let plain = data(json!({ "prompt": "hills" }));
    assert_eq!(plain, data(json!({ "prompt": "hills", "seed": 0, "guidance": 2.0, "steps": 24, "size": "auto" })));
    for other in [
        json!({ "prompt": "hill" }),
        json!({ "prompt": "hills", "seed": 1 }),
        json!({ "prompt": "hills", "guidance": 3 }),
    ] {
        assert_ne!(plain, data(other.clone()), "{other}");
    }
}

#[test]
fn the_last_seed_is_followed_by_zero() {
    let answer = Server::toy().post(GENERATE, &json!({ "prompt": "", "seed": u64::MAX, "n": 2 }));
    assert_eq!(answer.json()["data"][1]["seed"], json!(0));
}

#[test]
fn a_stream_has_partial_images_and_then_the_image() {
    let server = Server::toy();
    let ask = json!({ "prompt": "hills", "steps": 8, "stream": true, "partial_images": 3 });
    let answer = server.post(GENERATE, &ask);
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let events: Vec<(String, Value)> =
        answer.events().into_iter().map(|(name, data)| (name, serde_json::from_str(&data).unwrap())).collect();
    assert_eq!(events.len(), 4);
    for (index, (name, data)) in events[..3].iter().enumerate() {
        assert_eq!(name, "image_generation.partial_image");
        assert_eq!(data["type"], json!(name));
        assert_eq!(data["partial_image_index"], json!(index));
        assert_eq!(data["step"], json!([2, 4, 6][index]));
        assert_eq!(data["steps"], json!(8));
        raster(&data["b64_json"]);
    }
    let (name, data) = &events[3];
    assert_eq!(name, "image_generation.completed");
    for key in ["type", "b64_json", "created_at", "background", "output_format", "quality", "size", "seed", "index"] {
        assert!(data.get(key).is_some(), "{key}");
    }
    let whole = server.post(GENERATE, &json!({ "prompt": "hills", "steps": 8 })).json();
    assert_eq!(data["b64_json"], whole["data"][0]["b64_json"]);
}

#[test]
fn a_refusal_within_a_stream_is_an_error_event() {
    let words = "word ".repeat(41);
    let answer = Server::toy().post(GENERATE, &json!({ "prompt": words, "stream": true }));
    let events = answer.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].0, "error");
    let error: Value = serde_json::from_str(&events[0].1).unwrap();
    assert_eq!(error["error"]["code"], json!("refused_by_model"));
}

#[test]
fn a_wrong_field_is_named() {
    let server = Server::toy();
    let cases = [
        (json!({}), "prompt", "prompt: expected words, found nothing"),
        (json!({ "prompt": 1 }), "prompt", "prompt: expected words, found 1"),
        (json!({ "prompt": "", "n": 11 }), "n", "n: expected a whole number from 1 to 10, found 11"),
        (json!({ "prompt": "", "steps": 251 }), "steps", "steps: expected a whole number from 1 to 250, found 251"),
        (json!({ "prompt": "", "guidance": -1 }), "guidance", "guidance: expected a number from 0 to 100, found -1"),
        (
            json!({ "prompt": "", "size": "9x9" }),
            "size",
            "size: expected \"8x8\" or \"16x8\" or \"auto\", or nothing, found \"9x9\"",
        ),
        (json!({ "prompt": "", "sede": 1 }), "sede", "sede: there is no such field here"),
    ];
    for (body, param, message) in cases {
        let answer = server.post(GENERATE, &body);
        assert_eq!((answer.status, answer.message().as_str()), (400, message));
        assert_eq!(answer.json()["error"]["param"], json!(param));
    }
    let answer = server.post(GENERATE, &json!({ "prompt": "", "model": "dall-e-3" }));
    assert_eq!(answer.error(), (404, "model_not_found".into()));
}

#[test]
fn one_prompt_that_does_not_fit_does_not_harm_the_others_of_its_batch() {
    let server = Server::start(Toy { step: std::time::Duration::from_millis(2), ..Toy::quick(8) }, |_| {});
    let prompts = ["a".to_string(), "word ".repeat(41), "b".to_string()];
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let ask = |prompt: &String| server.post(GENERATE, &json!({ "prompt": prompt })).status;
        let threads: Vec<_> = prompts.iter().map(|prompt| scope.spawn(move || ask(prompt))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(answers, [200, 400, 200]);
}

#[test]
fn an_edit_keeps_what_its_mask_does_not_show() {
    let server = Server::toy();
    let (image, black, white) = (png(8, 200), png(8, 0), png(8, 255));
    let edit = |mask: &[u8]| {
        let parts: [Part<'_>; 5] = [
            ("image", Some("../../etc/passwd"), &image),
            ("mask", Some("mask.png"), mask),
            ("prompt", None, b"7"),
            ("n", None, b"1"),
            ("seed", None, b"3"),
        ];
        let answer = server.client().post_bytes(EDIT, FORM, &form(&parts));
        assert_eq!(answer.status, 200, "{}", answer.text());
        raster(&answer.json()["data"][0]["b64_json"])
    };
    assert!(edit(&black).pixels().iter().all(|value| *value == 200));
    assert!(edit(&white).pixels().iter().any(|value| *value != 200));
}

#[test]
fn an_edit_streams_under_its_own_names() {
    let image = png(5, 10);
    let parts: [Part<'_>; 4] = [
        ("image[]", Some("a.png"), &image),
        ("prompt", None, b"mist"),
        ("stream", None, b"true"),
        ("partial_images", None, b"1"),
    ];
    let answer = Server::toy().client().post_bytes(EDIT, FORM, &form(&parts));
    let names: Vec<String> = answer.events().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["image_edit.partial_image", "image_edit.completed"]);
}

#[test]
fn a_wrong_form_is_refused() {
    let server = Server::toy();
    let image = png(8, 1);
    let small = png(4, 1);
    let cases: [(&[Part<'_>], &str); 5] = [
        (&[("prompt", None, b"x")], "image: expected a file, found nothing"),
        (
            &[("image", Some("a"), b"GIF89a"), ("prompt", None, b"x")],
            "image: expected a PNG, JPEG or WebP image, found another format",
        ),
        (&[("image", Some("a"), &image), ("image", Some("b"), &image)], "image: expected one image, found more"),
        (
            &[("image", Some("a"), &image), ("mask", Some("m"), &small), ("prompt", None, b"x")],
            "mask: expected 8 x 8 pixels, as the image has, found 4 x 4",
        ),
        (&[("prompt", None, &[0xff])], "prompt: expected words, found bytes that are none"),
    ];
    for (parts, message) in cases {
        let answer = server.client().post_bytes(EDIT, FORM, &form(parts));
        assert_eq!((answer.status, answer.message().as_str()), (400, message));
    }
}

#[test]
fn a_model_that_cannot_says_so() {
    let server = Server::start(Toy { abilities: Abilities::default(), ..Toy::quick(8) }, |_| {});
    let image = png(8, 1);
    let edit = form(&[("image", Some("a.png"), &image), ("prompt", None, b"x")]);
    let answers = [
        server.client().post_bytes(EDIT, FORM, &edit),
        server.post(GENERATE, &json!({ "prompt": "x" })),
        server.post("/v1/chat/completions", &json!({ "messages": [{ "role": "user", "content": "x" }] })),
    ];
    for answer in answers {
        assert_eq!(answer.error(), (400, "unsupported_task".into()));
    }
}
