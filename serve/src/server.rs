//! A server's life: it is set up, it serves, it is asked to stop.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use duoguard::{Model, SessionOptions};

use crate::app::{App, router};
use crate::classify::unix_seconds;
use crate::connections;
use crate::keys::Keys;
use crate::listen::{Listener, acceptor};
use crate::metrics::Metrics;
use crate::moderation::Categories;
use crate::options::{ServeError, ServeOptions};
use crate::policy::{Policy, PolicyOverrides, Unguarded};
use crate::proxy::upstream::Upstream;
use crate::worker::Workers;

/// A server that listens and does not answer yet.
pub struct Server {
    app: Arc<App>,
    listener: Listener,
    tls: Option<tokio_rustls::TlsAcceptor>,
    policy: Option<PathBuf>,
    overrides: PolicyOverrides,
}

impl Server {
    /// Opens the sessions and the socket. To be called inside the tokio runtime that is to answer.
    pub async fn bind(
        model: &Model,
        session: &SessionOptions,
        options: &ServeOptions,
    ) -> Result<Self, ServeError> {
        let ServeOptions { limits, .. } = *options;
        let policy = Policy::load(
            options.policy.as_deref(),
            options.overrides,
            model.manifest(),
        )?;
        let keys = options.keys.as_deref().map(Keys::load).transpose()?;
        let tls = options.tls.as_ref().map(acceptor).transpose()?;
        let upstream = options.upstream.as_ref().map(|upstream| {
            let key = upstream.key.as_deref();
            Upstream::new(&upstream.url, key, keys.is_some(), upstream.timeout)
        });
        let upstream = upstream.transpose()?;
        let metrics = Arc::new(Metrics::new());
        let how_many = (options.workers.get(), limits.queue, limits.timeout);
        let workers = Workers::start(model, session, how_many, metrics.clone())?;
        let listener = Listener::bind(&options.listen).await?;
        if !listener.is_local() {
            let without = match (keys.is_some(), tls.is_some()) {
                (true, true) => "",
                (true, false) => ", without TLS",
                (false, true) => ", without API keys",
                (false, false) => ", without API keys and without TLS",
            };
            let address = listener.address();
            tracing::warn!(address, "other machines can reach this server{without}");
        }
        warn_of(&policy, upstream.is_some());
        let categories = Categories::new(model.categories())
            .map_err(|cause| ServeError::new(format!("the model's categories: {cause}")))?;
        let app = App {
            model: model.clone(),
            categories,
            workers,
            metrics,
            limits,
            keys,
            upstream,
            started: unix_seconds(),
            stopping: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            policy: RwLock::new(Arc::new(policy)),
        };
        Ok(Self {
            app: Arc::new(app),
            listener,
            tls,
            policy: options.policy.clone(),
            overrides: options.overrides,
        })
    }

    /// Where it listens: `127.0.0.1:8477`, or `unix:` and a path.
    pub fn address(&self) -> String {
        self.listener.address()
    }

    /// All that it answers, for a program that has a socket, or none, of its own.
    pub fn into_router(self) -> axum::Router {
        router(self.app)
    }

    /// Answers until `stop` is done, and then finishes what is in flight. Each time `reload` gives
    /// something, the policy's file is read again; one that is wrong is told of and not taken.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        mut reload: tokio::sync::mpsc::Receiver<()>,
    ) {
        let app = self.app.clone();
        let reloading = tokio::spawn(async move {
            while reload.recv().await.is_some() {
                let path = self.policy.as_deref();
                match Policy::load(path, self.overrides, app.model.manifest()) {
                    Ok(policy) => {
                        warn_of(&policy, app.upstream.is_some());
                        app.set_policy(policy);
                        tracing::info!("the policy was read again");
                    }
                    Err(error) => tracing::error!(%error, "the policy stays as it was"),
                }
            }
        });
        let app = self.app.clone();
        let stop = async move {
            stop.await;
            app.stopping.store(true, Ordering::Relaxed);
            tracing::info!("stopping: what is in flight is finished");
        };
        let limits = self.app.limits;
        let app = self.app.clone();
        let closed = move || app.closing.store(true, Ordering::Relaxed);
        let router = router(self.app);
        connections::serve(self.listener, self.tls, router, limits, (stop, closed)).await;
        reloading.abort();
    }
}

fn warn_of(policy: &Policy, has_upstream: bool) {
    if has_upstream && policy.unguarded == Unguarded::Pass {
        tracing::info!(
            "completions alone are guarded, and other addresses of the upstream pass unchecked; \
             the policy unguarded = \"refuse\" refuses what brings them something"
        );
    }
    if policy.fail_open {
        tracing::warn!("fail-open: texts that cannot be checked pass");
    }
    if policy.audit {
        tracing::warn!("audit: nothing is blocked, verdicts are only recorded");
    }
}

/// Serves until the process is asked to end (SIGTERM, or SIGINT as by Ctrl-C), and reads the policy
/// again on SIGHUP. Prints a line to standard error when it listens.
pub fn serve(
    model: &Model,
    session: &SessionOptions,
    options: &ServeOptions,
) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|cause| ServeError::new(format!("cannot start threads: {cause}")))?;
    runtime.block_on(async {
        let server = Server::bind(model, session, options).await?;
        let signals = Signals::new()
            .map_err(|cause| ServeError::new(format!("cannot wait for signals: {cause}")))?;
        let scheme = match options.tls {
            Some(_) => "https",
            None => "http",
        };
        let address = server.address();
        let url = match address.starts_with("unix:") {
            true => address,
            false => format!("{scheme}://{address}"),
        };
        // A server serves whether or not somebody reads this.
        let _ = writeln!(std::io::stderr(), "listening on {url}");
        let (stop, reload) = signals.listen();
        server.run(stop, reload).await;
        Ok(())
    })
}

/// The signals that a server obeys.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// What is done when the process is to end, and what tells to read the policy again.
    fn listen(mut self) -> (impl Future<Output = ()>, tokio::sync::mpsc::Receiver<()>) {
        let (reload, reloads) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            while self.hang_up.recv().await.is_some() && reload.send(()).await.is_ok() {}
        });
        let stop = async move {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        };
        (stop, reloads)
    }
}

/// Elsewhere Ctrl-C ends it, and the policy is read once.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    fn listen(self) -> (impl Future<Output = ()>, tokio::sync::mpsc::Receiver<()>) {
        let (_, reloads) = tokio::sync::mpsc::channel(1);
        let stop = async {
            let _ = tokio::signal::ctrl_c().await;
        };
        (stop, reloads)
    }
}
