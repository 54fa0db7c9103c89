//! Batches, a full queue, clients that go, time that is over, and the end.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use interfuse_serve::engine::{Description, DrawSettings, Drawing, Engine, Observer, Raster, Results};
use interfuse_serve::{ServeConfig, ServeError, Served, serve};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Server, head};
use crate::toy::Toy;

const GENERATE: &str = "/v1/images/generations";

/// What an engine was asked for.
#[derive(Debug, Default)]
struct Log {
    batches: Mutex<Vec<usize>>,
    steps: AtomicUsize,
    /// Whether a batch with the prompt `wait` goes on.
    is_open: AtomicBool,
}

impl Log {
    fn batches(&self) -> Vec<usize> {
        self.batches.lock().unwrap().clone()
    }

    fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    fn steps(&self) -> usize {
        self.steps.load(Ordering::Relaxed)
    }
}

struct Logged(Toy, Arc<Log>);

impl Engine for Logged {
    fn description(&self) -> Description {
        self.0.description()
    }

    fn draw(&mut self, drawings: &[Drawing], settings: &DrawSettings, observer: &mut dyn Observer) -> Results<Raster> {
        self.1.batches.lock().unwrap().push(drawings.len());
        let waits = drawings.iter().any(|drawing| drawing.prompt == "wait");
        while waits && !self.1.is_open.load(Ordering::Relaxed) && observer.goes_on().is_continue() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.0.draw(drawings, settings, &mut Counted(observer, &self.1))
    }
}

struct Counted<'a>(&'a mut dyn Observer, &'a Log);

impl Observer for Counted<'_> {
    fn is_wanted(&self, item: usize) -> bool {
        self.0.is_wanted(item)
    }

    fn stepped(&mut self, done: usize, of: usize, look: &mut dyn FnMut(usize) -> Option<Raster>) -> ControlFlow<()> {
        self.1.steps.fetch_add(1, Ordering::Relaxed);
        self.0.stepped(done, of, look)
    }

    fn wrote(&mut self, item: usize, words: &str) -> ControlFlow<()> {
        self.0.wrote(item, words)
    }

    fn drew(&mut self, item: usize, image: &Raster) -> ControlFlow<()> {
        self.0.drew(item, image)
    }

    fn goes_on(&self) -> ControlFlow<()> {
        self.0.goes_on()
    }
}

/// A server whose steps take so many milliseconds, and what it was asked for.
fn logged(step: u64, change: impl FnOnce(&mut ServeConfig)) -> (Server, Arc<Log>) {
    let log = Arc::new(Log::default());
    let toy = Toy { step: Duration::from_millis(step), ..Toy::quick(8) };
    (Server::start(Logged(toy, log.clone()), change), log)
}

fn ask(client: &mut Client, body: &Value) {
    let body = body.to_string();
    client.write(&head(GENERATE, "application/json", body.len()), body.as_bytes());
}

fn load(server: &Server) -> (u64, u64) {
    let load = &server.get("/status").json()["load"];
    (load["waiting"].as_u64().unwrap(), load["running"].as_u64().unwrap())
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn image(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"][0]["b64_json"].clone()
}

#[test]
fn an_image_is_the_same_in_a_batch_and_alone() {
    let (server, log) = logged(0, |config| config.max_batch = 32);
    let prompt = |seed| if seed == 0 { "wait".to_string() } else { format!("hills {seed}") };
    let body = |seed: u64| json!({ "prompt": prompt(seed), "seed": seed, "steps": 3 });
    // While the first is computed the others come, and make a batch.
    let mut clients: Vec<Client> = (0..12).map(|_| server.client()).collect();
    ask(&mut clients[0], &body(0));
    wait_until("the first runs", || load(&server) == (0, 1));
    for (seed, client) in clients.iter_mut().enumerate().skip(1) {
        ask(client, &body(seed as u64));
    }
    wait_until("the others wait", || load(&server) == (11, 1));
    log.open();
    let together: Vec<Value> = clients.iter_mut().map(|client| image(&client.read().unwrap())).collect();
    assert_eq!(log.batches(), [1, 11]);
    let alone: Vec<Value> = (0..12).map(|seed| image(&server.post(GENERATE, &body(seed)))).collect();
    assert_eq!(together, alone);
}

#[test]
fn only_what_has_the_same_settings_is_one_batch() {
    let (server, log) = logged(0, |config| config.max_batch = 3);
    let mut clients: Vec<Client> = (0..7).map(|_| server.client()).collect();
    ask(&mut clients[0], &json!({ "prompt": "wait", "steps": 10 }));
    wait_until("the first runs", || load(&server) == (0, 1));
    for (index, client) in clients.iter_mut().enumerate().skip(1) {
        ask(client, &json!({ "prompt": "", "steps": if index % 2 == 0 { 2 } else { 1 } }));
        wait_until("it waits", || load(&server).0 == index as u64);
    }
    log.open();
    for client in &mut clients {
        image(&client.read().unwrap());
    }
    assert_eq!(log.batches(), [1, 3, 3]);
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let (server, log) = logged(0, |config| (config.queue, config.max_images, config.max_batch) = (2, 2, 1));
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        ask(client, &json!({ "prompt": "wait", "steps": 2, "seed": index }));
        wait_until("it is taken", || load(&server) == (index as u64, 1));
    }
    let refused = server.post(GENERATE, &json!({ "prompt": "" }));
    assert_eq!(refused.error(), (429, "queue_full".into()));
    assert_eq!(refused.json()["error"]["type"], json!("rate_limit_error"));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    log.open();
    for client in &mut clients {
        image(&client.read().unwrap());
    }
    image(&server.post(GENERATE, &json!({ "prompt": "", "steps": 1 })));
}

#[test]
fn a_client_that_goes_stops_the_engine() {
    for streams in [false, true] {
        let (server, log) = logged(20, |_| {});
        let mut client = server.client();
        ask(&mut client, &json!({ "prompt": "", "steps": 250, "stream": streams, "partial_images": 250 }));
        wait_until("it runs", || log.steps() > 3);
        drop(client);
        wait_until("it stops", || load(&server) == (0, 0));
        let steps = log.steps();
        assert!(steps < 200, "{steps} steps of 250 were taken");
        // A client that goes while it waits is never computed.
        image(&server.post(GENERATE, &json!({ "prompt": "", "steps": 1 })));
        assert_eq!(log.steps(), steps + 1);
    }
}

#[test]
fn a_batch_goes_on_while_somebody_waits_for_it() {
    let (server, log) = logged(10, |_| {});
    let [mut first, mut goes, mut stays] = [0; 3].map(|_| server.client());
    ask(&mut first, &json!({ "prompt": "wait", "steps": 20, "guidance": 1 }));
    wait_until("the first runs", || load(&server) == (0, 1));
    for client in [&mut goes, &mut stays] {
        ask(client, &json!({ "prompt": "", "steps": 30 }));
    }
    wait_until("both wait", || load(&server) == (2, 1));
    log.open();
    wait_until("both run", || log.batches().len() == 2);
    drop(goes);
    image(&stays.read().unwrap());
    assert_eq!((log.batches(), log.steps()), (vec![1, 2], 50));
}

#[test]
fn time_that_is_over_stops_the_engine() {
    let (server, log) = logged(20, |config| config.timeout = 0.3);
    let answer = server.post(GENERATE, &json!({ "prompt": "", "steps": 250 }));
    assert_eq!(answer.error(), (504, "timeout".into()));
    wait_until("it stops", || load(&server) == (0, 0));
    assert!(log.steps() < 200, "{}", log.steps());
    let answer = server.post(GENERATE, &json!({ "prompt": "", "steps": 250, "stream": true }));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.events().pop().unwrap().0, "error");
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let server = Server::start(Toy::quick(8), |config| config.read_timeout = 0.2);
    let mut client = server.client();
    client.write(&head(GENERATE, "application/json", 100), b"{\"prompt\"");
    let answer = client.read().unwrap();
    assert_eq!(answer.error().0, 408);
    // Nor is a head that does not come.
    let mut client = server.client();
    client.write("GET / HTTP/1.1\r\nHost: local", b"");
    let began = Instant::now();
    let answer = client.read();
    assert!(answer.is_none_or(|answer| answer.status == 408));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn an_engine_that_panics_loses_one_batch() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name() != Some("interfuse-engine") {
            hook(info);
        }
    }));
    let server = Server::toy();
    assert_eq!(server.post(GENERATE, &json!({ "prompt": "panic" })).error(), (500, "model_failed".into()));
    image(&server.post(GENERATE, &json!({ "prompt": "calm" })));
}

#[test]
fn the_end_waits_for_what_is_there() {
    let (server, log) = logged(10, |config| config.grace = 20.0);
    let mut running = server.client();
    let mut kept = server.client();
    assert_eq!(kept.send("GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n", &[]).status, 200);
    ask(&mut running, &json!({ "prompt": "", "steps": 30 }));
    wait_until("it runs", || log.steps() > 0);
    server.stop();
    image(&running.read().unwrap());
    server.join().unwrap();
    assert!(kept.read().is_none(), "a connection without a request is closed");
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let (server, log) = logged(20, |config| config.grace = 0.1);
    let mut running = server.client();
    ask(&mut running, &json!({ "prompt": "", "steps": 250 }));
    wait_until("it runs", || log.steps() > 0);
    server.stop();
    assert_eq!(running.read().unwrap().error(), (503, "ending".into()));
    let began = Instant::now();
    server.join().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(log.steps() < 200);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let server = Server::toy();
    let config = ServeConfig { port: server.address.port(), ..ServeConfig::default() };
    let served = Served { engine: Box::new(Toy::quick(8)), training: None };
    let error = serve(served, &config, |_| panic!("not bound"), std::future::pending()).unwrap_err();
    assert!(matches!(error, ServeError::Bind { .. }));
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
}

#[test]
fn nothing_is_lost_with_64_clients() {
    let (server, log) = logged(0, |_| {});
    let answered = AtomicUsize::new(0);
    let until = Instant::now() + Duration::from_secs(2);
    let expected = image(&server.post(GENERATE, &json!({ "prompt": "hills", "steps": 2 })));
    std::thread::scope(|scope| {
        for number in 0..64u64 {
            let (server, answered, expected) = (&server, &answered, &expected);
            scope.spawn(move || {
                let mut client = server.client();
                for seed in 0.. {
                    if Instant::now() > until {
                        break;
                    }
                    let steps = 2 + (number + seed) % 2;
                    let streams = (number + seed).is_multiple_of(5);
                    let seed = seed % 3;
                    let body = json!({ "prompt": "hills", "steps": steps, "seed": seed, "stream": streams });
                    let answer = client.post(GENERATE, &body);
                    assert_eq!(answer.status, 200, "{}", answer.text());
                    if steps == 2 && seed == 0 && !streams {
                        assert_eq!(&image(&answer), expected);
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let answered = answered.into_inner();
    assert_eq!(log.batches().iter().sum::<usize>(), answered + 1, "every request was computed once");
    assert!(answered >= 64, "{answered}");
}
