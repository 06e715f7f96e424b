//! What the fuzz targets share: the tests' bundle of five words and random checkpoint, a server,
//! and what the trainer reads, without the trainer, which would want libtorch.

#[allow(dead_code)]
#[path = "../../runtime/tests/runtime/decoder.rs"]
mod decoder;
// The runtime's tests use more of it.
#[allow(dead_code)]
#[path = "../../runtime/tests/runtime/support.rs"]
mod support;

// The exporter's tests use more of it.
#[allow(dead_code)]
#[path = "../../export/tests/export/support.rs"]
mod random_checkpoint;
// The trainer uses more of these.
#[allow(dead_code)]
#[path = "../../trainer/src/game/answer.rs"]
mod answer;
#[allow(dead_code, unused_imports)]
#[path = "../../trainer/src/recipe/mod.rs"]
mod recipe;

mod checkpoint;
mod endpoint;
mod server;

pub use checkpoint::CheckpointFolder;
pub use endpoint::pause;
pub use server::ask;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use duoguard::{Model, Session, SessionOptions};

/// Calls `act` with this thread's model, which is opened once.
pub fn model<T>(act: impl FnOnce(&Model) -> T) -> T {
    thread_local! {
        static MODEL: Model = support::open(support::Files::with_stream())
            .expect("the tests' bundle opens");
    }
    MODEL.with(act)
}

/// Calls `act` with this thread's session, which is opened once.
pub fn session<T>(act: impl FnOnce(&mut Session) -> T) -> T {
    thread_local! {
        static SESSION: RefCell<Session> = {
            let session = model(|model| model.session(&SessionOptions::default()));
            RefCell::new(session.expect("the tests' bundle has a session"))
        };
    }
    SESSION.with_borrow_mut(act)
}

/// The bundle's files, one of them with other bytes and the hashes brought up to date.
///
/// # Panics
/// If no file has the name.
pub fn files(replaced: Option<(&str, &[u8])>) -> BTreeMap<String, Vec<u8>> {
    thread_local! {
        static FILES: support::Files = support::Files::with_stream();
    }
    let mut files = FILES.with(Clone::clone);
    if let Some((name, bytes)) = replaced {
        let file = match name {
            "tokenizer.json" => &mut files.tokenizer,
            "model.onnx" => &mut files.graph,
            "weights.data" => &mut files.weights,
            "stream.onnx" => files.stream.get_or_insert_default(),
            name => panic!("no file {name}"),
        };
        *file = bytes.to_vec();
    }
    files.seal()
}

/// Reads a recipe, as the trainer does.
///
/// # Errors
/// Why it is refused, with the line where there is one.
pub fn parse_recipe(text: &str) -> Result<(), (Option<usize>, String)> {
    match recipe::Recipe::parse(Path::new("recipe.toml"), text) {
        Ok(_) => Ok(()),
        Err(error) => Err((error.line, error.reason)),
    }
}

/// The text in what a language model answered.
pub fn text_in(answer: &str) -> Option<String> {
    answer::text_of(answer).text
}

/// The text of the completion in an endpoint's answer, if it is one that was finished.
///
/// # Errors
/// Why it is none.
pub fn completion(bytes: &[u8]) -> Result<Option<String>, String> {
    endpoint::completion(bytes)
}
