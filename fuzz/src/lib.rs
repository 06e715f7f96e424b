//! What the fuzz targets share: the tests' bundle of five words.

// The runtime's tests use more of it.
#[allow(dead_code)]
#[path = "../../runtime/tests/runtime/support.rs"]
mod support;

mod server;
pub use server::ask;

use std::cell::RefCell;
use std::collections::BTreeMap;

use duoguard::{Session, SessionOptions};

/// Calls `act` with this thread's session, which is opened once.
pub fn session<T>(act: impl FnOnce(&mut Session) -> T) -> T {
    thread_local! {
        static SESSION: RefCell<Session> = {
            let session = support::model().session(&SessionOptions::default());
            RefCell::new(session.expect("the tests' bundle opens"))
        };
    }
    SESSION.with_borrow_mut(act)
}

/// The bundle's files, one of them with other bytes and the hashes brought up to date.
///
/// # Panics
/// If no file has the name.
pub fn files(replaced: Option<(&str, &[u8])>) -> BTreeMap<String, Vec<u8>> {
    let mut files = support::Files::new();
    if let Some((name, bytes)) = replaced {
        let file = match name {
            "tokenizer.json" => &mut files.tokenizer,
            "model.onnx" => &mut files.graph,
            "weights.data" => &mut files.weights,
            name => panic!("no file {name}"),
        };
        *file = bytes.to_vec();
    }
    files.seal()
}
