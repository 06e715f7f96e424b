//! Any bytes as what an endpoint sends: a completion or the reason why it is none; a text that
//! stands in the answer; a pause that ends. The first byte chooses.
#![no_main]

use duoguard_fuzz::{completion, pause, text_in};
use libfuzzer_sys::fuzz_target;

fn take(answer: &str) {
    if let Some(text) = text_in(answer) {
        assert!(!text.is_empty());
        assert!(answer.contains(&text));
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    match choice % 4 {
        0 => match completion(bytes) {
            Ok(Some(answer)) => take(&answer),
            Ok(None) => {}
            Err(reason) => assert!(!reason.is_empty()),
        },
        1 => take(&String::from_utf8_lossy(bytes)),
        2 => drop(pause("retry-after", bytes)),
        _ => drop(pause("retry-after-ms", bytes)),
    }
});
