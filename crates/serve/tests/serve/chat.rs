//! The wire format of `/v1/chat/completions`.

use interfuse_serve::engine::{Abilities, Raster};
use serde_json::{Value, json};

use crate::images::raster;
use crate::support::Server;
use crate::toy::Toy;

const CHAT: &str = "/v1/chat/completions";

pub(crate) fn image_part(value: u8) -> Value {
    use base64::Engine as _;
    let png = Raster::new(4, 4, 3, vec![value; 48]).unwrap().to_png().unwrap();
    let url = format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png));
    json!({ "type": "image_url", "image_url": { "url": url, "detail": "auto" } })
}

fn user(content: Value) -> Value {
    json!([{ "role": "user", "content": content }])
}

#[test]
fn an_image_is_captioned() {
    let content = json!([{ "type": "text", "text": "What is this?" }, image_part(250)]);
    let abilities = Abilities { answers: false, ..Toy::quick(8).abilities };
    let server = Server::start(Toy { abilities, ..Toy::quick(8) }, |_| {});
    let answer = server.post(CHAT, &json!({ "model": "toy-hills", "messages": user(content) }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["id", "object", "created", "model", "choices"]);
    assert_eq!(body["object"], json!("chat.completion"));
    let choice = &body["choices"][0];
    assert_eq!(choice["message"]["role"], json!("assistant"));
    assert!(choice["message"]["content"].as_str().unwrap().starts_with("a bright image of 4 by 4 pixels"));
    assert_eq!(choice["finish_reason"], json!("stop"));
    assert_eq!(choice["message"].get("images"), None);
}

#[test]
fn a_caption_that_is_cut_says_so() {
    let ask = json!({ "messages": user(json!([image_part(0)])), "max_tokens": 3 });
    let choice = Server::toy().post(CHAT, &ask).json()["choices"][0].clone();
    assert_eq!(choice["message"]["content"], json!("a dark image "));
    assert_eq!(choice["finish_reason"], json!("length"));
}

#[test]
fn words_are_drawn_like_a_prompt() {
    let server = Server::toy();
    let body = server.post(CHAT, &json!({ "messages": user(json!("hills")), "seed": 5, "n": 2 })).json();
    let url = body["choices"][0]["message"]["images"][0]["image_url"]["url"].as_str().unwrap();
    let images = server.post("/v1/images/generations", &json!({ "prompt": "hills", "seed": 5 })).json();
    assert_eq!(url.strip_prefix("data:image/png;base64,"), images["data"][0]["b64_json"].as_str());
    assert_eq!(body["choices"].as_array().unwrap().len(), 2);
    assert_ne!(body["choices"][0]["message"]["images"], body["choices"][1]["message"]["images"]);
}

#[test]
fn a_document_has_words_and_images() {
    let ask = json!({ "messages": user(json!("a sea")), "modalities": ["text", "image"] });
    let message = Server::toy().post(CHAT, &ask).json()["choices"][0]["message"].clone();
    let expected = "Behind the hills there is a sea, and it looks like this:\nIt is the colour of its words.";
    assert_eq!(message["content"], json!(expected));
    assert_eq!(message["images"].as_array().unwrap().len(), 1);
}

#[test]
fn an_image_with_words_is_edited_where_an_image_is_wanted() {
    let content = json!([{ "type": "text", "text": "mist" }, image_part(9)]);
    let ask = json!({ "messages": user(content), "modalities": ["image"] });
    let message = Server::toy().post(CHAT, &ask).json()["choices"][0]["message"].clone();
    let url = message["images"][0]["image_url"]["url"].as_str().unwrap();
    assert_eq!(raster(&json!(url.strip_prefix("data:image/png;base64,").unwrap())).width(), 8);
}

#[test]
fn an_image_with_words_is_a_question_where_the_model_answers_any() {
    let content = json!([{ "type": "text", "text": "which colour?" }, image_part(9)]);
    let ask = json!({ "messages": user(content) });
    let said = |server: &Server| server.post(CHAT, &ask).json()["choices"][0]["message"]["content"].clone();
    let answer = said(&Server::toy());
    assert!(answer.as_str().unwrap().ends_with(" which colour?"), "{answer}");
    let abilities = Abilities { captions: true, ..Abilities::default() };
    let caption = said(&Server::start(Toy { abilities, ..Toy::quick(8) }, |_| {}));
    assert!(caption.as_str().unwrap().contains("4 by 4 pixels"), "{caption}");
}

#[test]
fn an_answer_has_the_whole_conversation_before_it() {
    let server = Server::toy();
    let said = |messages: Value| {
        let answer = server.post(CHAT, &json!({ "messages": messages }));
        assert_eq!(answer.status, 200, "{}", answer.message());
        answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_string()
    };
    let first = json!({ "role": "user", "content": [{ "type": "text", "text": "which colour?" }, image_part(9)] });
    let alone = said(json!([first]));
    let colour = alone.strip_suffix(" which colour?").unwrap();
    let answered = json!({ "role": "assistant", "content": "none", "images": [image_part(9)] });
    let rules = json!({ "role": "system", "content": "be kind" });
    let next = json!({ "role": "user", "content": "are you sure?" });
    let expected = format!("{colour} which colour? / none {colour} / are you sure?");
    assert_eq!(said(json!([rules, first, answered, next])), expected);
    // Words alone are drawn, unless an answer is asked for.
    let ask = json!({ "messages": [next], "modalities": ["text"] });
    assert_eq!(server.post(CHAT, &ask).json()["choices"][0]["message"]["content"], json!("are you sure?"));
}

#[test]
fn the_user_and_the_assistant_speak_in_turn() {
    let server = Server::toy();
    let message = |role: &str, text: &str| json!({ "role": role, "content": text });
    let shown = json!({ "role": "user", "content": [image_part(9), { "type": "text", "text": "what?" }] });
    let in_turn = "for the user and the assistant speak in turn and the user begins";
    let cases = [
        (
            json!([shown, message("user", "and?")]),
            format!("messages[1].role: expected \"assistant\", {in_turn}, found \"user\""),
        ),
        (
            json!([message("assistant", "hello"), shown]),
            format!("messages[0].role: expected \"user\", {in_turn}, found \"assistant\""),
        ),
        (
            json!([shown, message("tool", "7"), shown]),
            format!("messages[1].role: expected \"assistant\", {in_turn}, found \"tool\""),
        ),
        (
            json!([shown, message("assistant", "a cat")]),
            "messages: expected the last of them to be the user's, found the assistant's".into(),
        ),
        (
            json!([message("user", " "), message("assistant", ""), shown]),
            "messages[0].content: expected words or an image, found nothing".into(),
        ),
    ];
    for (messages, expected) in cases {
        let answer = server.post(CHAT, &json!({ "messages": messages }));
        assert_eq!((answer.status, answer.message()), (400, expected), "{messages}");
    }
}

/// The answer that a stream adds up to: words and images of each choice, and how it ended.
fn joined(answer: &crate::support::Answer) -> Vec<(String, usize, String)> {
    let mut events = answer.events();
    assert_eq!(events.pop(), Some((String::new(), "[DONE]".into())));
    let mut choices: Vec<(String, usize, String)> = vec![];
    for (name, data) in events {
        assert_eq!(name, "");
        let chunk: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(chunk["object"], json!("chat.completion.chunk"));
        let choice = &chunk["choices"][0];
        let index = choice["index"].as_u64().unwrap() as usize;
        if choice["delta"]["role"] == "assistant" {
            choices.resize(choices.len().max(index + 1), Default::default());
        }
        choices[index].0.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        choices[index].1 += choice["delta"]["images"].as_array().map_or(0, Vec::len);
        choices[index].2.push_str(choice["finish_reason"].as_str().unwrap_or_default());
    }
    choices
}

#[test]
fn a_stream_adds_up_to_the_whole_answer() {
    let server = Server::toy();
    let asks = [
        json!({ "messages": user(json!([image_part(0)])), "max_completion_tokens": 4 }),
        json!({ "messages": user(json!("hills")), "n": 2 }),
        json!({ "messages": user(json!("hills")), "modalities": ["text", "image"], "n": 2 }),
        json!({ "messages": user(json!("")) }),
    ];
    for mut ask in asks {
        let whole = server.post(CHAT, &ask).json();
        ask["stream"] = json!(true);
        ask["stream_options"] = json!({ "include_usage": true });
        let found = joined(&server.post(CHAT, &ask));
        let expected = whole["choices"].as_array().unwrap().iter().map(|choice| {
            let message = &choice["message"];
            (
                message["content"].as_str().unwrap().to_string(),
                message.get("images").map_or(0, |images| images.as_array().unwrap().len()),
                choice["finish_reason"].as_str().unwrap().to_string(),
            )
        });
        assert_eq!(found, expected.collect::<Vec<_>>(), "{ask}");
    }
}

#[test]
fn a_wrong_message_is_named() {
    let server = Server::toy();
    let foreign = json!([{ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }]);
    let file = json!([{ "type": "image_url", "image_url": { "url": "file:///etc/passwd" } }]);
    let cases = [
        (json!({}), "messages: expected a list of messages, found nothing"),
        (json!({ "messages": [] }), "messages: expected a message of the role \"user\", found none"),
        (
            json!({ "messages": [{ "role": "cat" }] }),
            "messages.role: expected \"user\", \"system\" or \"assistant\", found \"cat\"",
        ),
        (json!({ "messages": user(json!(3)) }), "messages.content: expected words or a list of parts, found 3"),
        (
            json!({ "messages": user(foreign) }),
            "messages.content.image_url: expected an image as `data:image/png;base64,…`; nothing is fetched from elsewhere",
        ),
        (
            json!({ "messages": user(file) }),
            "messages.content.image_url: expected an image as `data:image/png;base64,…`; nothing is fetched from elsewhere",
        ),
        (
            json!({ "messages": user(json!([image_part(1), image_part(2)])) }),
            "messages.content: expected one image, found more",
        ),
        (json!({ "messages": user(json!("x")), "tools": [{}] }), "tools: expected [], or nothing, found a list"),
        (
            json!({ "messages": user(json!("x")), "modalities": ["audio"] }),
            "modalities: expected \"text\" or \"image\", found \"audio\"",
        ),
        (json!({ "messages": user(json!("x")), "top_p": 0 }), "top_p: expected a probability above 0, to 1, found 0"),
    ];
    for (body, message) in cases {
        let answer = server.post(CHAT, &body);
        assert_eq!((answer.status, answer.message().as_str()), (400, message));
    }
}

#[test]
fn a_model_that_only_begins_by_itself_takes_no_beginning() {
    let abilities = Abilities { writes: true, ..Abilities::default() };
    let server = Server::start(Toy { abilities, ..Toy::quick(8) }, |_| {});
    assert_eq!(
        server.post(CHAT, &json!({ "messages": user(json!("a sea")) })).error(),
        (400, "unsupported_task".into())
    );
    assert_eq!(server.post(CHAT, &json!({ "messages": user(json!(" ")) })).status, 200);
}
