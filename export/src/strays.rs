//! What a folder holds that is not the checkpoint it should be: other formats, prefixed names,
//! tensors that nothing would read.

use std::collections::BTreeSet;
use std::path::Path;

use crate::shards::{INDEX, SINGLE, Shards};

/// What wrappers put before the names of tensors, who does so, and what to do.
const PREFIXES: [(&str, &str); 4] = [
    (
        "_orig_mod.",
        "torch.compile: save the module that was compiled, model._orig_mod",
    ),
    (
        "base_model.model.",
        "PEFT: merge the adapter (merge_and_unload()) and save the model",
    ),
    (
        "module.",
        "data parallelism: save the module within, model.module",
    ),
    (
        "_fsdp_wrapped_module.",
        "FSDP: save the full state dictionary",
    ),
];

/// What a folder without the weights of a checkpoint is instead, and what to do, if that is known.
pub(crate) fn other_kind(folder: &Path) -> Option<String> {
    if folder.join(SINGLE).exists() || folder.join(INDEX).exists() {
        return None;
    }
    let names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let ending = |endings: &[&str]| {
        let mut names = names.iter();
        let found = names.find(|name| endings.iter().any(|ending| name.ends_with(ending)));
        found.cloned()
    };
    let found = |what: String| {
        Some(format!(
            "{what}; expected {SINGLE}, or several with {INDEX}"
        ))
    };
    if let Some(name) = names.iter().find(|name| name.starts_with("adapter_")) {
        return found(format!(
            "the folder holds an adapter ({name}), which is no model by itself: merge it into its \
             base model (PEFT's merge_and_unload()), save that with save_pretrained, and export it"
        ));
    }
    if let Some(name) = ending(&[".gguf"]) {
        return found(format!(
            "{name} is a GGUF file beside a config.json: to read that, name the file itself"
        ));
    }
    if let Some(name) = ending(&[".bin", ".pt", ".pth", ".ckpt"]) {
        return found(format!(
            "{name} is in PyTorch's own format, which runs code when it is read: load it with \
             transformers and save it with save_pretrained(folder, safe_serialization=True)"
        ));
    }
    if let Some(name) = ending(&[".safetensors"]) {
        return found(format!(
            "the weights are in {name}: rename it if it is the whole model"
        ));
    }
    if names.iter().any(|name| name == "manifest.json") {
        return found(
            "the folder holds a bundle, not the checkpoint that it was made of".to_owned(),
        );
    }
    None
}

/// What to add to the message about a missing tensor that is there under another name.
pub(crate) fn prefixed(shards: &Shards, name: &str) -> String {
    let found = PREFIXES
        .iter()
        .find(|(prefix, _)| shards.place(&format!("{prefix}{name}")).is_some())
        .or_else(|| {
            let is_prefixed = |prefix: &str| shards.names().all(|name| name.starts_with(prefix));
            PREFIXES.iter().find(|(prefix, _)| is_prefixed(prefix))
        });
    match found {
        Some((prefix, advice)) => {
            format!(
                ". The names of the file's tensors begin with {prefix:?}, which is from {advice}"
            )
        }
        None => String::new(),
    }
}

/// A tensor that would change what the network computes and that nothing reads, and what is wrong
/// with it: a bias beside a weight that is read, or any other tensor of a decoder's layers.
///
/// Biases of zeros change nothing.
pub(crate) fn unread(
    shards: &Shards,
    expected: impl Iterator<Item = String>,
    is_decoder: bool,
) -> Option<(String, String)> {
    // A `config.json` may claim a million layers, so no more is kept than the files hold.
    let expected: BTreeSet<String> = expected
        .filter(|name| shards.place(name).is_some())
        .collect();
    let is_zero = |name: &str| {
        let Some(place) = shards.place(name) else {
            return false;
        };
        let is_read = place.encoding.unsupported().is_none();
        let count = place.shape.iter().product();
        is_read && shards.read(place, 0, count).iter().all(|x| *x == 0.0)
    };
    let strays = shards.names().filter(|name| !expected.contains(*name));
    for name in strays {
        let weight = name.strip_suffix(".bias").map(|of| format!("{of}.weight"));
        let is_bias = weight.is_some_and(|weight| expected.contains(&weight));
        let is_of_layer = is_decoder
            && name.starts_with("model.layers.")
            // Frequencies that older versions saved; they follow from the configuration.
            && !name.ends_with("rotary_emb.inv_freq");
        if (is_bias || is_of_layer) && !(name.ends_with(".bias") && is_zero(name)) {
            let message = format!(
                "tensor {name} is not part of the architecture that config.json names, and would \
                 be left out; expected none: the checkpoint is of another architecture, or has \
                 more layers than num_hidden_layers"
            );
            return Some((name.to_owned(), message));
        }
    }
    None
}
