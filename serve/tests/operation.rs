//! What whoever runs the server relies on: limits, keys, TLS, sockets, policy, shutdown.

mod common;

use std::time::Duration;

use axum::body::Body;
use common::{SAFE, UNSAFE, json_request, options, send, start};
use duoguard_serve::Listen;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

#[tokio::test]
async fn a_full_queue_is_429_and_says_when_to_come_again() {
    let mut small = options();
    small.limits.queue = 4;
    let server = start(&small).await;
    // More texts than there are places: none is taken.
    let body = json!({"input": [SAFE, SAFE, SAFE, SAFE, SAFE]});
    let (status, headers, answer) = server.post("/v1/moderations", &body).await;
    assert_eq!(status, 429, "{answer}");
    assert_eq!(headers["retry-after"], "1");
    assert_eq!(answer["error"]["type"], "rate_limit_error");
    // And the places are free again.
    let body = json!({"input": [SAFE, SAFE, SAFE, SAFE]});
    for _ in 0..3 {
        assert_eq!(server.post("/v1/moderations", &body).await.0, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn keys_open_what_is_not_public() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    // printf %s first | sha256sum
    std::fs::write(
        &keys,
        "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e\n",
    )
    .unwrap();
    let mut locked = options();
    locked.keys = Some(keys);
    let server = start(&locked).await;
    assert_eq!(server.get("/health").await.0, 200);
    assert_eq!(server.get("/metrics").await.0, 401);
    assert_eq!(server.get("/nowhere").await.0, 401);
    let body = json!({"input": SAFE});
    let (status, headers, answer) = server.post("/v1/moderations", &body).await;
    assert_eq!(
        (status.as_u16(), &headers["www-authenticate"]),
        (401, &"Bearer".parse().unwrap())
    );
    assert_eq!(answer["error"]["code"], "invalid_api_key");
    for (name, value) in [("authorization", "Bearer first"), ("x-api-key", "first")] {
        let mut request = json_request(&server.address, "/v1/moderations", &body);
        request.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(send(request).await.0, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn the_policy_is_read_again_and_a_wrong_one_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    let allow = format!("allow = [{UNSAFE:?}]\n");
    std::fs::write(&policy, "").unwrap();
    let mut with_policy = options();
    with_policy.policy = Some(policy.clone());
    let server = start(&with_policy).await;
    assert!(server.flags(UNSAFE).await);
    std::fs::write(&policy, &allow).unwrap();
    assert!(server.flags(UNSAFE).await, "before it is told");
    server.reload.send(()).await.unwrap();
    for _ in 0..100 {
        if !server.flags(UNSAFE).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!server.flags(UNSAFE).await);
    std::fs::write(&policy, "bogus = 1\n").unwrap();
    server.reload.send(()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!server.flags(UNSAFE).await, "the one before stays");
    server.stop().await;
}

#[tokio::test]
async fn what_is_in_flight_is_finished_and_nothing_is_lost() {
    let mut server = start(&options()).await;
    let text = SAFE.repeat(40);
    let body = json!({"input": vec![text; 32]});
    let asked = tokio::spawn({
        let request = json_request(&server.address, "/v1/moderations", &body);
        async move { send(request).await }
    });
    // Until it is in the queue.
    for _ in 0..200 {
        let (_, metrics) = server.get("/metrics").await;
        if metrics.contains("duoguard_queue_length 0") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        } else {
            break;
        }
    }
    server.ask_to_stop();
    let (status, _, body) = asked.await.unwrap();
    assert_eq!(status, 200);
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["results"].as_array().unwrap().len(), 32);
    let address = server.address.clone();
    server.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_client_that_sends_its_head_slowly_is_cut_off_and_others_are_served() {
    let mut hasty = options();
    hasty.limits.head_timeout = Duration::from_millis(300);
    let server = start(&hasty).await;
    let mut slow = TcpStream::connect(&server.address).await.unwrap();
    slow.write_all(b"POST /v1/moderations HTTP/1.1\r\nhost: a\r\n")
        .await
        .unwrap();
    assert!(!server.flags(SAFE).await);
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), slow.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection is still open");
    server.stop().await;
}

#[tokio::test]
async fn a_unix_socket_serves_and_a_left_over_one_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut unix = options();
    unix.listen = Listen::Unix(path.clone());
    let server = start(&unix).await;
    assert_eq!(server.address, format!("unix:{}", path.display()));
    let mut socket = UnixStream::connect(&path).await.unwrap();
    let request = b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    socket.write_all(request).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_panicking_or_absurd_request_does_not_end_the_server() {
    let server = start(&options()).await;
    let nested = "[".repeat(10_000);
    let mut request = json_request(&server.address, "/v1/moderations", &json!({}));
    *request.body_mut() = Body::from(nested);
    assert_eq!(send(request).await.0, 400);
    let strange = json!({"input": "\u{0}\u{202e}\u{fffd} \u{e0041}"});
    assert_eq!(server.post("/v1/moderations", &strange).await.0, 200);
    assert!(!server.flags("").await);
    server.stop().await;
}
