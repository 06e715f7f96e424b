//! One bounded queue of checks, and the threads that empty it, each with a session.

mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use duoguard::{CheckOptions, Input, Model, SessionOptions, Stream, StreamOptions, Verdict};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use self::thread::Worker;
use crate::error::ApiError;
use crate::metrics::Metrics;

/// A text to check, with what it answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text {
    pub(crate) prompt: String,
    pub(crate) response: Option<String>,
    pub(crate) language: Option<String>,
}

/// The next look at a stream.
pub(crate) enum Look {
    /// A new stream, and its first piece.
    First(Box<StreamOptions>, Vec<u8>),
    /// Another piece.
    Next(Box<Stream>, Vec<u8>),
    /// The verdict on the whole.
    Last(Box<Stream>),
}

/// What a look gives back: the stream, to go on with, and the verdict.
pub(crate) type Looked = (Box<Stream>, Verdict);

/// What a worker takes: data and not a closure, so that it may take several checks at once.
enum Job {
    Check(Check),
    Look(LookJob),
}

/// A text that waits for its verdict.
struct Check {
    text: Text,
    options: Arc<CheckOptions>,
    reply: oneshot::Sender<Result<Verdict, ApiError>>,
    queued: Instant,
    /// The place in the queue, given back when the work is done.
    place: OwnedSemaphorePermit,
}

/// A look that waits.
struct LookJob {
    look: Look,
    reply: oneshot::Sender<Result<Looked, ApiError>>,
    queued: Instant,
    place: OwnedSemaphorePermit,
}

impl Text {
    fn input(&self) -> Input<'_> {
        Input {
            prompt: &self.prompt,
            response: self.response.as_deref(),
            language: self.language.as_deref(),
        }
    }

    fn bytes(&self) -> usize {
        self.prompt.len() + self.response.as_ref().map_or(0, String::len)
    }
}

/// The queue and the threads that empty it.
pub(crate) struct Workers {
    jobs: crossbeam_channel::Sender<Job>,
    /// One permit for each text that may wait or be worked on.
    places: Arc<Semaphore>,
    capacity: usize,
    alive: Arc<AtomicUsize>,
    timeout: Duration,
    engine: String,
    metrics: Arc<Metrics>,
}

impl Workers {
    /// Opens `count` sessions and starts their threads.
    pub(crate) fn start(
        model: &Model,
        session: &SessionOptions,
        (count, capacity, timeout): (usize, usize, Duration),
        metrics: Arc<Metrics>,
    ) -> duoguard::Result<Self> {
        let (jobs, queue) = crossbeam_channel::unbounded::<Job>();
        let alive = Arc::new(AtomicUsize::new(0));
        let mut engine = String::new();
        for _ in 0..count {
            let first = model.session(session)?;
            first.engine().clone_into(&mut engine);
            // Later sessions of this worker take the engine that the first one took.
            let again = SessionOptions {
                engine: duoguard::EngineChoice::Named(engine.clone()),
                threads: session.threads,
            };
            let (model, alive) = (model.clone(), alive.clone());
            let open = move || model.session(&again);
            let worker = Worker::new(first, Box::new(open), queue.clone(), count, &metrics);
            alive.fetch_add(1, Ordering::Relaxed);
            std::thread::spawn(move || {
                worker.run();
                alive.fetch_sub(1, Ordering::Relaxed);
            });
        }
        Ok(Self {
            jobs,
            places: Arc::new(Semaphore::new(capacity)),
            capacity,
            alive,
            timeout,
            engine,
            metrics,
        })
    }

    /// The engine of every session.
    pub(crate) fn engine(&self) -> &str {
        &self.engine
    }

    /// Whether texts can be checked.
    pub(crate) fn are_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed) > 0
    }

    /// Texts that wait or are worked on.
    pub(crate) fn queue_length(&self) -> usize {
        self.capacity - self.places.available_permits()
    }

    /// Checks all of the texts, or none: the queue has room for all, or the answer is 429.
    pub(crate) async fn check(
        &self,
        texts: Vec<Text>,
        options: &Arc<CheckOptions>,
    ) -> Result<Vec<Verdict>, ApiError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let count = u32::try_from(texts.len()).map_err(|_| ApiError::queue_full())?;
        let places = self.places.clone().try_acquire_many_owned(count);
        let mut places = places.map_err(|_| ApiError::queue_full())?;
        let mut replies = Vec::with_capacity(texts.len());
        for text in texts {
            let place = places.split(1).ok_or_else(ApiError::queue_full)?;
            let (reply, answer) = oneshot::channel();
            self.send(Job::Check(Check {
                text,
                options: options.clone(),
                reply,
                queued: Instant::now(),
                place,
            }))?;
            replies.push(answer);
        }
        let all = async {
            let mut verdicts = Vec::with_capacity(replies.len());
            for answer in replies {
                verdicts.push(answer.await.map_err(|_| worker_failed())??);
            }
            Ok(verdicts)
        };
        tokio::time::timeout(self.timeout, all)
            .await
            .unwrap_or_else(|_| Err(self.too_slow()))
    }

    /// Looks at a stream. A stream that has begun waits for its place: refusing it would cut the
    /// response off.
    pub(crate) async fn look(&self, look: Look) -> Result<Looked, ApiError> {
        let looked = async {
            let place = self.places.clone().acquire_owned().await;
            let place = place.map_err(|_| worker_failed())?;
            let (reply, answer) = oneshot::channel();
            self.send(Job::Look(LookJob {
                look,
                reply,
                queued: Instant::now(),
                place,
            }))?;
            answer.await.map_err(|_| worker_failed())?
        };
        tokio::time::timeout(self.timeout, looked)
            .await
            .unwrap_or_else(|_| Err(self.too_slow()))
    }

    fn send(&self, job: Job) -> Result<(), ApiError> {
        self.metrics.queue.set(self.queue_length() as i64);
        self.jobs.send(job).map_err(|_| worker_failed())
    }

    fn too_slow(&self) -> ApiError {
        let seconds = self.timeout.as_secs_f64();
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "check_timeout",
            format!("the check took more than {seconds} seconds: the text is not checked"),
        )
    }
}

fn worker_failed() -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "check_failed",
        "the check failed inside the server: the text is not checked",
    )
}
