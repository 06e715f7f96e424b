//! Texts that come in pieces.

use duoguard::{
    CheckOptions, ErrorKind, Input, Join, Session, SessionOptions, Stream, StreamOptions,
};
use proptest::prelude::*;

use crate::support::{Files, model, open};

fn session() -> Session {
    model().session(&SessionOptions::default()).unwrap()
}

fn options(debounce_bytes: usize) -> StreamOptions {
    StreamOptions {
        debounce_bytes,
        ..StreamOptions::default()
    }
}

#[test]
fn it_flags_before_the_end() {
    let mut session = session();
    let mut stream = Stream::new(&session, options(0));
    let mut flagged = Vec::new();
    for word in ["good ", "good ", "stab ", "good ", "good "] {
        let verdict = stream.push(&mut session, word.as_bytes()).unwrap().unwrap();
        flagged.push(verdict.flagged);
    }
    assert_eq!(flagged, [false, false, true, true, true]);
    assert_eq!(stream.flagged_at(), Some(15));
    assert!(stream.finish(&mut session).unwrap().flagged);
}

#[test]
fn looks_are_as_rare_as_asked_for() {
    let mut session = session();
    let mut stream = Stream::new(&session, options(10));
    let mut looks = Vec::new();
    for _ in 0..30 {
        looks.push(stream.push(&mut session, b"x").unwrap().is_some());
    }
    let places: Vec<_> = (1..=30).filter(|n| looks[n - 1]).collect();
    assert_eq!(places, [10, 20, 30]);
    assert!(stream.push(&mut session, b"").unwrap().is_none());
    assert_eq!(stream.peek(&mut session).unwrap().tokens, 1);
}

#[test]
fn windows_are_scored_once() {
    let mut session = session();
    let words: Vec<String> = (0..300)
        .map(|n| ["good ", "odd "][n * n / 7 % 2].to_owned())
        .collect();
    let text = words.concat();
    let mut stream = Stream::new(&session, options(15));
    for word in &words {
        stream.push(&mut session, word.as_bytes()).unwrap();
    }
    let verdict = stream.finish(&mut session).unwrap();
    assert_eq!(verdict, session.check(&Input::prompt(&text)).unwrap());
    let work = stream.work();
    assert!(
        work.windows <= 2 * verdict.windows,
        "{work:?} for {}",
        verdict.windows
    );
    assert!(work.windows_reused >= verdict.windows - 1, "{work:?}");
}

#[test]
fn a_look_at_a_long_text_says_what_a_check_says() {
    let mut session = session();
    for (prompt, join) in [
        (None, Join::Space),
        (Some("good stab odd good good good"), Join::Space),
        (Some("good stab odd good good good"), Join::Newline),
        (Some("good good odd good"), Join::Separate),
    ] {
        let mut words = vec!["good "; 200];
        words[60] = "scam ";
        let check = CheckOptions {
            join,
            ..CheckOptions::default()
        };
        let mut stream = Stream::new(
            &session,
            StreamOptions {
                check: check.clone(),
                prompt: prompt.map(str::to_owned),
                language: Some("en".to_owned()),
                debounce_bytes: 0,
                ..StreamOptions::default()
            },
        );
        for word in words {
            let look = stream.push(&mut session, word.as_bytes()).unwrap().unwrap();
            let input = Input {
                prompt: prompt.unwrap_or(stream.text()),
                response: prompt.map(|_| stream.text()),
                language: Some("en"),
            };
            let whole = session.check_with(&input, &check).unwrap();
            assert_eq!(
                (look.tokens, look.tokens_scored),
                (whole.tokens, whole.tokens)
            );
            assert_eq!(
                (look.category, look.span, &look.scores),
                (whole.category, whole.span, &whole.scores),
                "{join:?} {}",
                whole.tokens
            );
        }
    }
}

#[test]
fn a_piece_may_end_inside_a_character() {
    let mut session = session();
    let mut stream = Stream::new(&session, options(0));
    let bytes = "ő🙂".as_bytes();
    for byte in &bytes[..bytes.len() - 1] {
        stream.push(&mut session, &[*byte]).unwrap();
    }
    assert_eq!(stream.text(), "ő");
    let error = stream.finish(&mut session).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(
        error.to_string().contains("after 3 of its bytes"),
        "{error}"
    );
    stream
        .push(&mut session, &bytes[bytes.len() - 1..])
        .unwrap();
    assert_eq!(stream.text(), "ő🙂");
    stream.finish(&mut session).unwrap();
}

#[test]
fn wrong_bytes_and_wrong_sessions_are_refused() {
    let mut session = session();
    let mut stream = Stream::new(&session, options(0));
    stream.push(&mut session, b"good \xf0\x9f").unwrap();
    let error = stream.push(&mut session, b"good").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("at byte 5"), "{error}");
    // As it was before: the rest of the character is still welcome.
    stream.push(&mut session, b"\x99\x82").unwrap();
    assert_eq!(stream.text(), "good 🙂");
    let mut other = model().session(&SessionOptions::default()).unwrap();
    let error = stream.push(&mut other, b"good").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn text_over_the_limit_is_an_error_and_not_a_verdict() {
    let mut session = session();
    let mut stream = Stream::new(&session, options(usize::MAX));
    stream
        .push(&mut session, &vec![b'a'; duoguard::MAX_TEXT_BYTES])
        .unwrap();
    let error = stream.push(&mut session, b"a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(1000)
    })]

    #[test]
    fn the_end_equals_a_check(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "good ", "stab ", "odd ", "s\u{200b}tab ", "ｓｃａｍ ", "s t a b", "c3RhYiBzdGFi ",
                "🙂é", "\u{202e}",
            ]),
            0..40,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        prompt in prop::option::of(prop::sample::select(vec![
            "", "good", "stab good good good good good",
        ])),
        join in prop::sample::select(vec![Join::Space, Join::Newline, Join::Separate]),
        debounce_bytes in 0_usize..40,
    ) {
        let text = words.concat();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut session = session();
        let check = CheckOptions { join, ..CheckOptions::default() };
        let mut stream = Stream::new(&session, StreamOptions {
            check: check.clone(),
            prompt: prompt.map(str::to_owned),
            language: None,
            debounce_bytes,
            ..StreamOptions::default()
        });
        for cut in cuts.windows(2) {
            stream.push(&mut session, &text.as_bytes()[cut[0]..cut[1]]).unwrap();
        }
        let input = Input {
            prompt: prompt.unwrap_or(&text),
            response: prompt.map(|_| &text[..]),
            language: None,
        };
        let at_the_end = stream.finish(&mut session).unwrap();
        prop_assert_eq!(at_the_end, session.check_with(&input, &check).unwrap());
    }
}

#[test]
fn a_look_from_keys_and_values_is_that_of_whole_windows() {
    // The largest of its tokens' values is the same however it is computed.
    let model = open(Files::with_stream()).unwrap();
    let mut session = model.session(&SessionOptions::default()).unwrap();
    let without = StreamOptions {
        cache: false,
        ..options(0)
    };
    let mut cached = Stream::new(&session, options(0));
    let mut whole = Stream::new(&session, without);
    assert!(cached.uses_cache() && !whole.uses_cache());
    for word in ["good ", "odd ", "scam ", "good ", "stab ", "good ", "good "] {
        let looks = [&mut cached, &mut whole]
            .map(|stream| stream.push(&mut session, word.as_bytes()).unwrap());
        assert_eq!(
            looks[0].as_ref().unwrap().scores,
            looks[1].as_ref().unwrap().scores
        );
    }
}
