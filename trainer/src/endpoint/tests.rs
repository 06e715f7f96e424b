//! The client against a server that misbehaves.

use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use serde_json::json;

use super::*;

mod failures;
mod journal;
mod server;

use server::{Act, Asked, Server, answer};

fn settings(server: &Server) -> EndpointSettings {
    EndpointSettings {
        base_url: server.url.clone(),
        model: "small".to_owned(),
        api_key_variable: None,
        concurrency: 3,
        timeout_s: 5.0,
        retries: 3,
        backoff_s: 0.001,
        stop_after_failures: 5,
        temperature: 0.7,
        top_p: 1.0,
        max_tokens: 64,
        seed: 7,
        extra_body: Default::default(),
    }
}

fn requests(count: usize) -> Vec<ChatRequest> {
    let request = |number| ChatRequest {
        prompt: format!("text {number}"),
        randomness: 0,
    };
    (0..count).map(request).collect()
}

fn finished(text: impl Into<String>) -> Completion {
    Completion::Finished { text: text.into() }
}

/// What a server that says everything twice makes of the requests.
fn echoed(requests: &[ChatRequest]) -> Vec<Completion> {
    let twice = |r: &ChatRequest| finished(format!("{0} {0}", r.prompt));
    requests.iter().map(twice).collect()
}

fn echo(asked: &Asked) -> Act {
    Act::Answer(format!("{0} {0}", asked.prompt))
}

fn ask(
    settings: EndpointSettings,
    requests: &[ChatRequest],
    journal: Option<&Path>,
) -> Result<Vec<Completion>, EndpointError> {
    Endpoint::new(settings)?.complete_all(requests, journal, &mut |_, _| {})
}

/// What becomes of one request, and how often it was asked.
fn ask_one(act: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> (Completion, usize) {
    let server = Server::start(act);
    let mut completions = ask(settings(&server), &requests(1), None).unwrap();
    (completions.remove(0), server.asked().len())
}

/// The same, for what must fail: its reason.
fn fail_one(act: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> (String, usize) {
    match ask_one(act) {
        (Completion::Failed { reason }, asked) => {
            assert!(reason.contains("http://127.0.0.1:"), "no address: {reason}");
            assert!(reason.contains("/v1/chat/completions"), "{reason}");
            (reason, asked)
        }
        (other, _) => panic!("did not fail: {other:?}"),
    }
}

#[test]
fn answers_come_in_order_from_a_bounded_number_of_connections() {
    // The first three are answered when all of them are there.
    let three = Barrier::new(3);
    let server = Server::start(move |asked| {
        if ["text 0", "text 1", "text 2"].contains(&asked.prompt.as_str()) {
            three.wait();
        }
        let late = if asked.prompt.ends_with('0') { 40 } else { 5 };
        let text = format!("{0} {0}", asked.prompt);
        Act::Late(Duration::from_millis(late), text)
    });
    let requests = requests(30);
    let mut told = Vec::new();
    let endpoint = Endpoint::new(settings(&server)).unwrap();
    let completions = endpoint
        .complete_all(&requests, None, &mut |done, all| told.push((done, all)))
        .unwrap();
    assert_eq!(completions, echoed(&requests));
    assert_eq!(server.most_busy(), 3);
    assert_eq!(server.connections(), 3, "connections are used again");
    assert_eq!(told, (0..=30).map(|done| (done, 30)).collect::<Vec<_>>());
}

#[test]
fn equal_requests_are_asked_once_and_randomness_makes_them_differ() {
    let server = Server::start(|asked| Act::Answer(asked.body["seed"].to_string()));
    let request = |randomness| ChatRequest {
        prompt: "text".to_owned(),
        randomness,
    };
    let requests = [request(1), request(2), request(1)];
    let mut settings = settings(&server);
    settings.base_url.push('/');
    settings.extra_body = [("top_k".to_owned(), json!(40))].into();
    let completions = ask(settings.clone(), &requests, None).unwrap();
    assert_eq!(completions[0], completions[2]);
    assert_ne!(completions[0], completions[1]);
    assert_eq!(ask(settings, &requests, None).unwrap(), completions);
    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    let Asked { head, mut body, .. } = asked[0].clone();
    assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"));
    assert!(!head.to_lowercase().contains("authorization"));
    let seed = body["seed"].take().as_u64().unwrap();
    assert!(seed <= i32::MAX as u64);
    let expected = json!({
        "model": "small", "messages": [{"role": "user", "content": "text"}], "temperature": 0.7,
        "top_p": 1.0, "max_tokens": 64, "seed": null, "stream": false, "top_k": 40,
    });
    assert_eq!(body, expected);
}

#[test]
fn an_answer_without_an_end_is_not_read_to_its_end() {
    let server = Server::start(|_| Act::Endless);
    let completions = ask(settings(&server), &requests(1), None).unwrap();
    let Completion::Failed { reason } = &completions[0] else {
        panic!("{completions:?}")
    };
    assert!(reason.contains("larger than 8388608 bytes"), "{reason}");
    assert_eq!(server.asked().len(), 1);
    // What the sockets on the way hold comes on top.
    assert!(server.endless_bytes() < 4 * client::MAX_ANSWER_BYTES as usize);
}

#[test]
fn a_request_that_is_not_taken_fails_alone() {
    let server = Server::start(|asked| match asked.prompt.as_str() {
        "text 2" => Act::Send(
            400,
            "",
            json!({"error": {"message": "longer than the context"}}).to_string(),
        ),
        _ => echo(asked),
    });
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.jsonl");
    let requests = requests(5);
    let completions = ask(settings(&server), &requests, Some(&journal)).unwrap();
    let mut expected = echoed(&requests);
    let Completion::Failed { reason } = &completions[2] else {
        panic!("{completions:?}")
    };
    assert!(
        reason.contains("status 400") && reason.contains("longer than the context"),
        "{reason}"
    );
    expected[2] = completions[2].clone();
    assert_eq!(completions, expected);
    assert_eq!(server.asked().len(), 5);

    // Failures are not kept: the next run asks for this one, and only for this one.
    let again = ask(settings(&server), &requests, Some(&journal)).unwrap();
    assert_eq!(again, completions);
    assert_eq!(server.asked().len(), 6);
    assert_eq!(server.asked()[5].prompt, "text 2");
}

#[test]
fn answers_that_are_cut_or_refused_are_told_apart() {
    let cut = |_: &Asked| Act::Send(200, "", answer("half a").replace("stop", "length"));
    let text = "half a".to_owned();
    assert_eq!(ask_one(cut), (Completion::Cut { text }, 1));

    let filtered = |_: &Asked| Act::Send(200, "", answer("").replace("stop", "content_filter"));
    let reason = "content_filter".to_owned();
    assert_eq!(ask_one(filtered), (Completion::Refused { reason }, 1));

    let message = json!({"content": null, "refusal": "I would rather not."});
    let body = json!({"choices": [{"message": message, "finish_reason": "stop"}]}).to_string();
    let reason = "I would rather not.".to_owned();
    let refused = move |_: &Asked| Act::Send(200, "", body.clone());
    assert_eq!(ask_one(refused), (Completion::Refused { reason }, 1));
}

#[test]
fn settings_out_of_their_range_are_refused() {
    let server = Server::start(echo);
    type Case = (&'static str, fn(&mut EndpointSettings));
    let cases: [Case; 19] = [
        ("base_url", |s| s.base_url = String::new()),
        ("base_url", |s| s.base_url = "localhost:8000".into()),
        ("base_url", |s| s.base_url = "ftp://localhost/v1".into()),
        ("base_url", |s| s.base_url += "/chat/completions"),
        ("base_url", |s| s.base_url += "?version=1"),
        ("base_url", |s| {
            s.base_url = "http://me:secret@host/v1".into()
        }),
        ("model", |s| s.model = String::new()),
        ("concurrency", |s| s.concurrency = 0),
        ("concurrency", |s| s.concurrency = 5000),
        ("timeout_s", |s| s.timeout_s = 0.0),
        ("timeout_s", |s| s.timeout_s = f64::INFINITY),
        ("timeout_s", |s| s.timeout_s = f64::NAN),
        ("backoff_s", |s| s.backoff_s = -1.0),
        ("stop_after_failures", |s| s.stop_after_failures = 0),
        ("temperature", |s| s.temperature = f64::NAN),
        ("top_p", |s| s.top_p = 0.0),
        ("max_tokens", |s| s.max_tokens = 0),
        ("extra_body", |s| {
            s.extra_body.insert("stream".into(), json!(true));
        }),
        ("NO_SUCH_VARIABLE_HERE is not set", |s| {
            s.api_key_variable = Some("NO_SUCH_VARIABLE_HERE".into());
        }),
    ];
    for (named, spoil) in cases {
        let mut settings = settings(&server);
        spoil(&mut settings);
        let Err(error) = Endpoint::new(settings) else {
            panic!("{named} was taken")
        };
        let error = error.to_string();
        assert!(
            error.contains(named) && !error.contains("secret"),
            "{error}"
        );
    }
    let mut settings = settings(&server);
    settings.base_url = "https://localhost/v1".into();
    assert_eq!(Endpoint::new(settings).is_ok(), cfg!(feature = "https"));
}
