//! The client against a server that misbehaves.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

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
fn what_may_pass_is_tried_again() {
    let troubles: [fn() -> Act; 8] = [
        || Act::Send(500, "", "out of memory".to_owned()),
        || Act::Send(503, "", String::new()),
        || Act::Send(429, "", String::new()),
        || Act::Send(200, "", "{\"choices\": [{".to_owned()),
        || Act::Send(200, "", "<html>busy</html>".to_owned()),
        || Act::Send(200, "", json!({"choices": []}).to_string()),
        || Act::HalfABody,
        || Act::HangUp,
    ];
    for (number, trouble) in troubles.into_iter().enumerate() {
        let twice_in_trouble = move |asked: &Asked| match asked.before {
            0 | 1 => trouble(),
            _ => Act::Answer("at last".to_owned()),
        };
        let expected = (finished("at last"), 3);
        assert_eq!(ask_one(twice_in_trouble), expected, "trouble {number}");
    }
}

#[test]
fn what_does_not_pass_is_reported_with_its_reason() {
    type Case = (fn() -> Act, &'static [&'static str]);
    let cases: [Case; 7] = [
        (
            || {
                Act::Send(
                    500,
                    "",
                    json!({"error": {"message": "no\n memory"}}).to_string(),
                )
            },
            &["status 500", "the server said \"no memory\"", "log"],
        ),
        (
            || Act::Send(503, "", String::new()),
            &["status 503", "the server said nothing"],
        ),
        (
            || Act::Send(200, "", "{\"choices\": [{".to_owned()),
            &["not JSON", "{\\\"choices\\\": [{", "OpenAI-compatible"],
        ),
        (
            || Act::Send(200, "", "{\"generated\": \"a text\"}".to_owned()),
            &["not a chat completion", "missing field `choices`"],
        ),
        (
            || Act::Send(200, "", answer("a text").replace("stop", "abort")),
            &["finish_reason Some(\"abort\")", "expected \"stop\""],
        ),
        (|| Act::HalfABody, &["is the server running"]),
        (|| Act::HangUp, &["is the server running"]),
    ];
    for (act, words) in cases {
        let (reason, asked) = fail_one(move |_| act());
        assert_eq!(asked, 4, "{reason}");
        for word in words.iter().chain(&["(try 4 of 4)"]) {
            assert!(reason.contains(word), "{word:?} is not in: {reason}");
        }
    }
}

#[test]
fn a_slow_answer_is_given_up_and_asked_for_again() {
    let slow_once = |asked: &Asked| match asked.before {
        0 => Act::Late(Duration::from_millis(600), "too late".to_owned()),
        _ => Act::Answer("in time".to_owned()),
    };
    let server = Server::start(slow_once);
    let mut settings = settings(&server);
    settings.timeout_s = 0.2;
    let completions = ask(settings.clone(), &requests(1), None).unwrap();
    assert_eq!(completions, [finished("in time")]);

    settings.retries = 0;
    let server = Server::start(|_| Act::Late(Duration::from_millis(600), "too late".to_owned()));
    settings.base_url = server.url.clone();
    let completions = ask(settings, &requests(1), None).unwrap();
    let Completion::Failed { reason } = &completions[0] else {
        panic!("{completions:?}")
    };
    assert!(
        reason.contains("no answer within 0.2 s") && reason.contains("raise timeout_s"),
        "{reason}"
    );
}

#[test]
fn a_server_that_wants_to_be_left_alone_is() {
    let start = Instant::now();
    let (completion, asked) = ask_one(|asked| match asked.before {
        0 => Act::Send(429, "Retry-After: 1\r\n", String::new()),
        _ => Act::Answer("at last".to_owned()),
    });
    assert_eq!((completion, asked), (finished("at last"), 2));
    assert!(start.elapsed() >= Duration::from_secs(1));

    // A date that has passed is no reason to wait, one far off no reason to hope.
    let (completion, _) = ask_one(|asked| match asked.before {
        0 => Act::Send(
            503,
            "Retry-After: Fri, 01 Jan 2021 00:00:00 GMT\r\n",
            String::new(),
        ),
        _ => Act::Answer("at last".to_owned()),
    });
    assert_eq!(completion, finished("at last"));
    let far = "Retry-After: Fri, 01 Jan 2100 00:00:00 GMT\r\n";
    let (reason, asked) = fail_one(move |_| Act::Send(429, far, String::new()));
    assert_eq!(asked, 1);
    assert!(reason.contains("status 429"), "{reason}");
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
fn a_server_that_turns_everything_away_is_not_asked_on() {
    for (status, headers, advice) in [
        (401, "", "api_key_variable"),
        (404, "", "base_url"),
        (307, "Location: https://example.org/v1\r\n", "example.org"),
    ] {
        // One request waits for a minute: it must not hold up the end.
        let server = Server::start(move |asked| match asked.prompt.as_str() {
            "text 0" => Act::Send(429, "Retry-After: 60\r\n", String::new()),
            _ => {
                let said = format!("{}: no", asked.head.to_lowercase());
                Act::Send(status, headers, said)
            }
        });
        let mut settings = settings(&server);
        // A variable that is set wherever tests run; here it plays the key.
        settings.api_key_variable = Some("CARGO_PKG_NAME".to_owned());
        settings.concurrency = 2;
        let start = Instant::now();
        let error = ask(settings, &requests(1000), None)
            .unwrap_err()
            .to_string();
        assert!(start.elapsed() < Duration::from_secs(30));
        assert!(server.asked().len() < 20, "{}", server.asked().len());
        let key = format!("Bearer {}\r\n", env!("CARGO_PKG_NAME"));
        assert!(server.asked()[0].head.contains(&key));
        for word in [
            &server.url,
            &format!("status {status}"),
            "bearer ***",
            advice,
        ] {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
    }
}

#[test]
fn an_endpoint_that_fails_too_often_is_given_up() {
    let broken = |asked: &Asked| match asked.prompt.as_str() {
        "text 0" | "text 1" => echo(asked),
        _ => Act::Send(502, "", "no upstream".to_owned()),
    };
    let server = Server::start(broken);
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.jsonl");
    let mut settings = settings(&server);
    (settings.retries, settings.concurrency) = (1, 2);
    let error = ask(settings.clone(), &requests(1000), Some(&journal)).unwrap_err();
    let words = [
        "5 requests in a row failed",
        &server.url,
        "status 502",
        "no upstream",
        journal.to_str().unwrap(),
    ];
    for word in words {
        let error = error.to_string();
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    let asked = server.asked().len();
    assert!((2 + 5 * 2..100).contains(&asked), "{asked}");

    // Mended, it is asked only for what is missing.
    let server = Server::start(echo);
    settings.base_url = server.url.clone();
    let requests = requests(10);
    let completions = ask(settings.clone(), &requests, Some(&journal)).unwrap();
    assert_eq!(completions, echoed(&requests));
    assert_eq!(server.asked().len(), 8);

    // Failures that are not in a row are only reported.
    let server = Server::start(
        |asked: &Asked| match asked.prompt.ends_with(['1', '3', '5']) {
            true => Act::Send(400, "", String::new()),
            false => echo(asked),
        },
    );
    settings.base_url = server.url.clone();
    (settings.concurrency, settings.stop_after_failures) = (1, 2);
    let completions = ask(settings, &requests[..7], None).unwrap();
    let failed = |c: &&Completion| matches!(c, Completion::Failed { .. });
    assert_eq!(completions.iter().filter(failed).count(), 3);
}

#[test]
fn nobody_listening_is_said() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let mut settings = settings(&Server::start(echo));
    settings.base_url = url.clone();
    let error = ask(settings, &requests(20), None).unwrap_err().to_string();
    for word in [
        &url,
        "5 requests in a row",
        "there is no journal",
        "running",
    ] {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
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

#[test]
fn pauses_grow_to_a_minute_and_differ() {
    let mut settings = settings(&Server::start(echo));
    settings.backoff_s = 1.0;
    let endpoint = Endpoint::new(settings).unwrap();
    for (tried, seconds) in [(0, 1.0), (1, 2.0), (3, 8.0), (6, 60.0), (usize::MAX, 60.0)] {
        let pauses = ["a", "b", "c"].map(|key| endpoint.backoff(tried, key).as_secs_f64());
        let range = seconds / 2.0..=seconds;
        assert!(
            pauses.iter().all(|pause| range.contains(pause)),
            "{pauses:?}"
        );
        assert!(
            pauses[0] != pauses[1] || pauses[0] != pauses[2],
            "{pauses:?}"
        );
    }
}
