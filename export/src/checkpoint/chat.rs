//! How a model that was trained to follow instructions is spoken to.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::ExportError;
use crate::gguf;
use crate::small::read_small;

const CONFIG: &str = "tokenizer_config.json";
const TEMPLATE: &str = "chat_template.jinja";

/// What a checkpoint says about chats, and its tokenizer.
#[derive(Clone, Debug)]
pub struct Chat {
    /// The file that the template is from, or in which there is none.
    pub path: PathBuf,
    /// The Jinja template that makes a text of messages: `tokenizer.chat_template` of a GGUF file;
    /// of a folder, `chat_template` in `tokenizer_config.json`, or `chat_template.jinja`.
    pub template: Option<String>,
    /// The token that begins a text.
    pub bos: Option<String>,
    /// The token that ends a turn.
    pub eos: Option<String>,
    /// A `tokenizer.json`.
    pub tokenizer: Vec<u8>,
}

impl Chat {
    /// Reads it without the weights, of a checkpoint in one of the forms that
    /// [`Checkpoint::open`](super::Checkpoint::open) takes.
    ///
    /// # Errors
    /// A file that is missing, other than that of the template, or is not what it must be.
    pub fn open(path: &Path) -> Result<Self, ExportError> {
        match gguf::find(path)? {
            Some(file) => gguf::chat(&file),
            None => of_folder(path),
        }
    }
}

fn of_folder(folder: &Path) -> Result<Chat, ExportError> {
    let path = folder.join(CONFIG);
    let config: Map<String, Value> = serde_json::from_slice(&read_small(&path)?)
        .map_err(|cause| ExportError::checkpoint(&path, format!("not a JSON object: {cause}")))?;
    // A token is a string, or an object with its text and how it is matched; or null where the
    // model has none.
    let token = |name: &str| {
        let value = config.get(name)?;
        let text = value.as_str().or_else(|| value["content"].as_str());
        text.map(str::to_owned)
    };
    let (path, template) = match config.get("chat_template").and_then(Value::as_str) {
        Some(template) => (path, Some(template.to_owned())),
        None => template_file(folder.join(TEMPLATE))?,
    };
    Ok(Chat {
        path,
        template,
        bos: token("bos_token"),
        eos: token("eos_token"),
        tokenizer: read_small(&folder.join("tokenizer.json"))?,
    })
}

fn template_file(path: PathBuf) -> Result<(PathBuf, Option<String>), ExportError> {
    if !path.exists() {
        return Ok((path, None));
    }
    let text = String::from_utf8(read_small(&path)?)
        .map_err(|cause| ExportError::checkpoint(&path, format!("not UTF-8: {cause}")))?;
    Ok((path, Some(text)))
}
