//! Any bytes as the body of a request: answered, and never by a failure of the server's own.
#![no_main]

use duoguard_fuzz::ask;
use libfuzzer_sys::fuzz_target;

const PATHS: [&str; 5] = [
    "/v1/moderations",
    "/v1/classify",
    "/beta/litellm_basic_guardrail_api",
    "/v1/chat/completions",
    "/v1/completions",
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, body)) = data.split_first() else {
        return;
    };
    let path = PATHS[usize::from(*choice) % PATHS.len()];
    let status = ask(path, body);
    // 502: it passed the guard, and the upstream is not there.
    assert!(status < 500 || status == 502, "{path}: {status}");
});
