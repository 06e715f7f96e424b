//! Worker threads: each has a session, and takes checks from one bounded queue.
//!
//! [`Work`] is data and not a closure, so that a worker may take several checks at once when a
//! session can share one run of the engine between texts. Today [`Session::check_with`] takes one
//! text, and a worker takes one check: taking more would only keep them from the other workers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use duoguard::{
    CheckOptions, ErrorKind, Input, Model, Session, SessionOptions, Stream, StreamOptions, Verdict,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

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

enum Work {
    Check(
        Text,
        Arc<CheckOptions>,
        oneshot::Sender<Result<Verdict, ApiError>>,
    ),
    Look(Look, oneshot::Sender<Result<Looked, ApiError>>),
}

impl Work {
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Check(_, _, reply) => reply.is_closed(),
            Self::Look(_, reply) => reply.is_closed(),
        }
    }
}

struct Job {
    work: Work,
    queued: Instant,
    /// The place in the queue, given back when the work is done.
    place: OwnedSemaphorePermit,
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
            let (queue, alive, model) = (queue.clone(), alive.clone(), model.clone());
            let metrics = metrics.clone();
            alive.fetch_add(1, Ordering::Relaxed);
            std::thread::spawn(move || {
                work(first, &|| model.session(&again), &queue, &metrics);
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
            self.send(Work::Check(text, options.clone(), reply), place)?;
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
            self.send(Work::Look(look, reply), place)?;
            answer.await.map_err(|_| worker_failed())?
        };
        tokio::time::timeout(self.timeout, looked)
            .await
            .unwrap_or_else(|_| Err(self.too_slow()))
    }

    fn send(&self, work: Work, place: OwnedSemaphorePermit) -> Result<(), ApiError> {
        let job = Job {
            work,
            queued: Instant::now(),
            place,
        };
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

/// A worker's life: it ends when the queue is closed, or when no session can be opened any more.
fn work(
    mut session: Session,
    open: &dyn Fn() -> duoguard::Result<Session>,
    queue: &crossbeam_channel::Receiver<Job>,
    metrics: &Metrics,
) {
    for job in queue {
        if job.work.is_abandoned() {
            continue;
        }
        metrics
            .queue_seconds
            .observe(job.queued.elapsed().as_secs_f64());
        let start = Instant::now();
        let done = catch_unwind(AssertUnwindSafe(|| answer(job, &mut session)));
        metrics.check_seconds.observe(start.elapsed().as_secs_f64());
        if done.is_err() {
            // Whoever waited has its answer: the reply was dropped. The session's memory may be in
            // any state.
            tracing::error!("a check panicked; the worker goes on with a new session");
            match open() {
                Ok(opened) => session = opened,
                Err(error) => {
                    tracing::error!(%error, "a worker ends: no new session can be opened");
                    return;
                }
            }
        }
    }
}

fn answer(Job { work, place, .. }: Job, session: &mut Session) {
    // The place is free before the answer is there, so that whoever has it may ask again. Nobody
    // may be listening any more: then there is nobody to tell.
    match work {
        Work::Check(text, options, reply) => {
            let input = Input {
                prompt: &text.prompt,
                response: text.response.as_deref(),
                language: text.language.as_deref(),
            };
            let checked = session.check_with(&input, &options).map_err(refused);
            drop(place);
            let _ = reply.send(checked);
        }
        Work::Look(look, reply) => {
            let looked = looked(look, session).map_err(refused);
            drop(place);
            let _ = reply.send(looked);
        }
    }
}

fn looked(look: Look, session: &mut Session) -> duoguard::Result<Looked> {
    let (mut stream, piece) = match look {
        Look::First(options, piece) => (Box::new(Stream::new(session, *options)), piece),
        Look::Next(stream, piece) => (stream, piece),
        Look::Last(mut stream) => {
            let verdict = stream.finish(session)?;
            return Ok((stream, verdict));
        }
    };
    let verdict = match stream.push(session, &piece)? {
        Some(verdict) => verdict,
        None => stream.peek(session)?,
    };
    Ok((stream, verdict))
}

fn refused(error: duoguard::Error) -> ApiError {
    match error.kind() {
        ErrorKind::InvalidArgument => ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            error.to_string(),
        ),
        _ => {
            tracing::error!(%error, "a check failed");
            worker_failed()
        }
    }
}
