//! Any bytes as a GGUF file: refused, or its tensors can be read. The first byte chooses as what it
//! is opened: a classifier, a language model, or one to talk to.
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
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    FILE.with(|path| {
        std::fs::write(path, bytes).expect("the temporary folder takes a file");
        let opened = match choice % 3 {
            0 => Checkpoint::open(path),
            1 => Checkpoint::open_language_model(path),
            _ => return drop(Chat::open(path)),
        };
        let Ok(checkpoint) = opened else { return };
        let embedding = "model.embed_tokens.weight";
        let whole = checkpoint.tensor(embedding);
        assert!(whole.iter().all(|value| value.is_finite()));
        assert_eq!(
            checkpoint.row(embedding, 0),
            whole[..checkpoint.config().hidden]
        );
    });
});
