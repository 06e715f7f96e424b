//! Starting from a language model that somebody else trained: a Hugging Face folder or a GGUF file
//! of the Qwen2 or Llama family.

use std::path::Path;
use std::rc::Rc;

use duoguard_export::checkpoint::Checkpoint;
use tch::{Device, Tensor};

use crate::error::TrainError;
use crate::model::decoder::Decoder;
use crate::model::layout::{Layout, Weights};
use crate::recipe::ModelRecipe;

/// The language model at `path`, with a classifier head of zeros. All tensors become 32-bit
/// floats, one after the other.
///
/// # Errors
/// Whatever the exporter would refuse: a missing tensor, a wrong shape, an unknown architecture, a
/// number that is not finite.
pub(crate) fn language_model(path: &Path, device: &Device) -> Result<Decoder, TrainError> {
    Ok(decoder(&Checkpoint::open_language_model(path)?, device))
}

/// The network of a language model that is open: see [`language_model`].
pub(crate) fn decoder(checkpoint: &Checkpoint, device: &Device) -> Decoder {
    let shape = shape(checkpoint);
    let vocabulary = checkpoint.config().vocabulary;
    let layout = Rc::new(Layout::new(&shape, vocabulary));
    let weights = Weights::zeros(layout.clone(), *device);
    for entry in layout.entries.iter().filter(|e| e.name != "score.weight") {
        let values = Tensor::from_slice(&checkpoint.tensor(&entry.name));
        let values = values.view(entry.dims.as_slice());
        weights.view(entry.offset, &entry.dims).copy_(&values);
    }
    Decoder::over(&shape, vocabulary, weights)
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
        qkv_bias: config.qkv_bias,
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
            qkv_bias: true,
        };
        let device = Device::Cpu;
        let decoder = Decoder::new(&shape, 270, 5, &device);
        let saved = folder.path().join("model");
        let guard = serde_json::json!({});
        save_hugging_face(&saved, &decoder, &tokenizer, &[vec![1, 2]], &guard).unwrap();
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
            host(&found.hidden(&ids, [1, 4], None)),
            host(&decoder.hidden(&ids, [1, 4], None))
        );
    }
}
