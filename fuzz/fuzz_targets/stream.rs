//! Any bytes in any pieces: the verdict at the end is that on the whole, and bytes that are no text
//! are refused. The first byte is the debounce, the second how the rest is cut; the bundle has the
//! graph with which looks go on from keys and values.
#![no_main]

use duoguard::{Input, Stream, StreamOptions};
use duoguard_fuzz::session;
use libfuzzer_sys::fuzz_target;

/// Looks at a text on its way, at most: each costs a pass through the network, and a text of single
/// bytes would have hundreds.
const LOOKS: usize = 32;

fuzz_target!(|data: &[u8]| {
    let [debounce, cuts, text @ ..] = data else {
        return;
    };
    session(|session| {
        // To identify a language takes as long as all else, so that it is done seldom.
        let language = (*debounce != u8::MAX).then_some("en");
        let options = StreamOptions {
            debounce_bytes: usize::from(*debounce).max(text.len() / LOOKS),
            language: language.map(str::to_owned),
            ..StreamOptions::default()
        };
        let mut stream = Stream::new(session, options);
        assert!(stream.uses_cache());
        // Pieces of one to sixteen bytes, by turns of two lengths.
        let lengths = [usize::from(cuts & 15) + 1, usize::from(cuts >> 4) + 1];
        let mut rest = text;
        for length in lengths.into_iter().cycle() {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            if stream.push(session, piece).is_err() {
                assert!(std::str::from_utf8(text).is_err());
                return;
            }
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        match std::str::from_utf8(text) {
            Ok(text) => {
                let verdict = stream.finish(session).expect("the text is whole");
                let input = Input {
                    language,
                    ..Input::prompt(text)
                };
                assert_eq!(verdict, session.check(&input).expect("it has a verdict"));
            }
            Err(_) => assert!(stream.finish(session).is_err()),
        }
    });
});
