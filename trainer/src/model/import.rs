//! Starting from a language model that somebody else trained: a Hugging Face folder of the Qwen2 or
//! Llama family.

use std::path::Path;

use burn::tensor::Device;
use duoguard_export::checkpoint::Checkpoint;

use crate::error::TrainError;
use crate::model::decoder::{CATEGORIES, Decoder, PER_LAYER, Parameter};
use crate::model::tensors::transposed;
use crate::recipe::ModelRecipe;

/// The language model in `folder`, with a classifier head of zeros. All tensors become 32-bit
/// floats, one after the other.
///
/// # Errors
/// Whatever the exporter would refuse: a missing tensor, a wrong shape, an unknown architecture, a
/// number that is not finite.
pub(crate) fn language_model(folder: &Path, device: &Device) -> Result<Decoder, TrainError> {
    let checkpoint = Checkpoint::open_language_model(folder)?;
    let shape = shape(&checkpoint);
    let vocabulary = checkpoint.config().vocabulary;
    let parameters = Decoder::layout(&shape, vocabulary)
        .into_iter()
        .enumerate()
        .map(|(index, (name, dims))| {
            let values = values(&checkpoint, &shape, &name, index, dims);
            Parameter::new(name, values, dims, device)
        })
        .collect();
    Ok(Decoder {
        shape,
        vocabulary,
        parameters,
        recorded: None,
    })
}

fn shape(checkpoint: &Checkpoint) -> ModelRecipe {
    let config = checkpoint.config();
    ModelRecipe {
        layers: config.layers,
        hidden: config.hidden,
        heads: config.heads,
        kv_heads: config.kv_heads,
        intermediate: config.intermediate,
        max_position: config.max_position,
        rope_theta: config.rope.theta,
        norm_eps: config.norm_eps,
        rope_scaling: config.rope.scaling,
        tied: config.tied,
    }
}

/// The values of one of our parameters, whose linear weights are [inputs, outputs]; the
/// checkpoint's are the other way round.
fn values(
    checkpoint: &Checkpoint,
    shape: &ModelRecipe,
    name: &str,
    index: usize,
    dims: [usize; 2],
) -> Vec<f32> {
    match name {
        "embedding" => return checkpoint.tensor("model.embed_tokens.weight"),
        "norm" => return checkpoint.tensor("model.norm.weight"),
        "head" => return checkpoint.tensor("lm_head.weight"),
        "score" => return vec![0.0; dims[0] * CATEGORIES],
        _ => {}
    }
    let layer = (index - 1) / PER_LAYER;
    let tensor = |name: &str| checkpoint.tensor(&format!("model.layers.{layer}.{name}"));
    let weights = |names: &[&str]| {
        let stacked: Vec<f32> = names.iter().flat_map(|name| tensor(name)).collect();
        transposed(&stacked, dims[1], dims[0])
    };
    let qkv = ["q", "k", "v"].map(|part| format!("self_attn.{part}_proj"));
    match name.rsplit_once('.').map_or(name, |(_, part)| part) {
        "input_norm" => tensor("input_layernorm.weight"),
        "post_norm" => tensor("post_attention_layernorm.weight"),
        "qkv_bias" if !checkpoint.config().qkv_bias => vec![0.0; dims[1]],
        "qkv_bias" => qkv
            .iter()
            .flat_map(|part| tensor(&format!("{part}.bias")))
            .collect(),
        "qkv" => {
            let names = qkv.map(|part| format!("{part}.weight"));
            weights(&names.each_ref().map(String::as_str))
        }
        "attention_output" => weights(&["self_attn.o_proj.weight"]),
        "gate_up" => weights(&["mlp.gate_proj.weight", "mlp.up_proj.weight"]),
        "down" => weights(&["mlp.down_proj.weight"]),
        other => unreachable!(
            "the layout has no parameter {other} in {} layers",
            shape.layers
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tokenizer::Tokenizer;
    use crate::model::hugging_face::save_hugging_face;
    use crate::model::tensors::host;

    #[test]
    fn a_saved_network_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = folder.path().join("tokenizer.json");
        let texts = ["the soup is warm", "the bread is good"];
        let texts = texts.iter().copied().cycle().take(100);
        Tokenizer::train(texts, 270)
            .unwrap()
            .save(&tokenizer)
            .unwrap();
        let shape = ModelRecipe {
            layers: 2,
            hidden: 64,
            heads: 4,
            kv_heads: 2,
            intermediate: 24,
            max_position: 64,
            rope_theta: 10000.0,
            norm_eps: 1e-6,
            rope_scaling: None,
            tied: true,
        };
        let device = Device::flex().autodiff();
        let decoder = Decoder::new(&shape, 270, 5, &device);
        let saved = folder.path().join("model");
        let guard = serde_json::json!({});
        save_hugging_face(
            &saved,
            &decoder.without_gradients(),
            &tokenizer,
            &[vec![1, 2]],
            &guard,
        )
        .unwrap();
        // A classifier is refused, and the same network named a language model is read.
        let refused = language_model(&saved, &device).unwrap_err().to_string();
        assert!(refused.contains("Qwen2ForCausalLM"), "{refused}");
        let config = std::fs::read_to_string(saved.join("config.json")).unwrap();
        let config = config.replace("Qwen2ForSequenceClassification", "Qwen2ForCausalLM");
        std::fs::write(saved.join("config.json"), config).unwrap();
        std::fs::remove_file(saved.join("golden.json")).unwrap();

        let found = language_model(&saved, &device).unwrap();
        let ids = [3, 250, 17, 9];
        assert_eq!(
            host(&found.hidden(&ids, 1, 4)),
            host(&decoder.hidden(&ids, 1, 4))
        );
    }
}
