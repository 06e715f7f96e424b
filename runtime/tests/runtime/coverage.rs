//! How much of a text is scored, and where it scored highest.

use duoguard::{
    CheckOptions, Coverage, ErrorKind, Input, Join, SessionOptions, Stream, StreamOptions,
};

use crate::support::{Files, model, open};

#[test]
fn the_span_is_that_of_the_window_with_the_largest_score() {
    let mut session = model().session(&SessionOptions::default()).unwrap();
    for position in 0..40 {
        let mut words = vec!["good"; 40];
        words[position] = "stab";
        let text = words.join("  ");
        let verdict = session.check(&Input::prompt(&text)).unwrap();
        let span = verdict.span.unwrap();
        let part = &text[span.prompt.clone()];
        assert!(
            part.contains("stab") && part.split_whitespace().count() == 4,
            "{position}: {part:?}"
        );
        assert_eq!(span.response, 0..0);
    }
}

#[test]
fn a_long_disguised_text_is_placed_in_the_text_as_written() {
    let mut session = model().session(&SessionOptions::default()).unwrap();
    let text = format!(
        "{}s\u{200b}tab{}",
        "go\u{200b}od ".repeat(20),
        " good".repeat(20)
    );
    let verdict = session.check(&Input::prompt(&text)).unwrap();
    let part = &text[verdict.span.unwrap().prompt];
    assert!(part.contains("s\u{200b}tab") && part.len() < 60, "{part:?}");
}

#[test]
fn a_cap_is_the_caller_s_and_is_told() {
    let mut session = model().session(&SessionOptions::default()).unwrap();
    let text = format!("{}stab", "good ".repeat(20));
    let mut capped = |max_tokens| {
        let options = CheckOptions {
            coverage: Coverage::Partial { max_tokens },
            ..CheckOptions::default()
        };
        session.check_with(&Input::prompt(&text), &options)
    };
    let verdict = capped(20).unwrap();
    assert!(!verdict.flagged);
    assert_eq!(
        (verdict.tokens, verdict.tokens_scored, verdict.windows),
        (21, 20, 7)
    );
    let verdict = capped(21).unwrap();
    assert!(verdict.flagged);
    assert_eq!(verdict.tokens_scored, 21);
    assert_eq!(capped(2).unwrap().windows, 1);
    assert_eq!(capped(0).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn prompt_and_response_are_joined_as_asked() {
    let mut session = model().session(&SessionOptions::default()).unwrap();
    let mut windows = |input: Input<'_>, join| {
        let options = CheckOptions {
            join,
            ..CheckOptions::default()
        };
        let verdict = session.check_with(&input, &options).unwrap();
        (verdict.tokens, verdict.windows, verdict.flagged)
    };
    let both = Input::exchange("good good", "stab");
    assert_eq!(windows(both, Join::Space), (3, 1, true));
    assert_eq!(windows(both, Join::Newline), (3, 1, true));
    assert_eq!(windows(both, Join::Separate), (3, 2, true));
    assert_eq!(windows(Input::response("stab"), Join::Space), (1, 1, true));
    assert_eq!(
        windows(Input::prompt("good"), Join::Separate),
        (1, 1, false)
    );
}

#[test]
fn the_prefix_is_scored_with_every_window_and_counts_for_nothing_else() {
    let mut files = Files::new();
    let scam = 3;
    files.manifest["prefix_tokens"] = serde_json::json!([scam]);
    let mut session = open(files)
        .unwrap()
        .session(&SessionOptions::default())
        .unwrap();
    let mut plain = model().session(&SessionOptions::default()).unwrap();
    let text = "good ".repeat(11);
    let input = Input::prompt(&text);
    let (with, without) = (session.check(&input).unwrap(), plain.check(&input).unwrap());
    // The prefix is a word that this network flags, wherever it stands.
    assert_eq!((with.category, without.category), (Some(1), None));
    assert_eq!(
        (with.tokens, with.windows),
        (without.tokens, without.windows)
    );
    let mut stream = Stream::new(&session, StreamOptions::default());
    stream.push(&mut session, text.as_bytes()).unwrap();
    assert_eq!(stream.finish(&mut session).unwrap(), with);
    assert!(
        session
            .check(&Input::prompt(""))
            .unwrap()
            .category
            .is_none()
    );
}

#[test]
fn a_word_among_twenty_thousand_counts_as_much_as_in_one_window() {
    let mut session = model().session(&SessionOptions::default()).unwrap();
    let alone = session
        .check(&Input::prompt("good stab good good"))
        .unwrap();
    for place in [0, 1, 2, 3, 4, 9_999, 13_000, 19_997, 19_999] {
        let mut words = vec!["good"; 20_000];
        words[place] = "stab";
        let text = words.join(" ");
        let verdict = session.check(&Input::prompt(&text)).unwrap();
        assert_eq!((verdict.tokens_scored, verdict.windows), (20_000, 6_667));
        assert_eq!(verdict.scores, alone.scores, "{place}");
        let span = verdict.span.unwrap().prompt;
        assert!(text[span].contains("stab"), "{place}");
    }
}
