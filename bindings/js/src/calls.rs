//! What the module can be asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;

use duoguard::{
    Bundle, CheckOptions, Coverage, EngineChoice, Error, ErrorKind, Input, Join, Model,
    ModelOptions, Result, Session, SessionOptions, Stream, StreamOptions, Verdict,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::state::{State, Streamed};

/// A check, as `index.js` writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Request {
    #[serde(default)]
    text: String,
    /// Of a stream, what the streamed response answers.
    prompt: Option<String>,
    response: Option<String>,
    language: Option<String>,
    join: Option<String>,
    max_tokens: Option<usize>,
    target_fpr: Option<f32>,
    #[serde(default)]
    literal: bool,
    #[serde(default)]
    thresholds: BTreeMap<String, f32>,
    debounce_bytes: Option<usize>,
    cache: Option<bool>,
}

/// How a bundle is opened, as `module.js` writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Opening {
    engine: String,
    public_key: Option<String>,
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|cause| argument(format!("the arguments: {cause}")))
}

impl Request {
    fn options(&self) -> Result<CheckOptions> {
        Ok(CheckOptions {
            coverage: match self.max_tokens {
                Some(max_tokens) => Coverage::Partial { max_tokens },
                None => Coverage::Full,
            },
            join: match self.join.as_deref() {
                None | Some("space") => Join::Space,
                Some("newline") => Join::Newline,
                Some("separate") => Join::Separate,
                Some(other) => {
                    return Err(argument(format!(
                        "join is {other:?}; expected \"space\", \"newline\" or \"separate\""
                    )));
                }
            },
            normalize: !self.literal,
            thresholds: self.thresholds.clone(),
            target_fpr: self.target_fpr,
            ..CheckOptions::default()
        })
    }
}

fn argument(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

fn session(state: &mut Option<Session>) -> Result<&mut Session> {
    state.as_mut().ok_or_else(|| argument("no bundle is open"))
}

/// Opens the files that the state holds; the answer is the categories and the engine.
pub fn open(state: &mut State, opening: &[u8]) -> Result<Value> {
    let opening: Opening = read(opening)?;
    let options = ModelOptions {
        public_key: opening.public_key.map(|key| key.parse()).transpose()?,
        ..ModelOptions::default()
    };
    let bundle = Bundle::from_memory_with(std::mem::take(&mut state.files), &options)?;
    let model = Model::from_bundle(bundle)?;
    let engine: std::result::Result<EngineChoice, Infallible> = opening.engine.parse();
    let options = SessionOptions {
        engine: engine.unwrap_or_else(|never: Infallible| match never {}),
        ..SessionOptions::default()
    };
    let session = state.session.insert(model.session(&options)?);
    Ok(json!({ "categories": model.categories(), "engine": session.engine() }))
}

pub fn check(state: &mut State, request: &[u8]) -> Result<Value> {
    let request: Request = read(request)?;
    let input = Input {
        prompt: &request.text,
        response: request.response.as_deref(),
        language: request.language.as_deref(),
    };
    let found = session(&mut state.session)?.check_with(&input, &request.options()?)?;
    Ok(verdict(found, input.prompt, input.response))
}

pub fn stream_new(state: &mut State, request: &[u8]) -> Result<Value> {
    let request: Request = read(request)?;
    let session = session(&mut state.session)?;
    let defaults = StreamOptions::default();
    let prompt = request.prompt.clone();
    let options = StreamOptions {
        check: request.options()?,
        prompt: request.prompt,
        language: request.language,
        debounce_bytes: request.debounce_bytes.unwrap_or(defaults.debounce_bytes),
        cache: request.cache.unwrap_or(defaults.cache),
    };
    // Options that no check would take are refused now, not at the first verdict.
    let nothing = Input {
        language: options.language.as_deref(),
        ..Input::prompt("")
    };
    session.check_with(&nothing, &options.check)?;
    let number = state.next;
    state.next += 1;
    let stream = Stream::new(session, options);
    state.streams.insert(number, Streamed { stream, prompt });
    Ok(json!(number))
}

pub fn stream_push(state: &mut State, stream: u32, piece: &[u8]) -> Result<Value> {
    let (streamed, session) = parts(state, stream)?;
    let found = streamed.stream.push(session, piece)?;
    Ok(found.map_or(Value::Null, |found| of_stream(found, streamed)))
}

pub fn stream_finish(state: &mut State, stream: u32) -> Result<Value> {
    let (streamed, session) = parts(state, stream)?;
    let found = streamed.stream.finish(session)?;
    Ok(of_stream(found, streamed))
}

fn parts(state: &mut State, stream: u32) -> Result<(&mut Streamed, &mut Session)> {
    let stream = state.streams.get_mut(&stream);
    let stream = stream.ok_or_else(|| argument("the stream is closed"))?;
    Ok((stream, session(&mut state.session)?))
}

fn of_stream(found: Verdict, streamed: &Streamed) -> Value {
    let text = streamed.stream.text();
    match &streamed.prompt {
        Some(prompt) => verdict(found, prompt, Some(text)),
        None => verdict(found, text, None),
    }
}

/// A verdict as `index.js` reads it; places are in UTF-16 units, as JavaScript counts.
fn verdict(found: Verdict, text: &str, response: Option<&str>) -> Value {
    let span = found.span.unwrap_or_default();
    let (part, within, range) = match span.response.len() > span.prompt.len() {
        true => ("response", response.unwrap_or_default(), span.response),
        false => ("prompt", text, span.prompt),
    };
    json!({
        "flagged": found.flagged,
        "category": found.category,
        "score": found.score,
        "scores": found.scores,
        "language": found.language,
        "tokens": found.tokens,
        "tokensScored": found.tokens_scored,
        "windows": found.windows,
        "partial": found.views.iter().any(|view| view.tokens_scored < view.tokens),
        "span": places(part, within, range),
    })
}

fn places(part: &str, within: &str, range: Range<usize>) -> Value {
    let units = |text: Option<&str>| text.unwrap_or_default().encode_utf16().count();
    let start = units(within.get(..range.start));
    json!({ "part": part, "start": start, "end": start + units(within.get(range)) })
}
