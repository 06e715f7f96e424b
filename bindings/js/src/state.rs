//! The one guard of an instance of the module.

use std::cell::RefCell;
use std::collections::BTreeMap;

use duoguard::{Error, ErrorKind, Session, Stream};
use serde_json::{Value, json};

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// A stream, and what its text answers.
pub struct Streamed {
    pub stream: Stream,
    pub prompt: Option<String>,
}

#[derive(Default)]
pub struct State {
    pub files: Vec<(String, Box<[u8]>)>,
    pub session: Option<Session>,
    pub streams: BTreeMap<u32, Streamed>,
    /// The number of the next stream.
    pub next: u32,
    /// What the last call said.
    pub answer: Vec<u8>,
}

impl State {
    pub fn add_file(&mut self, name: &[u8], data: Box<[u8]>) {
        self.files
            .push((String::from_utf8_lossy(name).into_owned(), data));
    }
}

pub fn with<T>(work: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(work)
}

/// Runs a call, and leaves what it said as the answer.
pub fn answer(call: impl FnOnce(&mut State, &[u8]) -> duoguard::Result<Value>, request: &[u8]) {
    with(|state| {
        let said = match call(state, request) {
            Ok(value) => json!({ "ok": value }),
            Err(error) => json!({ "status": status(&error), "message": error.to_string() }),
        };
        state.answer = said.to_string().into_bytes();
    });
}

/// The word of the C header for an error, without its prefix.
fn status(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidArgument => "INVALID_ARGUMENT",
        ErrorKind::Io => "IO",
        ErrorKind::InvalidModel => "INVALID_MODEL",
        ErrorKind::Unsupported => "UNSUPPORTED",
        ErrorKind::OutOfMemory => "OUT_OF_MEMORY",
        _ => "ENGINE",
    }
}
