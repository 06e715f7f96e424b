//! Any bytes as a GGUF file of a language model or a classifier: refused, or its tensors can be
//! read.
#![no_main]

use std::path::PathBuf;

use duoguard_export::checkpoint::{Chat, Checkpoint};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static FILE: PathBuf = {
        let name = format!("duoguard-fuzz-{}.gguf", std::process::id());
        std::env::temp_dir().join(name)
    };
}

fuzz_target!(|data: &[u8]| {
    FILE.with(|path| {
        std::fs::write(path, data).expect("the temporary folder takes a file");
        let _ = Chat::open(path);
        for opened in [
            Checkpoint::open_language_model(path),
            Checkpoint::open(path),
        ] {
            let Ok(checkpoint) = opened else { continue };
            let embedding = "model.embed_tokens.weight";
            let whole = checkpoint.tensor(embedding);
            assert!(whole.iter().all(|value| value.is_finite()));
            assert_eq!(
                checkpoint.row(embedding, 0),
                whole[..checkpoint.config().hidden]
            );
        }
    });
});
