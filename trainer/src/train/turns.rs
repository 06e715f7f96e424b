//! Training steps and sampling taken a piece at a time, for measurements that take turns with
//! another program on the same machine.

use tch::Device;

use crate::data::tokenizer::END;
use crate::distributed::ProcessGroup;
use crate::error::TrainError;
use crate::model::decoder::Decoder;
use crate::model::generate::{Prompt, generate};
use crate::model::gradients::Gradients;
use crate::model::sampler::SamplingSettings;
use crate::recipe::{ComputeRecipe, ModelRecipe, OptimizerRecipe, Precision};
use crate::train::checkpoint::TrainingState;
use crate::train::optimizer::AdamW;
use crate::train::probe::{Network, Probe, mini};
use crate::train::stage::{StageSettings, step_once};

/// A decoder of the size of a small encoder, and its vocabulary.
pub fn encoder_sized() -> Network {
    let shape = ModelRecipe {
        layers: 12,
        hidden: 384,
        heads: 12,
        kv_heads: 12,
        intermediate: 1536,
        ..mini().0
    };
    (shape, 16_000)
}

/// The shape of SmolLM2-135M, and its vocabulary.
pub fn llama_135m() -> Network {
    let shape = ModelRecipe {
        layers: 30,
        hidden: 576,
        heads: 9,
        kv_heads: 3,
        intermediate: 1536,
        max_position: 8192,
        rope_theta: 1e5,
        norm_eps: 1e-5,
        qkv_bias: false,
        ..mini().0
    };
    (shape, 49_152)
}

/// A network that is trained step by step.
pub struct TrainingTurns {
    probe: Probe,
    settings: StageSettings,
    decoder: Decoder,
    state: TrainingState,
    gradients: Gradients,
}

impl TrainingTurns {
    /// A fresh network of the shape and vocabulary given.
    pub fn new(
        probe: Probe,
        (shape, vocabulary): &Network,
        compute: ComputeRecipe,
        device: &Device,
    ) -> Self {
        let optimizer = OptimizerRecipe {
            learning_rate: 1e-5,
            warmup: 0.0,
            weight_decay: 0.0,
            max_gradient_norm: 1.0,
            checkpoint_every: usize::MAX,
        };
        let decoder = Decoder::new(shape, *vocabulary, 1, device);
        Self {
            probe,
            settings: StageSettings::new("classifier", usize::MAX, &optimizer, compute),
            state: TrainingState {
                stage: "classifier".to_owned(),
                optimizer: AdamW::new(&decoder.weights),
                average: None,
            },
            gradients: Gradients::new(&decoder.weights),
            decoder,
        }
    }

    /// Takes `steps` optimizer steps and waits for the device; gives the last loss.
    ///
    /// # Errors
    /// None on one process.
    pub fn take(&mut self, steps: usize) -> Result<f64, TrainError> {
        let mut loss = f64::NAN;
        for step in 1..=steps {
            let network = (&mut self.decoder, &mut self.state, &mut self.gradients);
            let alone = ProcessGroup::alone();
            let result = step_once(&mut self.probe, &self.settings, network, &alone)?;
            if step == steps {
                loss = result.loss.double_value(&[]);
            }
        }
        Ok(loss)
    }
}

/// A network that texts are sampled from, batch by batch.
pub struct SamplingTurns {
    decoder: Decoder,
    settings: SamplingSettings,
    prompts: usize,
    proposals: usize,
    prompt_tokens: usize,
    turn: u64,
}

impl SamplingTurns {
    /// A fresh network; a turn continues `prompts` prompts of `prompt_tokens` tokens, each
    /// `proposals` times, by at most `new_tokens`, at temperature 1.
    pub fn new(
        (shape, vocabulary): &Network,
        [prompts, proposals]: [usize; 2],
        [prompt_tokens, new_tokens]: [usize; 2],
        top_p: f64,
        (precision, device): (Precision, &Device),
    ) -> Self {
        let decoder = Decoder::new(shape, *vocabulary, 1, device);
        Self {
            decoder: decoder.sampling(precision).unwrap_or(decoder),
            settings: SamplingSettings {
                temperature: 1.0,
                top_p,
                max_tokens: new_tokens,
                end: END,
                token_bonus: 0.0,
            },
            prompts,
            proposals,
            prompt_tokens,
            turn: 0,
        }
    }

    /// Samples one batch; gives the number of tokens that were sampled.
    pub fn take(&mut self) -> usize {
        self.turn += 1;
        let token = |place: usize| (1 + place * 7919 % (self.decoder.vocabulary - 1)) as i32;
        let rows = self.prompts * self.proposals;
        let prompts: Vec<Prompt> = (0..rows)
            .map(|row| {
                let first = row / self.proposals * self.prompt_tokens + self.turn as usize;
                Prompt {
                    ids: (first..first + self.prompt_tokens).map(token).collect(),
                    seed: self.turn << 32 | row as u64,
                    bonus_tokens: Vec::new(),
                }
            })
            .collect();
        let texts = generate(&self.decoder, &prompts, &self.settings);
        let sampled = |text: &Option<Vec<i32>>| match text {
            Some(text) => text.len() + 1,
            None => self.settings.max_tokens,
        };
        texts.iter().map(sampled).sum()
    }
}
