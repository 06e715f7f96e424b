//! A whole bundle with one of its files replaced by any bytes, its hashes brought up to date:
//! refused, or it runs. The first byte chooses the file.
#![no_main]

use duoguard::{Input, Model};
use duoguard_fuzz::{bundle, native};
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
    let Ok(model) = bundle(name, bytes).and_then(Model::from_bundle) else {
        return;
    };
    if let Ok(mut session) = model.session(&native()) {
        // With its language, so that none is identified.
        let input = Input {
            language: Some("en"),
            ..Input::prompt("good stab")
        };
        let _ = session.check(&input);
    }
});
