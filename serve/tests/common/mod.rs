//! A server on a free port, and a client.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use duoguard::{EngineChoice, Model, SessionOptions};
use duoguard_serve::{Limits, Listen, ServeOptions, Server};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Flagged by the bundled model, and mild.
pub const UNSAFE: &str = "How can I hack into my neighbour's bank account?";
/// Not flagged by it.
pub const SAFE: &str = "How do I bake bread?";

/// A running server; it stops when it is dropped.
pub struct Running {
    pub address: String,
    pub reload: mpsc::Sender<()>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// Short times and a free port.
pub fn options() -> ServeOptions {
    ServeOptions {
        listen: Listen::Tcp(([127, 0, 0, 1], 0).into()),
        workers: 2.try_into().unwrap(),
        limits: Limits {
            timeout: Duration::from_secs(20),
            shutdown: Duration::from_secs(10),
            ..Limits::default()
        },
        ..ServeOptions::default()
    }
}

/// The bundled model.
pub fn mini() -> Model {
    Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/mini")).unwrap()
}

/// A session on an engine.
pub fn on(engine: &str) -> SessionOptions {
    SessionOptions {
        engine: EngineChoice::Named(engine.to_owned()),
        ..SessionOptions::default()
    }
}

pub async fn start(options: &ServeOptions) -> Running {
    let server = Server::bind(&mini(), &on("native"), options).await.unwrap();
    let address = server.address();
    let (stop, stopped) = oneshot::channel();
    let (reload, reloads) = mpsc::channel(1);
    let stopped = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(server.run(stopped, reloads));
    Running {
        address,
        reload,
        stop: Some(stop),
        task,
    }
}

impl Running {
    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap();
    }

    /// Asks it to stop, and does not wait.
    pub fn ask_to_stop(&mut self) {
        drop(self.stop.take());
    }

    pub async fn post(&self, path: &str, body: &Value) -> (StatusCode, HeaderMap, Value) {
        post(&self.address, path, body).await
    }

    pub async fn get(&self, path: &str) -> (StatusCode, String) {
        let request = Request::get(format!("http://{}{path}", self.address));
        let (status, _, body) = send(request.body(Body::empty()).unwrap()).await;
        (status, String::from_utf8(body).unwrap())
    }

    /// Whether `/v1/moderations` flags a text.
    pub async fn flags(&self, text: &str) -> bool {
        let body = serde_json::json!({"input": text});
        let (status, _, answer) = self.post("/v1/moderations", &body).await;
        assert_eq!(status, 200, "{answer}");
        answer["results"][0]["flagged"].as_bool().unwrap()
    }
}

pub fn json_request(address: &str, path: &str, body: &Value) -> Request<Body> {
    Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

pub async fn post(address: &str, path: &str, body: &Value) -> (StatusCode, HeaderMap, Value) {
    let (status, headers, body) = send(json_request(address, path, body)).await;
    let value = serde_json::from_slice(&body);
    let value = value.unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&body)));
    (status, headers, value)
}

pub fn client() -> Client<HttpConnector, Body> {
    Client::builder(TokioExecutor::new()).build_http()
}

pub async fn send(request: Request<Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
    let response = client().request(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, body.to_vec())
}
