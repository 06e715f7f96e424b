//! A chat server that behaves as badly as a test wants it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

/// One request as it came in.
#[derive(Clone)]
pub(crate) struct Asked {
    /// Its prompt.
    pub prompt: String,
    /// Requests with this prompt before it.
    pub before: usize,
    /// Its body.
    pub body: Value,
    /// Its lines up to the body.
    pub head: String,
}

/// What the server does with a request.
pub(crate) enum Act {
    /// Answers with this text.
    Answer(String),
    /// Answers after a while.
    Late(Duration, String),
    /// Sends a status, header lines (each ending in a line break) and a body.
    Send(u16, &'static str, String),
    /// Sends half of an answer and hangs up.
    HalfABody,
    /// Hangs up.
    HangUp,
    /// Sends an answer that does not end.
    Endless,
}

/// Whom a test talks to, on a port of its own.
pub(crate) struct Server {
    /// Where it is, as `base_url`.
    pub url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    asked: Mutex<Vec<Asked>>,
    busy: AtomicUsize,
    most_busy: AtomicUsize,
    connections: AtomicUsize,
    endless_bytes: AtomicUsize,
}

impl Server {
    /// Serves until the test's process ends.
    pub(crate) fn start(act: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (state, act) = (Arc::new(State::default()), Arc::new(act));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (state, act) = (shared.clone(), act.clone());
                state.connections.fetch_add(1, Ordering::SeqCst);
                // An error is the client hanging up.
                thread::spawn(move || serve(&stream.unwrap(), &state, &*act).ok());
            }
        });
        Self { url, state }
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// Their prompts, sorted.
    pub(crate) fn prompts(&self) -> Vec<String> {
        let mut prompts: Vec<String> = self.asked().into_iter().map(|a| a.prompt).collect();
        prompts.sort();
        prompts
    }

    /// Most requests that were under way at once.
    pub(crate) fn most_busy(&self) -> usize {
        self.state.most_busy.load(Ordering::SeqCst)
    }

    /// Connections that were made.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Bytes that an endless answer got rid of.
    pub(crate) fn endless_bytes(&self) -> usize {
        self.state.endless_bytes.load(Ordering::SeqCst)
    }
}

/// A good answer's body.
pub(crate) fn answer(text: &str) -> String {
    let message = json!({"role": "assistant", "content": text});
    json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).to_string()
}

fn serve(stream: &TcpStream, state: &State, act: &dyn Fn(&Asked) -> Act) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse().unwrap())
        });
        let mut body = vec![0; length.expect("a content-length")];
        reader.read_exact(&mut body)?;
        let body: Value = serde_json::from_slice(&body).unwrap();
        let prompt = body["messages"][0]["content"].as_str().unwrap().to_owned();
        let asked = {
            let mut all = state.asked.lock().unwrap();
            let before = all.iter().filter(|a| a.prompt == prompt).count();
            let asked = Asked {
                prompt,
                before,
                body,
                head,
            };
            all.push(asked.clone());
            asked
        };
        let busy = state.busy.fetch_add(1, Ordering::SeqCst) + 1;
        state.most_busy.fetch_max(busy, Ordering::SeqCst);
        let act = act(&asked);
        if let Act::Late(pause, _) = act {
            thread::sleep(pause);
        }
        // Before the client can ask for more.
        state.busy.fetch_sub(1, Ordering::SeqCst);
        match act {
            Act::Answer(text) | Act::Late(_, text) => send(stream, 200, "", &answer(&text))?,
            Act::Send(status, headers, body) => send(stream, status, headers, &body)?,
            Act::HangUp => return Ok(()),
            Act::HalfABody => {
                let body = answer("half of this is lost");
                let half = &body[..body.len() / 2];
                return send_part(stream, 200, "", half, body.len());
            }
            Act::Endless => {
                (&*stream).write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
                loop {
                    (&*stream).write_all(&[b' '; 65_536])?;
                    state.endless_bytes.fetch_add(65_536, Ordering::SeqCst);
                }
            }
        }
    }
}

fn send(stream: &TcpStream, status: u16, headers: &str, body: &str) -> std::io::Result<()> {
    send_part(stream, status, headers, body, body.len())
}

fn send_part(
    mut stream: &TcpStream,
    status: u16,
    headers: &str,
    body: &str,
    length: usize,
) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 {status} As asked\r\ncontent-length: {length}\r\n{headers}\r\n");
    stream.write_all(format!("{head}{body}").as_bytes())
}
