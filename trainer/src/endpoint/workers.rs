//! Many requests at once: threads that ask, and one that keeps what they are told.

use std::collections::{HashMap, HashSet};
use std::iter;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::chat::{ChatRequest, Completion};
use super::client::{Client, RequestError};
use super::error::{EndpointError, refuse};
use super::journal::Journal;
use super::settings::{EndpointSettings, MAX_BACKOFF};

/// A server that asks to be left alone for longer has said no.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// A model behind an address. Shared between threads; each call of [`Endpoint::complete_all`] has
/// threads of its own.
pub(crate) struct Endpoint {
    settings: EndpointSettings,
    client: Client,
}

/// What a worker has to say of a request: its key and its completion, or why no request will ever
/// be answered.
type WorkerMessage = (String, Result<Completion, String>);

impl Endpoint {
    /// Checks the settings and reads the key from the environment. Nothing is sent yet.
    ///
    /// # Errors
    /// A setting out of its range; a key that is asked for and not there.
    pub(crate) fn new(settings: EndpointSettings) -> Result<Self, EndpointError> {
        for (setting, holds, expected) in settings.checks() {
            if !holds {
                return Err(refuse(&settings.base_url, setting, expected));
            }
        }
        let client = Client::new(&settings)?;
        Ok(Self { settings, client })
    }

    /// One completion per request, in their order, from the journal where it has them.
    ///
    /// The journal is created where there is none. `progress` is told (answered or failed, in all),
    /// of requests that differ, at the start and whenever there is something new.
    ///
    /// # Errors
    /// The server turns everything away or fails too often in a row; the journal cannot be used. A
    /// request that fails alone is a [`Completion::Failed`].
    pub(crate) fn complete_all(
        &self,
        requests: &[ChatRequest],
        journal: Option<&Path>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<Completion>, EndpointError> {
        let (mut journal, mut completions) = match journal {
            None => (None, HashMap::new()),
            Some(path) => {
                let (journal, completions) = Journal::open(path)?;
                (Some(journal), completions)
            }
        };
        let keys: Vec<String> = requests.iter().map(|r| self.key(r)).collect();
        let distinct: HashSet<&String> = keys.iter().collect();
        let mut asked = HashSet::new();
        let missing: Vec<(&String, &ChatRequest)> = iter::zip(&keys, requests)
            .filter(|(key, _)| !completions.contains_key(*key) && asked.insert(*key))
            .collect();
        let mut done = distinct.len() - missing.len();
        progress(done, distinct.len());

        let (next, stop) = (AtomicUsize::new(0), StopSignal::default());
        thread::scope(|scope| {
            let workers = self.settings.concurrency.min(missing.len());
            let (sender, receiver) = sync_channel(workers);
            for _ in 0..workers {
                let (sender, missing, next, stop) = (sender.clone(), &missing, &next, &stop);
                let worker = move || self.work(missing, next, stop, &sender);
                if let Err(source) = thread::Builder::new().spawn_scoped(scope, worker) {
                    stop.set();
                    return Err(EndpointError::Threads {
                        concurrency: workers,
                        source,
                    });
                }
            }
            drop(sender);
            let collected =
                self.collect_answers(&receiver, &mut journal, &stop, |key, completion| {
                    completions.insert(key, completion);
                    done += 1;
                    progress(done, distinct.len());
                });
            stop.set();
            collected
        })?;
        // Nothing stopped, so every key has its completion.
        Ok(keys.iter().map(|key| completions[key].clone()).collect())
    }

    /// Asks for one missing completion after another.
    fn work(
        &self,
        missing: &[(&String, &ChatRequest)],
        next: &AtomicUsize,
        stop: &StopSignal,
        sender: &SyncSender<WorkerMessage>,
    ) {
        while let Some(&(key, request)) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Some(answer) = self.complete(request, key, stop) else {
                return;
            };
            if sender.send((key.clone(), answer)).is_err() {
                return;
            }
        }
    }

    /// Keeps what the workers send until all are done. When the endpoint is given up it still keeps
    /// what is under way.
    fn collect_answers(
        &self,
        receiver: &Receiver<WorkerMessage>,
        journal: &mut Option<Journal>,
        stop: &StopSignal,
        mut keep: impl FnMut(String, Completion),
    ) -> Result<(), EndpointError> {
        let (mut failures, mut given_up) = (0, None);
        while let Ok(first) = receiver.recv() {
            // What has come in meanwhile is written with it: one wait for the disk serves all.
            let rest = receiver.try_iter().take(self.settings.concurrency);
            let mut answered = Vec::new();
            for (key, answer) in iter::once(first).chain(rest) {
                match answer {
                    Ok(completion) => answered.push((key, completion)),
                    Err(reason) => given_up = Some(EndpointError::Rejected { reason }),
                }
            }
            if let Some(journal) = journal {
                journal.append(&answered)?;
            }
            for (key, completion) in answered {
                if let Completion::Failed { reason } = &completion {
                    failures += 1;
                    if failures >= self.settings.stop_after_failures && given_up.is_none() {
                        given_up = Some(EndpointError::TooManyFailures {
                            failures,
                            reason: reason.clone(),
                            journal: journal.as_ref().map(|j| j.path().to_owned()),
                        });
                    }
                } else {
                    failures = 0;
                }
                keep(key, completion);
            }
            if given_up.is_some() {
                stop.set();
            }
        }
        given_up.map_or(Ok(()), Err)
    }

    /// Asks until there is an answer or there will be none; `None` when told to stop.
    fn complete(
        &self,
        request: &ChatRequest,
        key: &str,
        stop: &StopSignal,
    ) -> Option<Result<Completion, String>> {
        let body = self.body(request);
        for tried in 0.. {
            if stop.wait(Duration::ZERO) {
                return None;
            }
            let (reason, retry_after) = match self.client.ask(&body) {
                Ok(completion) => return Some(Ok(completion)),
                Err(RequestError::Endpoint(reason)) => return Some(Err(reason)),
                Err(RequestError::Permanent(reason)) => {
                    return Some(Ok(Completion::Failed { reason }));
                }
                Err(RequestError::Transient(reason, retry_after)) => (reason, retry_after),
            };
            if tried == self.settings.retries || retry_after > MAX_RETRY_AFTER {
                let reason = format!(
                    "{reason} (try {} of {})",
                    tried + 1,
                    self.settings.retries + 1
                );
                return Some(Ok(Completion::Failed { reason }));
            }
            if stop.wait(retry_after + self.backoff(tried, key)) {
                return None;
            }
        }
        None
    }

    /// The pause after try `tried`, from 0. Its random part follows from the request, so that
    /// requests do not come back together.
    pub(super) fn backoff(&self, tried: usize, key: &str) -> Duration {
        let digest = Sha256::digest(format!("{key} {tried}"));
        let random = f64::from(digest[0]) / 255.0;
        let grown = self.settings.backoff_s * 2f64.powi(tried.min(64) as i32);
        Duration::from_secs_f64(grown.min(MAX_BACKOFF.as_secs_f64()) * (1.0 - random / 2.0))
    }

    /// What is sent.
    fn body(&self, request: &ChatRequest) -> Vec<u8> {
        let settings = &self.settings;
        let randomness = format!("{} {}", settings.seed, request.randomness);
        let digest = Sha256::digest(randomness);
        // Servers hold seeds in signed or unsigned integers of 32 bits or more.
        let seed = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]) >> 1;
        let mut body = serde_json::json!({
            "model": settings.model,
            "messages": [{"role": "user", "content": request.prompt}],
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_tokens": settings.max_tokens,
            "seed": seed,
            "stream": false,
        });
        for (key, value) in &settings.extra_body {
            body[key] = value.clone();
        }
        body.to_string().into_bytes()
    }

    /// Hex sha256 of what is sent: all that an answer depends on, but not where it is sent.
    fn key(&self, request: &ChatRequest) -> String {
        let digest = Sha256::digest(self.body(request));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Wakes workers from their pauses when there is no use in going on.
#[derive(Default)]
struct StopSignal {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl StopSignal {
    fn set(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits; whether to stop.
    fn wait(&self, pause: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(stopped, pause, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
