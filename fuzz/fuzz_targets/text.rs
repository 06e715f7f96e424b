//! Any text on its way to the network and no further: how else it reads, its tokens and its
//! windows.
#![no_main]

use duoguard_fuzz::model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    model(|model| {
        let views = model.views(&text).expect("a short text has views");
        let views = views.iter().map(|(_, view)| view.as_str());
        for view in std::iter::once(&*text).chain(views) {
            let tokens = model.tokenize(view).expect("it has tokens");
            let windows = model.windows(&tokens);
            assert_eq!(windows.is_empty(), tokens.is_empty());
            assert!(windows.iter().map(Vec::len).sum::<usize>() >= tokens.len());
        }
    });
});
