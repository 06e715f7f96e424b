//! A checkpoint of which one file has any bytes.

use std::fs;
use std::path::{Path, PathBuf};

use duoguard_export::checkpoint::Checkpoint;
use safetensors::Dtype;

use crate::random_checkpoint::{Family, Recipe};

/// The files that may have any bytes.
pub const NAMES: [&str; 8] = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "model.safetensors.index.json",
    "golden.json",
    "duoguard.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

/// A folder of this process with a small checkpoint that can be opened.
pub struct CheckpointFolder {
    path: PathBuf,
    /// The files as they are when nothing is replaced; `None` for those that are not there then.
    whole: [Option<Vec<u8>>; NAMES.len()],
    replaced: Option<usize>,
}

impl CheckpointFolder {
    /// Writes the checkpoint into the temporary folder.
    pub fn new() -> Self {
        let name = format!("duoguard-fuzz-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let recipe = Recipe {
            layers: 1,
            hidden: 16,
            heads: 1,
            kv_heads: 1,
            intermediate: 4,
            vocabulary: 6,
            labels: 12,
            max_position: 16,
            dtype: Dtype::F16,
            family: Family::Llama,
        };
        recipe.files().write(&path);
        fs::write(path.join("tokenizer_config.json"), "{}").expect("the folder takes a file");
        Checkpoint::open(&path).expect("the checkpoint opens as it is");
        let whole = NAMES.map(|name| fs::read(path.join(name)).ok());
        Self {
            path,
            whole,
            replaced: None,
        }
    }

    /// The folder with one file replaced, and those before it as they were.
    ///
    /// # Panics
    /// If `index` is none of [`NAMES`].
    pub fn with(&mut self, index: usize, bytes: &[u8]) -> &Path {
        if let Some(before) = self.replaced.take() {
            let file = self.path.join(NAMES[before]);
            match &self.whole[before] {
                Some(bytes) => fs::write(file, bytes),
                None => fs::remove_file(file),
            }
            .expect("the temporary folder takes a file");
        }
        let file = self.path.join(NAMES[index]);
        fs::write(file, bytes).expect("the temporary folder takes a file");
        self.replaced = Some(index);
        &self.path
    }
}

impl Default for CheckpointFolder {
    fn default() -> Self {
        Self::new()
    }
}
