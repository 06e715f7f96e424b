//! A whole bundle with one of its files replaced by any bytes, its hashes brought up to date:
//! refused, or it runs. The first byte chooses the file.
#![no_main]

use duoguard::{Bundle, Input, Model, SessionOptions};
use duoguard_fuzz::files;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 4] = [
    "tokenizer.json",
    "model.onnx",
    "weights.data",
    "stream.onnx",
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let name = NAMES[usize::from(*choice) % NAMES.len()];
    let Ok(bundle) = Bundle::from_memory(files(Some((name, bytes)))) else {
        return;
    };
    let Ok(model) = Model::from_bundle(bundle) else {
        return;
    };
    if let Ok(mut session) = model.session(&SessionOptions::default()) {
        let _ = session.check(&Input::prompt("good stab"));
    }
});
