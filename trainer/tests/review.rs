//! `duoguard-train review`: over HTTP, and in a real browser.

#[path = "../../tests/src/browser.rs"]
mod browser;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A proposal as a round leaves it; with an apostrophe and markup in it, which the page must show.
fn line(text: &str, rating: u8, score: f32) -> String {
    json!({
        "seed": 0, "seed_text": "Go away, you pest.", "kind": "prompt", "language": "de",
        "text": text, "unsafe": true, "categories": ["hate"], "group": "u1", "rating": rating,
        "score": score, "outcome": "misclassified",
    })
    .to_string()
}

/// The folder of a run whose first round is played, with three proposals of which two are doubtful.
fn played(folder: &Path) -> PathBuf {
    let run = folder.join("made-up");
    let round = run.join("round-1");
    fs::create_dir_all(&round).unwrap();
    let lines = [
        line("Geh weg, du <b>Plage</b>.", 3, 0.1),
        line("Niemand mag dich.", 5, 0.2),
        line("Du bist ein Narr.", 5, 0.9),
    ];
    fs::write(round.join("proposals.jsonl"), lines.join("\n")).unwrap();
    run
}

/// The page's server; ends when it is dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(run: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_duoguard-train"))
            .arg("review")
            .arg(run)
            .args(["--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let port = line.trim().trim_end_matches('/').rsplit(':').next();
        let port = port.unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
        Self { child, port }
    }

    /// Sends a request as it is, and returns all of the answer.
    fn send(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str, host: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        self.send(request.as_bytes())
    }

    fn post(&self, body: &str, kind: &str) -> String {
        let request = format!(
            "POST /answers HTTP/1.1\r\nhost: localhost:{}\r\ncontent-type: {kind}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        );
        self.send(request.as_bytes())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap()
}

fn reviewed(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("reviewed.jsonl")).unwrap();
    let lines = text.lines();
    lines.map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn answers_are_written_down_and_shown_again() {
    let folder = tempfile::tempdir().unwrap();
    let run = played(folder.path());
    let server = Server::start(&run);
    let items = |server: &Server| -> Value {
        let answer = server.get("/items", "127.0.0.1");
        assert_eq!(status(&answer), "200");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let found = items(&server);
    assert_eq!(found["run"], "made-up");
    // The greatest doubt first; what nobody doubts is not asked about.
    let texts: Vec<&str> = found["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["Geh weg, du <b>Plage</b>.", "Niemand mag dich."]);
    let reasons = json!(["unsure_judge", "classifier_against_label"]);
    assert_eq!(found["items"][0]["reasons"], reasons);
    assert_eq!(found["answers"], json!({}));

    const JSON: &str = "application/json";
    assert_eq!(
        status(&server.post(r#"{"item":1,"verdict":"unsafe"}"#, JSON)),
        "200"
    );
    assert_eq!(
        status(&server.post(r#"{"item":0,"verdict":"safe"}"#, JSON)),
        "200"
    );
    let answers = json!({"0": "safe", "1": "unsafe"});
    assert_eq!(items(&server)["answers"], answers);
    let lines = reviewed(&run);
    assert_eq!(lines[0]["text"], "Niemand mag dich.");
    assert_eq!(lines[0]["categories"], json!(["hate"]));
    assert_eq!(
        (&lines[1]["verdict"], &lines[1]["categories"]),
        (&json!("safe"), &json!([]))
    );

    for (body, kind, expected) in [
        (r#"{"item":2,"verdict":"safe"}"#, JSON, "422"),
        (r#"{"item":0,"verdict":"perhaps"}"#, JSON, "422"),
        (r#"{"item":0}"#, JSON, "422"),
        ("{", JSON, "400"),
        // What a form of another page can send.
        (r#"{"item":0,"verdict":"safe"}"#, "text/plain", "415"),
    ] {
        assert_eq!(status(&server.post(body, kind)), expected, "{body}");
    }
    assert_eq!(status(&server.get("/items", "elsewhere.example")), "403");
    assert_eq!(status(&server.get("/", "elsewhere.example")), "403");
    assert_eq!(reviewed(&run).len(), 2);

    // Another server on the same run knows the answers.
    drop(server);
    assert_eq!(items(&Server::start(&run))["answers"], answers);
}

#[test]
fn a_folder_without_a_round_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_duoguard-train"))
        .arg("review")
        .arg(folder.path())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{shown}");
    assert!(shown.contains("round-1/proposals.jsonl"), "{shown}");
}

/// A server before the page's, which adds a script to the page that presses keys; no request but
/// those of the page comes through.
fn with_keys(server: &Server, keys: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (behind, keys) = (server.port, keys.to_owned());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            // Requests here are small: head and body come in one piece, or the body follows.
            loop {
                let text = String::from_utf8_lossy(&request).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head.lines().find_map(|line| {
                        let line = line.to_lowercase();
                        line.strip_prefix("content-length: ")?.parse::<usize>().ok()
                    });
                    if body.len() >= length.unwrap_or(0) {
                        break;
                    }
                }
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    read => request.extend_from_slice(&buffer[..read]),
                }
            }
            if request.is_empty() {
                continue;
            }
            let text = String::from_utf8(request).unwrap();
            let text = text.replacen("\r\n", "\r\nconnection: close\r\n", 1);
            let text = text.replace("Connection: keep-alive\r\n", "");
            let mut server = TcpStream::connect(("127.0.0.1", behind)).unwrap();
            server.write_all(text.as_bytes()).unwrap();
            let mut answer = String::new();
            server.read_to_string(&mut answer).unwrap();
            if text.starts_with("GET / ") {
                let page = answer.split_once("\r\n\r\n").unwrap().1;
                let page = format!("{page}<script>{keys}</script>");
                answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n{page}",
                    page.len()
                );
            }
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    port
}

#[test]
fn a_browser_shows_the_texts_and_keys_answer_them() {
    let folder = tempfile::tempdir().unwrap();
    let run = played(folder.path());
    let server = Server::start(&run);
    let profile = folder.path().join("profile");
    let url = |port: u16| format!("http://127.0.0.1:{port}/");
    // The page's policy forbids requests elsewhere, and the browser would say that one was tried.
    let (console, document) = browser::shown(&profile, &url(server.port));
    assert!(console.is_empty(), "{console:?}");
    assert!(
        document.contains("Geh weg, du &lt;b&gt;Plage&lt;/b&gt;."),
        "{document}"
    );
    assert!(document.contains("0 of 2 answered"), "{document}");
    assert!(document.contains("the judge cannot tell"), "{document}");

    let keys = "const press = (key) => document.dispatchEvent(new KeyboardEvent('keydown', \
                { key })); const wait = (f) => setTimeout(f, 500); \
                wait(() => { press('u'); wait(() => { press('n'); wait(() => { \
                press('ArrowLeft'); press('s'); }); }); });";
    let (console, document) = browser::shown(&profile, &url(with_keys(&server, keys)));
    assert!(console.is_empty(), "{console:?}");
    assert!(document.contains("2 of 2 answered"), "{document}");
    let answers: Vec<(String, String)> = reviewed(&run)
        .iter()
        .map(|line| (line["text"].to_string(), line["verdict"].to_string()))
        .collect();
    let answer = |text: &str, verdict: &str| (json!(text).to_string(), json!(verdict).to_string());
    let first = "Geh weg, du <b>Plage</b>.";
    // At the last text there is none to go on to: the arrow leads back to the first.
    let expected = [
        answer(first, "unsafe"),
        answer("Niemand mag dich.", "unclear"),
        answer(first, "safe"),
    ];
    assert_eq!(answers, expected);
}
