//! What is counted, for Prometheus. No label ever comes from a text or from a client.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

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
    /// `block`, `flag` or `pass`; `audit` where all is only recorded; `none` for what is safe.
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

/// Metrics under their names; each is given back, to be counted with.
struct Register(Registry);

impl Register {
    fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    fn family<L, M>(&mut self, name: &str, help: &str) -> Family<L, M>
    where
        Family<L, M>: Metric + Clone + Default,
    {
        self.add(name, help, Family::default())
    }

    fn count(&mut self, name: &str, help: &str) -> Counter<u64, AtomicU64> {
        self.add(name, help, Counter::default())
    }

    /// From 100 microseconds, by doubling, to 13 s: a check of the small model takes a millisecond,
    /// one of a long text under load takes seconds.
    fn seconds(&mut self, name: &str, help: &str) -> Histogram {
        let buckets = exponential_buckets(1e-4, 2.0, 18);
        self.add(name, help, Histogram::new(buckets))
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut all = Register(Registry::with_prefix("duoguard"));
        let sizes = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
        Self {
            requests: all.family("requests", "Requests answered"),
            verdicts: all.family("verdicts", "Verdicts given"),
            errors: all.family("errors", "Requests refused or failed"),
            tokens: all.count("tokens", "Tokens scored"),
            unchecked: all.count(
                "unchecked",
                "Texts let through without a verdict, by fail-open",
            ),
            unguarded: all.count(
                "unguarded",
                "Requests with a body passed on at addresses that are not guarded",
            ),
            queue: all.add(
                "queue_length",
                "Texts that wait or are worked on",
                Gauge::default(),
            ),
            queue_seconds: all.seconds(
                "queue_seconds",
                "From a text's arrival in the queue until a worker takes it",
            ),
            check_seconds: all.seconds(
                "check_seconds",
                "A worker's time on one look at a stream, or on the texts that it took at once",
            ),
            tokenizing_seconds: all.seconds(
                "tokenizing_seconds",
                "Of it, reading, tokenising and deciding",
            ),
            network_seconds: all.seconds("network_seconds", "Of it, the network"),
            run_texts: all.add(
                "run_texts",
                "Texts that a worker took at once",
                Histogram::new(sizes),
            ),
            request_seconds: all.seconds(
                "request_seconds",
                "From a request's head until its response's head",
            ),
            registry: all.0,
        }
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
