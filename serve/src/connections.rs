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

/// How long clients whose connections wait in the socket's queue have to get in, once it closes.
const LAST_ACCEPTS: Duration = Duration::from_millis(100);
/// The longest pause between two of them.
const LAST_ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long open connections may bring one more request at the end. Its answer says that the
/// connection closes: one that closed without a word would lose what is on its way.
const LAST_REQUESTS: Duration = Duration::from_millis(300);

/// Serves until `stop` is done; then takes no more connections, calls `closed`, from which on
/// answers are to say that their connection closes, and waits for what is in flight.
pub(crate) async fn serve(
    listener: Listener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: Limits,
    (stop, closed): (impl Future<Output = ()>, impl FnOnce()),
) {
    let server = Connections {
        tls,
        router,
        head_timeout: limits.head_timeout,
        graceful: GracefulShutdown::new(),
        places: Arc::new(Semaphore::new(limits.connections)),
    };
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            () = server.accept(&listener) => {}
        }
    }
    let _ = tokio::time::timeout(LAST_ACCEPTS, async {
        let next = || tokio::time::timeout(LAST_ACCEPT_PAUSE, server.accept(&listener));
        while next().await.is_ok() {}
    })
    .await;
    drop(listener);
    closed();
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(LAST_REQUESTS, server.places.acquire_many(all)).await;
    let finished = tokio::time::timeout(limits.shutdown, server.graceful.shutdown()).await;
    if finished.is_err() {
        tracing::warn!("some requests had not finished in time, and are cut off");
    }
}

/// What every connection needs.
struct Connections {
    tls: Option<TlsAcceptor>,
    router: Router,
    head_timeout: Duration,
    graceful: GracefulShutdown,
    places: Arc<Semaphore>,
}

impl Connections {
    /// Waits for a connection, and answers on it from then on.
    async fn accept(&self, listener: &Listener) {
        let place = self.places.clone().acquire_owned().await;
        let connection = match listener.accept().await {
            Ok(connection) => connection,
            Err(cause) => {
                tracing::warn!(%cause, "a connection could not be accepted");
                tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
                return;
            }
        };
        let (router, tls) = (self.router.clone(), self.tls.clone());
        let (head_timeout, watcher) = (self.head_timeout, self.graceful.watcher());
        tokio::spawn(async move {
            let _place = place;
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
