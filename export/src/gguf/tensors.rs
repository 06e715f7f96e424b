//! Where the tensors of a network lie in a GGUF file.

use std::collections::{BTreeMap, BTreeSet};

use super::config::ROPE_FREQUENCIES;
use super::file::File;
use super::names::hugging_face_name;
use crate::config::Config;
use crate::shards::{Encoding, Place, Shards};

/// Converters reorder the rows of these for the Llama family, so that the two dimensions that
/// rotate together are neighbours.
const ROTATED: [&str; 2] = [".self_attn.q_proj.weight", ".self_attn.k_proj.weight"];

/// The places by the names of a Hugging Face folder.
pub(super) fn places(file: &File, config: &Config) -> Result<BTreeMap<String, Place>, String> {
    let is_interleaved = config.model_type == "llama";
    let mut places = BTreeMap::new();
    for tensor in &file.tensors {
        if tensor.name == ROPE_FREQUENCIES {
            // Read with the configuration.
            continue;
        }
        let name = hugging_face_name(&tensor.name).ok_or_else(|| {
            format!(
                "tensor {} is none that the family {} has here; the network would not be the file's: only models without it are supported so far",
                tensor.name, config.model_type
            )
        })?;
        let is_rotated = is_interleaved && ROTATED.iter().any(|end| name.ends_with(end));
        let place = Place {
            file: 0,
            encoding: Encoding::Gguf(tensor.kind),
            shape: tensor.shape.clone(),
            start: tensor.start,
            end: tensor.end,
            interleaved: is_rotated.then(|| config.head_size()),
        };
        if places.insert(name, place).is_some() {
            return Err(format!(
                "tensor {} stands for a classifier, and so does another; expected one",
                tensor.name
            ));
        }
    }
    Ok(places)
}

/// A tensor that the network does not have, and what is wrong with it.
pub(crate) fn unread(
    shards: &Shards,
    expected: BTreeSet<String>,
    config: &Config,
) -> Option<(String, String)> {
    let name = shards.names().find(|name| !expected.contains(*name))?;
    let message = format!(
        "tensor {} is none that this network has, of the family {} with {} layers; only models without it are supported so far",
        shards.name(name),
        config.model_type,
        config.layers
    );
    Some((name.to_owned(), message))
}
