//! What is counted, for Prometheus. No label ever comes from a text or from a client.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// A request that was answered.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) route: String,
    pub(crate) status: u16,
}

/// A verdict that was given.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct VerdictLabels {
    /// The flagged category, or `none`.
    pub(crate) category: String,
    pub(crate) language: String,
    pub(crate) direction: &'static str,
    /// `block`, `flag` or `pass`; `none` for what is safe.
    pub(crate) action: &'static str,
}

/// A request that was refused or failed.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct ErrorLabels {
    pub(crate) code: &'static str,
}

/// All metrics of a server.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Family<RequestLabels, Counter<u64, AtomicU64>>,
    pub(crate) verdicts: Family<VerdictLabels, Counter<u64, AtomicU64>>,
    pub(crate) errors: Family<ErrorLabels, Counter<u64, AtomicU64>>,
    pub(crate) tokens: Counter<u64, AtomicU64>,
    /// Verdicts that could not be drawn and were let through, because fail-open was asked for.
    pub(crate) unchecked: Counter<u64, AtomicU64>,
    /// Requests that brought the upstream something at an address that is not guarded.
    pub(crate) unguarded: Counter<u64, AtomicU64>,
    pub(crate) queue: Gauge<i64, AtomicI64>,
    queue_seconds: Histogram,
    check_seconds: Histogram,
    tokenizing_seconds: Histogram,
    network_seconds: Histogram,
    run_texts: Histogram,
    pub(crate) request_seconds: Histogram,
}

/// From 100 microseconds, by doubling, to 13 s: a check of the small model takes a millisecond, one
/// of a long text under load takes seconds.
fn seconds() -> Histogram {
    Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(
        1e-4, 2.0, 18,
    ))
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("duoguard"),
            requests: Family::default(),
            verdicts: Family::default(),
            errors: Family::default(),
            tokens: Counter::default(),
            unchecked: Counter::default(),
            unguarded: Counter::default(),
            queue: Gauge::default(),
            queue_seconds: seconds(),
            check_seconds: seconds(),
            tokenizing_seconds: seconds(),
            network_seconds: seconds(),
            run_texts: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]),
            request_seconds: seconds(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests answered", metrics.requests.clone());
        registry.register("verdicts", "Verdicts given", metrics.verdicts.clone());
        registry.register(
            "errors",
            "Requests refused or failed",
            metrics.errors.clone(),
        );
        registry.register("tokens", "Tokens scored", metrics.tokens.clone());
        registry.register(
            "unchecked",
            "Texts let through without a verdict, by fail-open",
            metrics.unchecked.clone(),
        );
        registry.register(
            "unguarded",
            "Requests with a body passed on at addresses that are not guarded",
            metrics.unguarded.clone(),
        );
        registry.register(
            "queue_length",
            "Texts that wait or are worked on",
            metrics.queue.clone(),
        );
        registry.register(
            "queue_seconds",
            "From a text's arrival in the queue until a worker takes it",
            metrics.queue_seconds.clone(),
        );
        registry.register(
            "check_seconds",
            "A worker's time on one look at a stream, or on the texts that it took at once",
            metrics.check_seconds.clone(),
        );
        registry.register(
            "tokenizing_seconds",
            "Of it, reading, tokenising and deciding",
            metrics.tokenizing_seconds.clone(),
        );
        registry.register(
            "network_seconds",
            "Of it, the network",
            metrics.network_seconds.clone(),
        );
        registry.register(
            "run_texts",
            "Texts that a worker took at once",
            metrics.run_texts.clone(),
        );
        registry.register(
            "request_seconds",
            "From a request's head until its response's head",
            metrics.request_seconds.clone(),
        );
        metrics
    }

    /// A text or a look was taken from the queue after this time.
    pub(crate) fn waited(&self, queue: Duration) {
        self.queue_seconds.observe(queue.as_secs_f64());
    }

    /// A worker was done with so many texts after this time, of which the network took a part.
    pub(crate) fn worked(&self, texts: usize, whole: Duration, network: Duration) {
        self.run_texts.observe(texts as f64);
        self.check_seconds.observe(whole.as_secs_f64());
        self.network_seconds.observe(network.as_secs_f64());
        let rest = whole.saturating_sub(network);
        self.tokenizing_seconds.observe(rest.as_secs_f64());
    }

    /// In OpenMetrics' text form, which Prometheus reads.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
