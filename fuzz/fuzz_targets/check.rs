//! Any text, as a prompt and a response: a verdict whose places lie in it, whatever the options
//! are. The first byte chooses how they are joined, the second how many tokens are scored at most;
//! a byte 0 ends the prompt. What is undone only adds to what is literally written, unless it is
//! nothing but encodings and chat templates.
#![no_main]

use duoguard::{ChangeKind, CheckOptions, Coverage, Input, Join};
use duoguard_fuzz::session;
use libfuzzer_sys::fuzz_target;

/// What is undone exactly, so that how it is written does not count.
const EXACT: [ChangeKind; 4] = [
    ChangeKind::Base64,
    ChangeKind::Hex,
    ChangeKind::Escape,
    ChangeKind::ChatTemplate,
];

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
        // With one, the calibration is the same however the text reads.
        language: (choice & 8 == 0).then_some("en"),
    };
    session(|session| {
        let verdict = session
            .check_with(&input, &options)
            .expect("every text has a verdict");
        assert!(verdict.tokens_scored <= verdict.tokens);
        assert!((0.0..=1.0).contains(&verdict.score));
        for span in verdict
            .changes
            .iter()
            .map(|change| &change.span)
            .chain(&verdict.span)
        {
            assert!(prompt.get(span.prompt.clone()).is_some());
            assert!(response.get(span.response.clone()).is_some());
        }
        // Of texts that are scored one by one, each has its own way to read.
        let is_one = input.response.is_none() || options.join != Join::Separate;
        if !is_one || input.language.is_none() || options.coverage != Coverage::Full {
            return;
        }
        let is_exact = |kind| EXACT.contains(&kind);
        if verdict.changes_total > 0 && verdict.changes.iter().all(|c| is_exact(c.kind)) {
            return;
        }
        let literal = CheckOptions {
            normalize: false,
            ..options
        };
        let literal = session
            .check_with(&input, &literal)
            .expect("every text has a verdict");
        let raised = verdict
            .scores
            .iter()
            .zip(&literal.scores)
            .all(|(now, before)| now >= before);
        assert!(
            raised,
            "{:?}: {:?} < {:?}",
            verdict.changes, verdict.scores, literal.scores
        );
    });
});
