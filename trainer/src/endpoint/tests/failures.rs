//! What is tried again, what is reported, and when the endpoint is given up.

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

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
