//! A checkpoint with one of its files replaced by any bytes: refused, or its tensors can be
//! computed with. The first byte chooses the file, and as what the folder is opened: a classifier,
//! a language model, or one to talk to.
#![no_main]

use std::cell::RefCell;

use duoguard_export::checkpoint::{Chat, Checkpoint};
use duoguard_export::reference::forward;
use duoguard_fuzz::checkpoint::{CheckpointFolder, NAMES};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static FOLDER: RefCell<CheckpointFolder> = RefCell::new(CheckpointFolder::new());
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    FOLDER.with_borrow_mut(|folder| {
        let choice = usize::from(*choice);
        let path = folder.with(choice % NAMES.len(), bytes);
        match choice / NAMES.len() % 3 {
            0 => {
                let Ok(checkpoint) = Checkpoint::open(path) else {
                    return;
                };
                let logits = forward(&checkpoint, &[1, 2]);
                assert_eq!(logits.len(), checkpoint.labels());
            }
            1 => drop(Checkpoint::open_language_model(path)),
            _ => drop(Chat::open(path)),
        }
    });
});
