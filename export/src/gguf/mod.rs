//! A checkpoint in one GGUF file, as llama.cpp reads them: its metadata stand for `config.json` and
//! `tokenizer.json`, and its tensors for `model.safetensors`.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

pub(crate) mod blocks;
mod config;
mod file;
mod metadata;
mod names;
mod sentencepiece;
mod tensors;
mod tokenizer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::checkpoint::Chat;
use crate::config::{Config, Head};
use crate::error::ExportError;
use crate::shards::{Map, Shards};

pub(crate) use names::gguf_name;
pub(crate) use tensors::unread;

/// The GGUF file that `path` means: a file, or the only one in a folder without `config.json`.
/// `None` where it means a Hugging Face folder.
pub(crate) fn find(path: &Path) -> Result<Option<PathBuf>, ExportError> {
    let is_gguf = |path: &Path| {
        let extension = path.extension();
        extension.is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
    };
    if !path.is_dir() {
        // One that is not there is said to be missing by its own name.
        let is_meant = path.is_file() || is_gguf(path);
        return Ok(is_meant.then(|| path.to_owned()));
    }
    if path.join("config.json").exists() {
        return Ok(None);
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(ExportError::io("read", path))? {
        let entry = entry.map_err(ExportError::io("read", path))?;
        found.push(entry.path());
    }
    found.retain(|path| is_gguf(path));
    match &found[..] {
        [] => Ok(None),
        [file] => Ok(Some(file.clone())),
        several => Err(ExportError::checkpoint(
            path,
            format!(
                "holds {} GGUF files and no config.json; name the one that is meant",
                several.len()
            ),
        )),
    }
}

/// What a GGUF file holds.
pub(crate) struct Opened {
    pub(crate) config: Config,
    pub(crate) shards: Shards,
    /// A `tokenizer.json` made of the metadata.
    pub(crate) tokenizer: Vec<u8>,
}

/// Opens the file of a classifier or a language model.
pub(crate) fn open(path: &Path, head: Head, safe: Option<&str>) -> Result<Opened, ExportError> {
    let map = Map::open(path)?;
    let refused = |message: String| ExportError::checkpoint(path, message);
    let file = file::parse(map.bytes()).map_err(refused)?;
    let config = config::read((&file, map.bytes()), head, safe).map_err(refused)?;
    let places = tensors::places(&file, &config).map_err(refused)?;
    let tokenizer = tokenizer::json(&file.metadata).map_err(refused)?;
    Ok(Opened {
        config,
        shards: Shards::of_gguf(map, places),
        tokenizer,
    })
}

/// What the file says of chats, and its tokenizer.
pub(crate) fn chat(path: &Path) -> Result<Chat, ExportError> {
    let map = Map::open(path)?;
    let refused = |message: String| ExportError::checkpoint(path, message);
    let file = file::parse(map.bytes()).map_err(refused)?;
    let metadata = &file.metadata;
    let template = metadata.text("tokenizer.chat_template").map_err(refused)?;
    let token = |name| tokenizer::token(metadata, name).map_err(refused);
    Ok(Chat {
        path: path.to_owned(),
        template: template.map(str::to_owned),
        bos: token("tokenizer.ggml.bos_token_id")?,
        eos: token("tokenizer.ggml.eos_token_id")?,
        tokenizer: tokenizer::json(metadata).map_err(refused)?,
    })
}
