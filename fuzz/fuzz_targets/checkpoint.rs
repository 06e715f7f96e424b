//! A checkpoint with one of its files replaced by any bytes: refused, or its tensors can be
//! computed with. The first byte chooses the file.
#![no_main]

use std::cell::RefCell;

use duoguard_export::checkpoint::{Chat, Checkpoint};
use duoguard_export::reference::forward;
use duoguard_fuzz::CheckpointFolder;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static FOLDER: RefCell<CheckpointFolder> = RefCell::new(CheckpointFolder::new());
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    FOLDER.with_borrow_mut(|folder| {
        let path = folder.with(*choice, bytes);
        let _ = Chat::open(path);
        let _ = Checkpoint::open_language_model(path);
        if let Ok(checkpoint) = Checkpoint::open(path) {
            let logits = forward(&checkpoint, &[1, 2]);
            assert_eq!(logits.len(), checkpoint.labels());
        }
    });
});
