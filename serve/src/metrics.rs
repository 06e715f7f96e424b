//! What is counted, for Prometheus. No label ever comes from a text or from a client.

use std::sync::atomic::{AtomicI64, AtomicU64};

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
    pub(crate) queue: Gauge<i64, AtomicI64>,
    pub(crate) queue_seconds: Histogram,
    pub(crate) check_seconds: Histogram,
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
            queue: Gauge::default(),
            queue_seconds: seconds(),
            check_seconds: seconds(),
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
            "A worker's time on one text or one look at a stream: tokenising and the network",
            metrics.check_seconds.clone(),
        );
        registry.register(
            "request_seconds",
            "From a request's head until its response's head",
            metrics.request_seconds.clone(),
        );
        metrics
    }

    /// In OpenMetrics' text form, which Prometheus reads.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
