//! A worker's life: it takes a look at a stream, or texts that can share runs of the engine.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;
use duoguard::{ErrorKind, Session, Stream};
use tokio::runtime::Handle;

use super::{Check, Job, Look, LookJob, Looked, worker_failed};
use crate::error::ApiError;
use crate::metrics::Metrics;

/// Opens a session like the one that was lost.
type Open = Box<dyn Fn() -> duoguard::Result<Session> + Send>;

/// About as many bytes of English as a token has: how many texts are taken at once is a matter of
/// speed alone.
const BYTES_PER_TOKEN: usize = 4;

pub(super) struct Worker {
    session: Session,
    open: Open,
    queue: crossbeam_channel::Receiver<Job>,
    /// All that empty the queue.
    workers: usize,
    /// Texts of this many bytes together fill a run of the engine; 0 where runs are not shared.
    run_bytes: usize,
    /// Where those run who wait for answers.
    runtime: Handle,
    metrics: Arc<Metrics>,
    /// Whether no session can be opened any more.
    is_ended: bool,
}

impl Worker {
    /// To be called inside the tokio runtime in which answers are waited for.
    pub(super) fn new(
        session: Session,
        open: Open,
        queue: crossbeam_channel::Receiver<Job>,
        workers: usize,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let run_bytes = match session.rows_at_once(1) {
            0 | 1 => 0,
            tokens => tokens * BYTES_PER_TOKEN,
        };
        Self {
            session,
            open,
            queue,
            workers,
            run_bytes,
            runtime: Handle::current(),
            metrics: metrics.clone(),
            is_ended: false,
        }
    }

    /// Works until the queue is closed, or until no session can be opened any more.
    pub(super) fn run(mut self) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| self.queue.recv().ok()) {
            match job {
                Job::Look(look) => self.look(look),
                Job::Check(check) => {
                    let (checks, other) = self.gather(check);
                    next = other;
                    self.check(checks);
                }
            }
            if self.is_ended {
                return;
            }
        }
    }

    /// Takes what waits and can share runs with a text: no more than is this worker's share of the
    /// queue, and than fills a run. What was taken and cannot is the next job.
    fn gather(&self, first: Check) -> (Vec<Check>, Option<Job>) {
        let mut bytes = first.text.bytes();
        let mut checks = vec![first];
        for _ in 0..self.queue.len() / self.workers {
            if bytes >= self.run_bytes {
                break;
            }
            match self.queue.try_recv() {
                Ok(Job::Check(check)) if Arc::ptr_eq(&check.options, &checks[0].options) => {
                    bytes += check.text.bytes();
                    checks.push(check);
                }
                Ok(other) => return (checks, Some(other)),
                Err(_) => break,
            }
        }
        (checks, None)
    }

    /// Gives each text its verdict.
    fn check(&mut self, mut checks: Vec<Check>) {
        // Nobody waits for some any more.
        checks.retain(|check| !check.reply.is_closed());
        let Some(first) = checks.first() else {
            return;
        };
        for check in &checks {
            self.metrics.waited(check.queued.elapsed());
        }
        let options = first.options.clone();
        let inputs: Vec<_> = checks.iter().map(|check| check.text.input()).collect();
        let together = self.run_on(inputs.len(), |s| s.check_many(&inputs, &options));
        let verdicts: Vec<_> = match together {
            Some(verdicts) => verdicts.into_iter().map(Some).collect(),
            None if inputs.len() == 1 => vec![None],
            // One of the texts makes the check panic, and the others are not to suffer from it.
            None => inputs
                .iter()
                .map(|input| self.run_on(1, |session| session.check_with(input, &options)))
                .collect(),
        };
        let replies = checks.into_iter().map(|check| {
            // The place is free before the answer is there, so that whoever has it may ask again.
            drop(check.place);
            check.reply
        });
        let replies: Vec<_> = replies.zip(verdicts.into_iter().map(told)).collect();
        let count = replies.len();
        let send = move || {
            for (reply, told) in replies {
                // Nobody may be listening any more: then there is nobody to tell.
                let _ = reply.send(told);
            }
        };
        // Each that is sent from here may wake a thread, which takes as long as a good part of the
        // check of a short text: so one is woken for all, and sends the others theirs.
        match count {
            1 => send(),
            _ => drop(self.runtime.spawn(async move { send() })),
        }
    }

    fn look(&mut self, job: LookJob) {
        if job.reply.is_closed() {
            return;
        }
        self.metrics.waited(job.queued.elapsed());
        let done = self.run_on(1, |session| looked(job.look, session));
        drop(job.place);
        let _ = job.reply.send(told(done));
    }

    /// Does something with the session and measures it. `None` if it panicked, or if there is no
    /// session any more.
    fn run_on<T>(&mut self, texts: usize, work: impl FnOnce(&mut Session) -> T) -> Option<T> {
        if self.is_ended {
            return None;
        }
        let (start, computed) = (Instant::now(), self.session.computing_time());
        let done = catch_unwind(AssertUnwindSafe(|| work(&mut self.session)));
        let network = self.session.computing_time() - computed;
        self.metrics.worked(texts, start.elapsed(), network);
        if done.is_err() {
            // The session's memory may be in any state.
            tracing::error!("a check panicked; the worker goes on with a new session");
            match (self.open)() {
                Ok(session) => self.session = session,
                Err(error) => {
                    tracing::error!(%error, "a worker ends: no new session can be opened");
                    self.is_ended = true;
                }
            }
        }
        done.ok()
    }
}

/// What whoever waits is told; nothing came of what panicked.
fn told<T>(done: Option<duoguard::Result<T>>) -> Result<T, ApiError> {
    done.map_or_else(|| Err(worker_failed()), |done| done.map_err(refused))
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
