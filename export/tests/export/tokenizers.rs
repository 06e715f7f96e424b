//! Tokenizers that the crate which reads them would panic at.

use duoguard_export::checkpoint::Checkpoint;
use serde_json::json;

use crate::support::Recipe;

#[test]
fn what_the_crate_would_panic_at_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = Recipe::default().files();
    let refused = || {
        let message = Checkpoint::open(folder.path()).map(drop).unwrap_err();
        let message = message.to_string();
        let expected = "tokenizer.json: not a tokenizer";
        assert!(message.contains(expected), "{message}");
    };
    files.tokenizer["normalizer"] =
        json!({ "type": "Precompiled", "precompiled_charsmap": "AAAA" });
    files.write(folder.path());
    refused();

    files.tokenizer["normalizer"] = json!(null);
    files.write(folder.path());
    let whole = files.tokenizer.to_string();
    let damaged = whole.replace("\"decoder\":null", "\"decoder\":julh");
    assert_ne!(damaged, whole);
    std::fs::write(folder.path().join("tokenizer.json"), damaged).unwrap();
    refused();
}
