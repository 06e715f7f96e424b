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
    use std::path::PathBuf;

    use serde_json::Value;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::data::rows::CATEGORIES;
    use crate::data::tokenizer::Tokenizer;
    use crate::model::generate::{Prompt, generate};
    use crate::model::hugging_face::save_hugging_face;
    use crate::model::sampler::SamplingSettings;
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
        let labels = CATEGORIES.map(str::to_owned);
        let place = (&*saved, &labels[..]);
        save_hugging_face(place, &decoder, &tokenizer, &[vec![1, 2]], &guard).unwrap();
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

    /// The logits of a golden case's last token, and what they should be.
    fn last_logits(network: &Decoder, case: &Value) -> (Vec<f32>, Vec<f32>) {
        let numbers = |name: &str| case[name].as_array().unwrap().iter();
        let ids = numbers("input_ids").map(|id| id.as_i64().unwrap() as i32);
        let ids: Vec<i32> = ids.collect();
        let expected = numbers("logits").map(|x| x.as_f64().unwrap() as f32);
        let last = [ids.len() as i64 - 1];
        let hidden = network.hidden(&ids, [1, ids.len()], Some(&last));
        let logits = hidden.linear(&network.head().value, None::<&Tensor>);
        (host(&logits), expected.collect())
    }

    fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
        assert_eq!(found.len(), expected.len());
        let pairs = found.iter().zip(expected);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_gguf_file_computes_what_transformers_makes_of_it() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../export/tests/golden/gguf");
        let golden = std::fs::read(folder.join("golden.json")).unwrap();
        let golden: Value = serde_json::from_slice(&golden).unwrap();
        for name in ["llama", "qwen2"] {
            let path = folder.join(format!("{name}.gguf"));
            let network = language_model(&path, &Device::Cpu).unwrap();
            for case in golden[name].as_array().unwrap() {
                let (found, expected) = last_logits(&network, case);
                let difference = largest_difference(&found, &expected);
                assert!(difference < 5e-5, "{name}: {difference}");
            }
        }
    }

    /// Of a real file, by hand: its tensors and tokens are those of other readers, and it writes.
    /// `DUOGUARD_GGUF` names the folder that `scripts/gguf.sh FILE OUT` wrote.
    #[test]
    #[ignore = "needs a real model: scripts/gguf.sh"]
    fn a_real_gguf_file_is_what_other_readers_say() {
        let folder = std::env::var_os("DUOGUARD_GGUF").expect("DUOGUARD_GGUF names a folder");
        let expected = std::fs::read(PathBuf::from(folder).join("expected.json")).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let path = PathBuf::from(expected["file"].as_str().unwrap());
        let checkpoint = Checkpoint::open_language_model(&path).unwrap();
        let hashes = expected["sha256"].as_object().unwrap();
        for (name, hash) in hashes {
            let mut sha256 = Sha256::new();
            let values = checkpoint.tensor(name);
            values.iter().for_each(|x| sha256.update(x.to_le_bytes()));
            let found: String = sha256
                .finalize()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            assert_eq!(found, hash.as_str().unwrap(), "{name}");
        }
        println!("{} tensors are equal to the last bit", hashes.len());

        let tokenizer = Tokenizer::from_bytes(checkpoint.tokenizer(), &path).unwrap();
        let texts = expected["tokens"].as_array().unwrap();
        for pair in texts {
            let text = pair[0].as_str().unwrap();
            let ids = pair[1].as_array().unwrap().iter();
            let ids: Vec<u32> = ids.map(|id| id.as_u64().unwrap() as u32).collect();
            assert_eq!(tokenizer.encode(text), ids, "{text:?}");
        }
        println!("{} texts have the same tokens", texts.len());

        let network = decoder(&checkpoint, &Device::Cpu);
        for case in expected["cases"].as_array().unwrap() {
            let (found, other) = last_logits(&network, case);
            let best = |logits: &[f32]| {
                let logits = logits.iter().enumerate();
                logits.max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0
            };
            let (difference, likeliest) = (largest_difference(&found, &other), best(&found));
            let of = case["input_ids"].as_array().unwrap().len();
            println!(
                "{of} tokens: logits differ by at most {difference:.3} of {:.1}",
                found[likeliest]
            );
            assert_eq!(likeliest, best(&other));
        }

        let chat = checkpoint.chat().unwrap();
        let end = tokenizer.id(&chat.eos.unwrap()).unwrap() as i32;
        let asked =
            "<|im_start|>user\nWrite one sentence about bread.<|im_end|>\n<|im_start|>assistant\n";
        let prompt = |seed| Prompt {
            ids: tokenizer
                .encode(asked)
                .iter()
                .map(|id| *id as i32)
                .collect(),
            seed,
            bonus_tokens: Vec::new(),
        };
        let settings = SamplingSettings {
            temperature: 0.7,
            top_p: 0.9,
            max_tokens: 60,
            end,
            token_bonus: 0.0,
            order_bonus: 0.0,
        };
        let prompts: Vec<Prompt> = (1..=4).map(prompt).collect();
        for text in generate(&network, &prompts, &settings)
            .into_iter()
            .flatten()
        {
            let ids: Vec<u32> = text.iter().map(|id| *id as u32).collect();
            println!("{}", tokenizer.decode(&ids));
        }
    }
}
