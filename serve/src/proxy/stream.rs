//! A response that streams: it is looked at as it comes, and each event reaches the client when
//! all text in it has been judged together with the text that follows.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use duoguard::{Stream, StreamOptions};
use futures_util::stream::poll_fn;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::mpsc;

use super::blocked::{self, Kind};
use super::sse::{self, Splitter};
use super::texts::string_leaves;
use crate::app::{App, Direction, blocks};
use crate::error::ApiError;
use crate::policy::Policy;
use crate::worker::{Look, Looked};

/// Between the last event that may be seen and the break after it.
const BEFORE_BREAK: Duration = Duration::from_millis(50);
/// Text that may wait for a look before the upstream is read no further, in bytes.
const MAX_UNJUDGED_BYTES: usize = 1 << 16;
/// Texts of one response (choices, and what each says and calls), at most.
const MAX_LANES: usize = 64;
/// Events on their way to a client that reads slowly.
const EVENTS_AHEAD: usize = 16;

/// One text of the response: what one choice says, or the arguments of one call.
struct Lane {
    /// The choice and the path in it.
    key: (u64, String),
    /// Not there while a worker has it.
    stream: Option<Box<Stream>>,
    /// Text that no look has begun on.
    waiting: Vec<u8>,
    /// All bytes so far.
    received: usize,
    /// Those that a look found safe.
    judged: usize,
    /// Whether the verdict on the whole is there, or none is asked for any more.
    is_done: bool,
}

impl Lane {
    /// Takes the next text, and says where it ends.
    fn take(&mut self, text: &str) -> usize {
        self.received += text.len();
        match self.is_done {
            true => self.judged = self.received,
            false => self.waiting.extend_from_slice(text.as_bytes()),
        }
        self.received
    }
}

/// An event, and for each text in it the lane and where the text ends.
struct Event {
    bytes: Vec<u8>,
    ends: Vec<(usize, usize)>,
}

/// A look in progress.
struct Looking {
    lane: usize,
    bytes: usize,
    is_last: bool,
    looked: Pin<Box<dyn Future<Output = Result<Looked, ApiError>> + Send>>,
}

/// How the upstream's stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Whole,
    BrokenOff,
}

/// Relays one response.
pub(crate) struct Guard {
    app: Arc<App>,
    policy: Arc<Policy>,
    prompt: Option<String>,
    kind: Kind,
    /// New bytes after which a lane is looked at.
    look_bytes: usize,
    /// Bytes that were judged and are held back all the same.
    keep_bytes: usize,
    lanes: Vec<Lane>,
    events: VecDeque<Event>,
    looking: Option<Looking>,
    /// The last chunk, whose id and model a block takes.
    head: Value,
}

type Out = mpsc::Sender<Result<Bytes, io::Error>>;

impl Guard {
    pub(crate) fn new(
        app: Arc<App>,
        policy: Arc<Policy>,
        prompt: Option<String>,
        kind: Kind,
    ) -> Self {
        // What waits for a look and what is kept behind it make up the holdback.
        let look_bytes = policy
            .responses
            .look_bytes
            .min(policy.responses.holdback_bytes);
        Self {
            keep_bytes: policy.responses.holdback_bytes - look_bytes,
            look_bytes,
            app,
            policy,
            prompt,
            kind,
            lanes: Vec::new(),
            events: VecDeque::new(),
            looking: None,
            head: Value::Null,
        }
    }

    /// The body that the client reads. Dropping it, as when the client is gone, ends the relay and
    /// with it the upstream's work.
    pub(crate) fn body(self, upstream: Incoming) -> Body {
        let (out, mut events) = mpsc::channel(EVENTS_AHEAD);
        tokio::spawn(self.relay(upstream, out));
        Body::from_stream(poll_fn(move |context| events.poll_recv(context)))
    }

    async fn relay(mut self, mut upstream: Incoming, out: Out) {
        let mut splitter = Splitter::default();
        let mut ended = None;
        loop {
            self.begin_look(ended.is_some());
            if self.release(&out).await.is_err() {
                return;
            }
            if let (Some(how), None) = (ended, &self.looking) {
                if how == Ended::BrokenOff {
                    // A body that fails takes with it what is not written yet.
                    tokio::time::sleep(BEFORE_BREAK).await;
                    let cause = "the upstream broke off in the middle of its answer";
                    let _ = out.send(Err(io::Error::other(cause))).await;
                }
                return;
            }
            let may_read = ended.is_none() && self.unjudged() < MAX_UNJUDGED_BYTES;
            let step = tokio::select! {
                () = out.closed() => return,
                looked = next(&mut self.looking), if self.looking.is_some() => self.take(looked),
                frame = upstream.frame(), if may_read => match frame {
                    Some(Ok(frame)) => {
                        let bytes = frame.into_data().unwrap_or_default();
                        self.read(&mut splitter, &bytes, &mut ended)
                    }
                    Some(Err(_)) => {
                        ended = Some(Ended::BrokenOff);
                        Ok(())
                    }
                    None => {
                        ended = Some(Ended::Whole);
                        splitter.rest().map_or(Ok(()), |rest| self.queue(rest).map(|_| ()))
                    }
                },
            };
            if let Err(last) = step {
                // A client that is gone does not read how it ended.
                let _ = out.send(Ok(last.into())).await;
                return;
            }
        }
    }

    /// Takes what has come. `Err` is the stream's end for the client.
    fn read(
        &mut self,
        splitter: &mut Splitter,
        bytes: &[u8],
        ended: &mut Option<Ended>,
    ) -> Result<(), Vec<u8>> {
        let events = splitter.push(bytes);
        let events =
            events.map_err(|_| failed(&too_large("an event of the upstream is too long")))?;
        for event in events {
            if self.queue(event)? {
                *ended = Some(Ended::Whole);
            }
        }
        Ok(())
    }

    /// Queues an event, and says whether it is the one that ends the stream.
    fn queue(&mut self, bytes: Vec<u8>) -> Result<bool, Vec<u8>> {
        let data = sse::data(&bytes);
        let mut ends = Vec::new();
        let is_end = data.as_deref() == Some(b"[DONE]");
        if let (Some(data), false) = (data, is_end) {
            for (key, text) in self.texts(&data) {
                let lane = self.lane(key)?;
                ends.push((lane, self.lanes[lane].take(&text)));
            }
        }
        self.events.push_back(Event { bytes, ends });
        Ok(is_end)
    }

    /// The texts in an event's data. What is no JSON is judged as it is written.
    fn texts(&mut self, data: &[u8]) -> Vec<((u64, String), String)> {
        let Ok(chunk) = serde_json::from_slice::<Value>(data) else {
            let text = String::from_utf8_lossy(data).into_owned();
            return vec![((0, "not JSON".to_owned()), text)];
        };
        let mut texts = Vec::new();
        let choices = chunk.get("choices").and_then(Value::as_array);
        for choice in choices.into_iter().flatten() {
            let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
            for field in ["delta", "text", "message"] {
                let leaves = choice.get(field).map(string_leaves).unwrap_or_default();
                let leaves = leaves.into_iter();
                texts.extend(
                    leaves.map(|(path, t)| ((index, field.to_owned() + &path), t.to_owned())),
                );
            }
        }
        if choices.is_some() {
            self.head = chunk;
        }
        texts
    }

    fn lane(&mut self, key: (u64, String)) -> Result<usize, Vec<u8>> {
        if let Some(lane) = self.lanes.iter().position(|lane| lane.key == key) {
            return Ok(lane);
        }
        if self.lanes.len() == MAX_LANES {
            return Err(failed(&too_large(
                "the answer has more texts than can be checked at once",
            )));
        }
        self.lanes.push(Lane {
            key,
            stream: None,
            waiting: Vec::new(),
            received: 0,
            judged: 0,
            is_done: false,
        });
        Ok(self.lanes.len() - 1)
    }

    fn unjudged(&self) -> usize {
        self.lanes
            .iter()
            .map(|lane| lane.received - lane.judged)
            .sum()
    }

    /// Begins the next look, if none is in progress and there is something to look at.
    fn begin_look(&mut self, ended: bool) {
        if self.looking.is_some() {
            return;
        }
        // Where no more is read until something is judged, nothing may wait for more.
        let hurries = ended || self.unjudged() >= MAX_UNJUDGED_BYTES;
        let due = |lane: &Lane| {
            let waiting = lane.waiting.len();
            let is_enough = waiting > 0 && (hurries || waiting >= self.look_bytes);
            !lane.is_done && (ended || is_enough)
        };
        let Some(index) = self.lanes.iter().position(due) else {
            return;
        };
        let lane = &mut self.lanes[index];
        let piece = std::mem::take(&mut lane.waiting);
        let (bytes, is_last) = (piece.len(), piece.is_empty());
        let look = match lane.stream.take() {
            Some(stream) if is_last => Look::Last(stream),
            Some(stream) => Look::Next(stream, piece),
            None => Look::First(
                Box::new(StreamOptions {
                    check: (*self.policy.check).clone(),
                    prompt: Some(self.prompt.clone().unwrap_or_default()),
                    debounce_bytes: 0,
                    ..StreamOptions::default()
                }),
                piece,
            ),
        };
        let app = self.app.clone();
        self.looking = Some(Looking {
            lane: index,
            bytes,
            is_last,
            looked: Box::pin(async move { app.workers.look(look).await }),
        });
    }

    /// Takes the verdict of a look. `Err` is the stream's end for the client.
    fn take(&mut self, looked: Result<Looked, ApiError>) -> Result<(), Vec<u8>> {
        let Some(Looking {
            lane: index,
            bytes,
            is_last,
            ..
        }) = self.looking.take()
        else {
            return Ok(());
        };
        let lane = &mut self.lanes[index];
        let (stream, verdict) = match looked {
            Ok(looked) => looked,
            Err(error) if self.policy.fail_open || self.policy.audit => {
                self.app.metrics.unchecked.inc();
                tracing::warn!(code = error.code, "the rest of a response passes unchecked");
                lane.is_done = true;
                lane.judged = lane.received;
                lane.waiting.clear();
                return Ok(());
            }
            Err(error) => return Err(failed(&error)),
        };
        lane.stream = Some(stream);
        lane.judged += bytes;
        lane.is_done = is_last;
        let judgement = self.policy.judge(&verdict);
        let stops = judgement.flagged && blocks(&self.policy, self.policy.responses.action);
        if is_last || stops {
            self.app
                .record(&self.policy, Direction::Response, &verdict, &judgement);
        }
        match judgement.category {
            Some(category) if stops => {
                let mut choices: Vec<_> = self.lanes.iter().map(|lane| lane.key.0).collect();
                choices.sort_unstable();
                choices.dedup();
                let category = self.app.category(category);
                let direction = Direction::Response;
                let last =
                    blocked::last_events(self.kind, &self.head, &choices, direction, category);
                Err(last)
            }
            _ => Ok(()),
        }
    }

    /// Sends the events whose texts may be seen. `Err` if the client is gone.
    async fn release(&mut self, out: &Out) -> Result<(), ()> {
        while let Some(event) = self.events.front() {
            let visible = |(lane, end): &(usize, usize)| {
                let lane = &self.lanes[*lane];
                match lane.is_done {
                    true => true,
                    false => *end <= lane.judged.saturating_sub(self.keep_bytes),
                }
            };
            if !event.ends.iter().all(visible) {
                return Ok(());
            }
            if let Some(event) = self.events.pop_front() {
                out.send(Ok(event.bytes.into())).await.map_err(|_| ())?;
            }
        }
        Ok(())
    }
}

async fn next(looking: &mut Option<Looking>) -> Result<Looked, ApiError> {
    match looking {
        Some(looking) => looking.looked.as_mut().await,
        None => std::future::pending().await,
    }
}

fn too_large(message: &str) -> ApiError {
    let status = axum::http::StatusCode::BAD_GATEWAY;
    ApiError::new(status, "unchecked_response", message)
}

/// The end of a stream that can be checked no further: an error, which clients raise.
fn failed(error: &ApiError) -> Vec<u8> {
    sse::event(&error.body().to_string())
}
