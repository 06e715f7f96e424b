//! Accepts connections, and lets those in flight finish at the end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::listen::{Connection, Listener};
use crate::options::Limits;

/// How long to wait after an accept that failed, as when there are no more file descriptors.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);

/// Serves until `stop` is done; then takes no more connections, and waits for what is in flight.
pub(crate) async fn serve(
    listener: Listener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (connection, place) = tokio::select! {
            () = &mut stop => break,
            accepted = accepted => accepted,
        };
        let connection = match connection {
            Ok(connection) => connection,
            Err(cause) => {
                tracing::warn!(%cause, "a connection could not be accepted");
                tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
                continue;
            }
        };
        let (router, tls, watcher) = (router.clone(), tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _place = place;
            let head_timeout = limits.head_timeout;
            match tls {
                None => answer(connection, router, head_timeout, watcher).await,
                Some(tls) => {
                    let shaken = tokio::time::timeout(head_timeout, tls.accept(connection)).await;
                    if let Ok(Ok(connection)) = shaken {
                        answer(Box::new(connection), router, head_timeout, watcher).await;
                    }
                }
            }
        });
    }
    drop(listener);
    let finished = tokio::time::timeout(limits.shutdown, graceful.shutdown()).await;
    if finished.is_err() {
        tracing::warn!("some requests had not finished in time, and are cut off");
    }
}

async fn answer(
    connection: Box<dyn Connection>,
    router: Router,
    head_timeout: Duration,
    watcher: Watcher,
) {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout);
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection(TokioIo::new(connection), service);
    // Clients that hang up are no error of the server.
    if let Err(cause) = watcher.watch(connection).await {
        tracing::debug!(%cause, "a connection ended early");
    }
}
