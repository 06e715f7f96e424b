//! Any text, as a prompt and a response: a verdict whose places lie in it, whatever the options
//! are. The first byte chooses how they are joined, the second how many tokens are scored at most;
//! a byte 0 ends the prompt.
#![no_main]

use duoguard::{CheckOptions, Coverage, Input, Join};
use duoguard_fuzz::session;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [choice, cap, text @ ..] = data else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    let (prompt, response) = text.split_once('\0').unwrap_or((&text, ""));
    let options = CheckOptions {
        join: [Join::Space, Join::Newline, Join::Separate][usize::from(*choice) % 3],
        coverage: match *cap {
            0 => Coverage::Full,
            cap => Coverage::Partial {
                max_tokens: usize::from(cap),
            },
        },
        ..CheckOptions::default()
    };
    let input = Input {
        prompt,
        response: (choice & 4 == 0).then_some(response),
        language: None,
    };
    session(|session| {
        let verdict = session.check_with(&input, &options).expect("every text has a verdict");
        assert!(verdict.tokens_scored <= verdict.tokens);
        assert!((0.0..=1.0).contains(&verdict.score));
        for span in verdict.changes.iter().map(|change| &change.span).chain(&verdict.span) {
            assert!(prompt.get(span.prompt.clone()).is_some());
            assert!(response.get(span.response.clone()).is_some());
        }
    });
});
