//! Any bytes in any pieces: the verdict at the end is that on the whole, and bytes that are no text
//! are refused.
#![no_main]

use duoguard::{Input, Stream, StreamOptions};
use duoguard_fuzz::session;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (u8, Vec<&[u8]>)| {
    let (debounce, pieces) = data;
    let whole = pieces.concat();
    session(|session| {
        let options = StreamOptions {
            debounce_bytes: usize::from(debounce),
            ..StreamOptions::default()
        };
        let mut stream = Stream::new(session, options);
        for piece in &pieces {
            if stream.push(session, piece).is_err() {
                assert!(std::str::from_utf8(&whole).is_err());
                return;
            }
        }
        match std::str::from_utf8(&whole) {
            Ok(text) => {
                let verdict = stream.finish(session).expect("the text is whole");
                assert_eq!(verdict, session.check(&Input::prompt(text)).expect("it has a verdict"));
            }
            Err(_) => assert!(stream.finish(session).is_err()),
        }
    });
});
