//! Any text as a recipe: taken, or refused with a line that it has.
#![no_main]

use duoguard_fuzz::parse_recipe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    if let Err((line, reason)) = parse_recipe(&text) {
        assert!(!reason.is_empty());
        let lines = text.matches('\n').count() + 1;
        assert!(
            line.is_none_or(|line| (1..=lines).contains(&line)),
            "{line:?}"
        );
    }
});
