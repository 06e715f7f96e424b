//! A whole bundle with one of its files replaced by any bytes, its hashes brought up to date:
//! refused, or it runs.
#![no_main]

use duoguard::{Bundle, Input, Model, SessionOptions};
use duoguard_fuzz::files;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (u8, &[u8])| {
    let (choice, bytes) = data;
    let name = ["tokenizer.json", "model.onnx", "weights.data"][usize::from(choice) % 3];
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
