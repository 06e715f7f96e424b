//! The proxy, with an upstream made for the test.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use common::{Running, SAFE, UNSAFE, client, json_request, options, send, start};
use duoguard_serve::{PolicyOverrides, UpstreamOptions};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use serde_json::{Value, json};

/// What the upstream says, and what it saw.
#[derive(Default)]
struct Mock {
    /// The pieces of its answer.
    pieces: Vec<String>,
    delay: Duration,
    /// Breaks off after the pieces.
    breaks: bool,
    asked: Mutex<Vec<Value>>,
    sent: AtomicUsize,
    dropped: AtomicBool,
}

/// Notes when the answer's body is dropped.
struct Watch(Arc<Mock>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.dropped.store(true, Ordering::SeqCst);
    }
}

async fn complete(State(mock): State<Arc<Mock>>, body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let is_stream = asked["stream"] == true;
    mock.asked.lock().unwrap().push(asked);
    if !is_stream {
        let message = json!({"role": "assistant", "content": mock.pieces.concat()});
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        let body = json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "mock",
                          "choices": [choice]});
        return axum::Json(body).into_response();
    }
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        let chunk = json!({"id": "c1", "object": "chat.completion.chunk", "created": 1,
                           "model": "mock", "choices": [choice]});
        format!("data: {chunk}\n\n")
    };
    let mut events = vec![chunk(
        json!({"role": "assistant", "content": ""}),
        Value::Null,
    )];
    let pieces = mock.pieces.iter();
    events.extend(pieces.map(|piece| chunk(json!({"content": piece}), Value::Null)));
    let breaks = mock.breaks;
    if !breaks {
        events.push(chunk(json!({}), json!("stop")));
        events.push("data: [DONE]\n\n".to_owned());
    }
    let watch = Watch(mock.clone());
    let events = futures_util::stream::iter(events).then(move |event| {
        let mock = watch.0.clone();
        async move {
            tokio::time::sleep(mock.delay).await;
            mock.sent.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::io::Error>(event)
        }
    });
    // What is not written yet when a body fails is lost.
    let end = futures_util::stream::iter(breaks.then_some(())).then(|()| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Err(std::io::Error::other("broken"))
    });
    let body = Body::from_stream(events.chain(end));
    ([("content-type", "text/event-stream")], body).into_response()
}

async fn upstream(mock: Arc<Mock>) -> String {
    let router = Router::new()
        .route("/v1/chat/completions", post(complete))
        .route("/v1/models", get(|| async { "the upstream's models" }))
        .route(
            "/v1/completions",
            post(|| async { (StatusCode::IM_A_TEAPOT, "no tea") }),
        )
        .fallback(|request: Request| async move {
            let key = request.headers().get("authorization").cloned();
            format!("{} {key:?}", request.uri())
        })
        .with_state(mock);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/v1")
}

async fn guarded(mock: &Arc<Mock>, policy: &str, overrides: PolicyOverrides) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, policy).unwrap();
    let mut proxy = options();
    proxy.policy = Some(path);
    proxy.overrides = overrides;
    proxy.upstream = Some(UpstreamOptions {
        url: upstream(mock.clone()).await,
        key: None,
        timeout: Duration::from_secs(10),
    });
    start(&proxy).await
}

fn chat(text: &str, stream: bool) -> Value {
    json!({"model": "mock", "stream": stream, "messages": [{"role": "user", "content": text}]})
}

fn saying(text: &str) -> Arc<Mock> {
    Arc::new(Mock {
        pieces: text.split_inclusive(' ').map(str::to_owned).collect(),
        ..Mock::default()
    })
}

const PATH: &str = "/v1/chat/completions";

/// The chunks of a stream, and whether it ended with `[DONE]`.
fn chunks(body: &[u8]) -> (Vec<Value>, bool) {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let data: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    let is_done = data.last() == Some(&"[DONE]");
    let chunks = data
        .iter()
        .filter_map(|data| serde_json::from_str(data).ok());
    (chunks.collect(), is_done)
}

fn content(chunks: &[Value]) -> String {
    let pieces = chunks
        .iter()
        .filter_map(|c| c["choices"][0]["delta"]["content"].as_str());
    pieces.collect()
}

async fn stream(server: &Running, text: &str) -> (Vec<Value>, bool) {
    let (status, headers, body) =
        send(json_request(&server.address, PATH, &chat(text, true))).await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "text/event-stream");
    chunks(&body)
}

#[tokio::test]
async fn a_safe_exchange_passes_as_it_is() {
    let mock = saying("You mix flour and water, and wait for a day. ");
    let server = guarded(&mock, "", PolicyOverrides::default()).await;
    let (status, headers, answer) = server.post(PATH, &chat(SAFE, false)).await;
    assert_eq!(status, 200);
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        mock.pieces.concat()
    );
    assert!(!headers.contains_key("x-duoguard-flagged"));
    let (chunks, is_done) = stream(&server, SAFE).await;
    assert_eq!(content(&chunks), mock.pieces.concat());
    // Each event as it came: the role, the words, the end.
    assert_eq!(chunks.len(), mock.pieces.len() + 2);
    assert_eq!(
        chunks.last().unwrap()["choices"][0]["finish_reason"],
        "stop"
    );
    assert!(is_done);
    assert_eq!(
        *mock.asked.lock().unwrap(),
        [chat(SAFE, false), chat(SAFE, true)]
    );
    server.stop().await;
}

#[tokio::test]
async fn an_unsafe_prompt_never_reaches_the_upstream() {
    let mock = saying(SAFE);
    let server = guarded(&mock, "", PolicyOverrides::default()).await;
    let (status, _, answer) = server.post(PATH, &chat(UNSAFE, false)).await;
    assert_eq!(status, 200);
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "content_filter");
    assert_eq!(choice["message"]["content"], "");
    assert_eq!(answer["duoguard"]["direction"], "prompt");
    let category = answer["duoguard"]["category"].as_str().unwrap();
    assert!(
        choice["message"]["refusal"]
            .as_str()
            .unwrap()
            .contains(category)
    );
    assert!(!answer.to_string().contains("neighbour"), "{answer}");
    let (chunks, is_done) = stream(&server, UNSAFE).await;
    assert_eq!(chunks[0]["choices"][0]["finish_reason"], "content_filter");
    assert!(is_done);
    assert!(mock.asked.lock().unwrap().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_blocked_prompt_may_be_an_error_and_all_messages_may_be_checked() {
    let mock = saying(SAFE);
    let policy = "[prompts]\nblocked_as = \"error\"\nmessages = \"all\"\n";
    let server = guarded(&mock, policy, PolicyOverrides::default()).await;
    let mut body = chat(UNSAFE, false);
    let last = json!({"role": "user", "content": SAFE});
    body["messages"].as_array_mut().unwrap().push(last);
    let (status, _, answer) = server.post(PATH, &body).await;
    assert_eq!(status, 400, "{answer}");
    assert_eq!(answer["error"]["code"], "content_filter");
    assert!(mock.asked.lock().unwrap().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_response_that_turns_unsafe_is_cut_before_it() {
    let safe =
        "Here is how to bake bread. Mix flour, water, salt and yeast, and let it rest. ".repeat(3);
    let mock = saying(&format!("{safe}{UNSAFE} {UNSAFE} {UNSAFE} {safe}"));
    let policy = "[responses]\nholdback_bytes = 160\nlook_bytes = 16\nwith_prompt = false\n";
    let server = guarded(&mock, policy, PolicyOverrides::default()).await;
    let (chunks, is_done) = stream(&server, SAFE).await;
    let seen = content(&chunks);
    assert!(safe.starts_with(&seen), "{seen}");
    let last = &chunks.last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(
        (&last["id"], &last["model"]),
        (&json!("c1"), &json!("mock"))
    );
    assert_eq!(last["duoguard"]["direction"], "response");
    assert!(is_done);
    // As a whole it is blocked as a whole.
    let (_, _, answer) = server.post(PATH, &chat(SAFE, false)).await;
    assert_eq!(answer["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(answer["choices"][0]["message"]["content"], "");
    server.stop().await;
}

#[tokio::test]
async fn audit_and_flag_only_say_so() {
    let mock = saying(UNSAFE);
    let audit = PolicyOverrides {
        audit: true,
        ..PolicyOverrides::default()
    };
    let flag = "[prompts]\naction = \"flag\"\n[responses]\naction = \"flag\"\n";
    for (policy, overrides) in [("", audit), (flag, PolicyOverrides::default())] {
        let server = guarded(&mock, policy, overrides).await;
        let (status, headers, answer) = server.post(PATH, &chat(UNSAFE, false)).await;
        assert_eq!(status, 200);
        assert!(headers.contains_key("x-duoguard-flagged"), "{headers:?}");
        assert_eq!(answer["choices"][0]["message"]["content"], UNSAFE);
        let (chunks, is_done) = stream(&server, UNSAFE).await;
        assert_eq!((content(&chunks).as_str(), is_done), (UNSAFE, true));
        let (_, metrics) = server.get("/metrics").await;
        assert!(metrics.contains("direction=\"response\""), "{metrics}");
        server.stop().await;
    }
}

#[tokio::test]
async fn what_cannot_be_checked_is_refused_unless_fail_open_is_said() {
    let mock = saying(SAFE);
    let image = json!({"type": "image_url", "image_url": {"url": "data:,"}});
    let mut body = chat("", false);
    body["messages"][0]["content"] = json!([image]);
    let server = guarded(&mock, "", PolicyOverrides::default()).await;
    let (status, _, answer) = server.post(PATH, &body).await;
    assert_eq!(
        (status.as_u16(), &answer["error"]["code"]),
        (400, &json!("unchecked_input"))
    );
    assert!(mock.asked.lock().unwrap().is_empty());
    server.stop().await;
    let open = PolicyOverrides {
        fail_open: true,
        ..PolicyOverrides::default()
    };
    let server = guarded(&mock, "", open).await;
    assert_eq!(server.post(PATH, &body).await.0, 200);
    assert!(
        server
            .get("/metrics")
            .await
            .1
            .contains("duoguard_unchecked_total 1")
    );
    server.stop().await;
}

#[tokio::test]
async fn the_rest_is_passed_on_with_the_upstreams_own_errors() {
    let mock = saying(SAFE);
    let server = guarded(&mock, "", PolicyOverrides::default()).await;
    assert_eq!(server.get("/v1/models").await.1, "the upstream's models");
    assert_eq!(
        server.get("/v1/embeddings?a=b").await.1,
        "/v1/embeddings?a=b None"
    );
    let prompt = json!({"prompt": SAFE});
    let (status, _, body) = send(json_request(&server.address, "/v1/completions", &prompt)).await;
    assert_eq!(
        (status, &body[..]),
        (StatusCode::IM_A_TEAPOT, &b"no tea"[..])
    );
    // However the address of a completion is written, it is guarded.
    for path in [
        "//v1/chat/completions",
        "/v1/chat/completions/",
        "/v1/%63hat/./completions",
        "/chat/Completions",
        "/v1/chat/completions/x/..",
    ] {
        let (_, _, answer) = server.post(path, &chat(UNSAFE, false)).await;
        assert_eq!(
            answer["choices"][0]["finish_reason"], "content_filter",
            "{path}"
        );
    }
    // Our own addresses stay ours.
    assert!(server.flags(UNSAFE).await);
    server.stop().await;
}

#[tokio::test]
async fn the_policy_may_refuse_what_is_not_guarded() {
    let mock = saying(SAFE);
    let body = json!({"model": "mock", "input": UNSAFE});
    let passing = guarded(&mock, "", PolicyOverrides::default()).await;
    let request = json_request(&passing.address, "/v1/responses", &body);
    assert_eq!(send(request).await.2, b"/v1/responses None");
    let (_, metrics) = passing.get("/metrics").await;
    assert!(metrics.contains("duoguard_unguarded_total 1"), "{metrics}");
    passing.stop().await;
    let refuse = "unguarded = \"refuse\"\n";
    let server = guarded(&mock, refuse, PolicyOverrides::default()).await;
    for path in [
        "/v1/responses",
        "/v1/messages",
        "/v1/embeddings",
        "/api/chat",
    ] {
        let (status, _, answer) = server.post(path, &body).await;
        let found = (status.as_u16(), &answer["error"]["code"]);
        assert_eq!(found, (403, &json!("unguarded_address")), "{path}");
    }
    // What only asks still passes, and what is guarded is.
    assert_eq!(server.get("/v1/models").await.1, "the upstream's models");
    assert_eq!(server.get("/v1/files").await.1, "/v1/files None");
    assert_eq!(server.post(PATH, &chat(SAFE, false)).await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502() {
    let mut proxy = options();
    proxy.upstream = Some(UpstreamOptions {
        url: "http://127.0.0.1:1".to_owned(),
        key: None,
        timeout: Duration::from_secs(5),
    });
    let server = start(&proxy).await;
    let (status, _, answer) = server.post(PATH, &chat(SAFE, false)).await;
    assert_eq!(
        (status.as_u16(), &answer["error"]["code"]),
        (502, &json!("upstream_unreachable"))
    );
    server.stop().await;
}

#[tokio::test]
async fn an_upstream_that_breaks_off_breaks_off_for_the_client_too() {
    let mock = Arc::new(Mock {
        pieces: vec!["Mix flour and water. ".to_owned()],
        breaks: true,
        ..Mock::default()
    });
    let server = guarded(&mock, "", PolicyOverrides::default()).await;
    let request = json_request(&server.address, PATH, &chat(SAFE, true));
    let response = client().request(request).await.unwrap();
    let mut body = response.into_body();
    let (mut seen, mut is_broken) = (Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => seen.extend(frame.into_data().unwrap_or_default()),
            Err(_) => is_broken = true,
        }
    }
    assert!(is_broken);
    // What had come was judged, and is there.
    assert_eq!(content(&chunks(&seen).0), "Mix flour and water. ");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_upstream() {
    let mock = Arc::new(Mock {
        pieces: vec!["bread ".to_owned(); 10_000],
        delay: Duration::from_millis(2),
        ..Mock::default()
    });
    let server = guarded(&mock, "", PolicyOverrides::default()).await;
    let request = json_request(&server.address, PATH, &chat(SAFE, true));
    let mut body = client().request(request).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    for _ in 0..500 {
        if mock.dropped.load(Ordering::SeqCst) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(mock.dropped.load(Ordering::SeqCst));
    assert!(mock.sent.load(Ordering::SeqCst) < 5_000);
    server.stop().await;
}
