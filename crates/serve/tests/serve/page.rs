//! The page, the training run and what stands around all answers.

use interfuse_serve::engine::Idle;
use serde_json::json;

use crate::support::Server;

#[test]
fn the_page_has_all_its_files_and_asks_for_nothing_else() {
    let server = Server::toy();
    let page = server.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let text = page.text();
    let mut names: Vec<String> =
        text.split(['"']).filter(|part| part.starts_with('/') && part.len() > 1).map(String::from).collect();
    assert!(names.len() >= 3, "{names:?}");
    let mut seen = 0;
    while let Some(name) = names.pop() {
        let file = server.get(&name);
        assert_eq!(file.status, 200, "{name}");
        let text = file.text();
        if name.ends_with(".js") {
            let imports = text.lines().filter(|line| line.starts_with("import "));
            names
                .extend(imports.map(|line| format!("/{}", line.split("\"./").nth(1).unwrap().trim_end_matches("\";"))));
        }
        let foreign = text.replace("http://www.w3.org/", "");
        assert!(!foreign.contains("http://") && !foreign.contains("https://"), "{name} names another site");
        // The policy would not let it run.
        assert!(!text.contains(" style=\"") && !text.contains(" onclick"), "{name} has inline style or code");
        seen += 1;
        assert!(seen < 100);
    }
}

#[test]
fn every_answer_keeps_the_page_to_itself() {
    let server = Server::toy();
    for path in ["/", "/app.js", "/status", "/nothing", "/v1/models", "/v1/images/generations"] {
        let answer = server.get(path);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"));
        let expected = [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-store"),
        ];
        for (name, value) in expected {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[test]
fn the_model_is_listed() {
    let server = Server::toy();
    let list = server.get("/v1/models").json();
    assert_eq!(list["object"], json!("list"));
    let model = &list["data"][0];
    assert_eq!(
        (&model["id"], &model["object"], &model["owned_by"]),
        (&json!("toy-hills"), &json!("model"), &json!("interfuse"))
    );
    assert_eq!(&server.get("/v1/models/toy-hills").json(), model);
    assert_eq!(server.get("/v1/models/gpt-4/o").error(), (404, "model_not_found".into()));
    assert_eq!(server.get("/v1/models/%ff").error().0, 400);
}

#[test]
fn the_status_says_what_the_page_needs() {
    let status = Server::toy().get("/status").json();
    assert_eq!(status["model"]["image"], json!({ "width": 8, "height": 8, "channels": 3 }));
    assert_eq!(status["model"]["latents"], json!("pixels"));
    assert_eq!(status["model"]["defaults"], json!({ "steps": 24, "guidance": 2.0 }));
    assert_eq!(status["model"]["abilities"]["edits"], json!(true));
    assert_eq!(status["limits"]["images"], json!(10));
    assert_eq!((&status["training"], &status["load"]), (&json!(true), &json!({ "waiting": 0, "running": 0 })));
}

#[test]
fn a_training_run_is_told_from_where_it_was_left() {
    let server = Server::toy();
    let all = server.get("/training").json();
    assert_eq!((&all["status"]["step"], &all["status"]["steps"]), (&json!(1000), &json!(2000)));
    assert_eq!(all["status"]["state"], json!("running"));
    assert_eq!(all["curves"][0]["name"], json!("loss/text"));
    assert_eq!(all["curves"][0]["points"].as_array().unwrap().len(), 101);
    let later = server.get("/training?after=980").json();
    let steps: Vec<u64> =
        later["curves"][0]["points"].as_array().unwrap().iter().map(|point| point[0].as_u64().unwrap()).collect();
    assert_eq!(steps, [990, 1000]);
    for wrong in ["/training?after=-1", "/training?after=x", "/training?before=1", "/training?after"] {
        assert_eq!(server.get(wrong).error().0, 400, "{wrong}");
    }
    let preview = server.get("/training/preview.png?step=1000");
    assert_eq!(preview.header("content-type"), Some("image/png"));
    assert!(preview.body.starts_with(b"\x89PNG"));
}

#[test]
fn there_may_be_no_model_yet() {
    let server = Server::start(Idle { id: "nothing".into() }, |_| {});
    assert_eq!(server.get("/status").json()["model"]["abilities"]["draws"], json!(false));
    let answer = server.post("/v1/images/generations", &json!({ "prompt": "x" }));
    assert_eq!(answer.error(), (400, "unsupported_task".into()));
}

#[test]
fn what_is_not_there_and_other_methods_are_errors_of_the_same_form() {
    let server = Server::toy();
    assert_eq!(server.get("/../../etc/passwd").error(), (404, "unknown_path".into()));
    assert_eq!(server.get("/v1/embeddings").error(), (404, "unknown_path".into()));
    let answer = server.get("/v1/chat/completions");
    assert_eq!(answer.error(), (405, "method_not_allowed".into()));
    assert_eq!(answer.header("allow"), Some("POST"));
}
