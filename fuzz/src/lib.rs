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

pub mod checkpoint;
mod endpoint;
mod server;

pub use endpoint::pause;
pub use server::ask;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use duoguard::{Bundle, EngineChoice, Model, Session, SessionOptions};
use serde_json::Value;

const MANIFEST: &str = "manifest.json";

/// Calls `act` with this thread's model, which is opened once.
pub fn model<T>(act: impl FnOnce(&Model) -> T) -> T {
    thread_local! {
        static MODEL: Model = support::open(support::Files::with_stream())
            .expect("the tests' bundle opens");
    }
    MODEL.with(act)
}

/// The engine that needs no library to be looked for.
pub fn native() -> SessionOptions {
    SessionOptions {
        engine: EngineChoice::Named("native".to_owned()),
        ..SessionOptions::default()
    }
}

/// Calls `act` with this thread's session, which is opened once.
pub fn session<T>(act: impl FnOnce(&mut Session) -> T) -> T {
    thread_local! {
        static SESSION: RefCell<Session> = {
            let session = model(|model| model.session(&native()));
            RefCell::new(session.expect("the tests' bundle has a session"))
        };
    }
    SESSION.with_borrow_mut(act)
}

/// The bundle with other bytes in one of its files, whose hash is brought up to date.
///
/// # Errors
/// Why the bundle is refused.
///
/// # Panics
/// If no file has the name.
pub fn bundle(name: &str, bytes: &[u8]) -> duoguard::Result<Bundle> {
    thread_local! {
        static SEALED: BTreeMap<String, Vec<u8>> = support::Files::with_stream().seal();
        // With the hashes, so that only one of them is made anew.
        static SEALED_MANIFEST: Value = SEALED.with(|files| {
            serde_json::from_slice(&files[MANIFEST]).expect("the manifest is JSON")
        });
    }
    let mut manifest = SEALED_MANIFEST.with(Clone::clone);
    let hash = manifest["files"]
        .get_mut(name)
        .expect("a file of the bundle");
    *hash = support::sha256(bytes).into();
    let manifest = manifest.to_string();
    SEALED.with(|files| {
        let files = files.iter().map(|(file, whole)| {
            let bytes = match &**file {
                MANIFEST => manifest.as_bytes(),
                file if file == name => bytes,
                _ => whole,
            };
            (file, bytes)
        });
        Bundle::from_memory(files)
    })
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
