//! A server for a test, and a client that says exactly what it is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use interfuse_serve::engine::Engine;
use interfuse_serve::{ServeConfig, ServeError, Served, StopSwitch, serve, stop_switch};
use serde_json::Value;

use crate::toy::Toy;
use crate::toy_training::ToyTraining;

/// A server that ends with the test.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    switch: StopSwitch,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Server {
    pub(crate) fn start(engine: impl Engine, change: impl FnOnce(&mut ServeConfig)) -> Self {
        let mut config = ServeConfig { port: 0, grace: 2.0, ..ServeConfig::default() };
        change(&mut config);
        let (switch, stopped) = stop_switch();
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let run = ToyTraining::new(1000, 2000, Duration::from_secs(1000));
            let served = Served { engine: Box::new(engine), training: Some(std::sync::Arc::new(run)) };
            serve(served, &config, |address| sender.send(address).unwrap(), stopped)
        });
        let address = receiver.recv_timeout(Duration::from_secs(20)).expect("the server tells its address");
        Self { address, switch, thread: Some(thread) }
    }

    /// One that can do everything at once, with images of 8 x 8 pixels.
    pub(crate) fn toy() -> Self {
        Self::start(Toy::quick(8), |_| {})
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.client().post(path, body)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.client().send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"), &[])
    }

    pub(crate) fn stop(&self) {
        self.switch.stop();
    }

    pub(crate) fn join(mut self) -> Result<(), ServeError> {
        self.switch.stop();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.switch.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok_and(|ended| ended.is_ok()), "the server ends in order");
        }
    }
}

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The status and the code of an error, which has OpenAI's form.
    pub(crate) fn error(&self) -> (u16, String) {
        let body = self.json();
        let error = body["error"].as_object().unwrap_or_else(|| panic!("an error, found {body}"));
        assert_eq!(error.keys().collect::<Vec<_>>(), ["message", "type", "param", "code"]);
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
        (self.status, error["code"].as_str().unwrap_or_default().to_string())
    }

    /// The message of an error.
    pub(crate) fn message(&self) -> String {
        self.error();
        self.json()["error"]["message"].as_str().unwrap().to_string()
    }

    /// The events of a stream: name and data.
    pub(crate) fn events(&self) -> Vec<(String, String)> {
        let field = |event: &str, name: &str| {
            event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_string()
        };
        let text = self.text();
        assert!(text.is_empty() || text.ends_with("\n\n"), "{text}");
        let events = text.split("\n\n").filter(|event| !event.is_empty());
        events.map(|event| (field(event, "event: "), field(event, "data: "))).collect()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn write(&mut self, head: &str, body: &[u8]) {
        // The server may have closed already; what it said before is read all the same.
        let _ = self.stream.get_mut().write_all(&[head.as_bytes(), body].concat());
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, "application/json", body.to_string().as_bytes())
    }

    pub(crate) fn post_bytes(&mut self, path: &str, kind: &str, body: &[u8]) -> Answer {
        self.send(&head(path, kind, body.len()), body)
    }

    pub(crate) fn send(&mut self, head: &str, body: &[u8]) -> Answer {
        self.write(head, body);
        self.read().expect("an answer")
    }

    /// The next answer; none where the connection was closed instead.
    pub(crate) fn read(&mut self) -> Option<Answer> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut headers = vec![];
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).ok()?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_string())),
                None => break,
            }
        }
        let mut answer = Answer { status, headers, body: vec![] };
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                answer.body.extend(chunk);
            }
        } else {
            answer.body = vec![0; answer.header("content-length").map_or(0, |length| length.parse().unwrap())];
            self.stream.read_exact(&mut answer.body).ok()?;
        }
        Some(answer)
    }

    /// The next piece of an answer that comes bit by bit.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; length + 2];
        self.stream.read_exact(&mut chunk).ok()?;
        chunk.truncate(length);
        (length > 0).then_some(chunk)
    }
}

/// The head of a request with a body.
pub(crate) fn head(path: &str, kind: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n")
}

/// A field of a form: its name, the name of its file if it is one, and its value.
pub(crate) type Part<'a> = (&'a str, Option<&'a str>, &'a [u8]);

/// A form of fields.
pub(crate) fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = vec![];
    for (name, file, value) in parts {
        let file = file.map(|file| format!("; filename=\"{file}\"\r\nContent-Type: image/png")).unwrap_or_default();
        let head = format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend([head.as_bytes(), value, b"\r\n"].concat());
    }
    body.extend(b"--edge--\r\n");
    body
}

pub(crate) const FORM: &str = "multipart/form-data; boundary=edge";
