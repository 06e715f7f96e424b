//! What the fuzz targets share: the tests' bundle of five words.

#[allow(dead_code)]
#[path = "../../runtime/tests/runtime/decoder.rs"]
mod decoder;
// The runtime's tests use more of it.
#[allow(dead_code)]
#[path = "../../runtime/tests/runtime/support.rs"]
mod support;

mod server;
pub use server::ask;

use std::cell::RefCell;
use std::collections::BTreeMap;

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
    let mut files = support::Files::with_stream();
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
