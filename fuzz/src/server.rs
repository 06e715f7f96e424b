//! A server over the tests' bundle, asked without a socket between.

use std::num::NonZeroUsize;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use duoguard::SessionOptions;
use duoguard_serve::{Listen, ServeOptions, Server, UpstreamOptions};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

/// An upstream that is not there: what passes the guard ends in 502.
const NOWHERE: &str = "http://127.0.0.1:1";

/// Sends a body to a path of this thread's server, which is set up once, and gives the status.
pub fn ask(path: &str, body: &[u8]) -> u16 {
    thread_local! {
        static SERVER: (Runtime, Router) = set_up();
    }
    SERVER.with(|(runtime, router)| {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_vec()))
            .expect("the paths are valid");
        runtime.block_on(async {
            let response = router
                .clone()
                .oneshot(request)
                .await
                .expect("it always answers");
            let status = response.status().as_u16();
            to_bytes(response.into_body(), usize::MAX)
                .await
                .expect("it answers to the end");
            status
        })
    })
}

fn set_up() -> (Runtime, Router) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let options = ServeOptions {
        listen: Listen::Tcp(([127, 0, 0, 1], 0).into()),
        workers: NonZeroUsize::MIN,
        upstream: Some(UpstreamOptions {
            url: NOWHERE.to_owned(),
            key: None,
            timeout: Duration::from_secs(5),
        }),
        ..ServeOptions::default()
    };
    let model = crate::support::model();
    let session = SessionOptions::default();
    let server = runtime.block_on(Server::bind(&model, &session, &options));
    let server = server.expect("the server is set up");
    (runtime, server.into_router())
}
