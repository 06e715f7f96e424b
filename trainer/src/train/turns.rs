//! Training steps and sampling taken a piece at a time, for measurements that take turns with
//! another program on the same machine.

use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use crate::data::tokenizer::END;
use crate::distributed::{ProcessGroup, Share};
use crate::error::TrainError;
use crate::model::decoder::Decoder;
use crate::model::encoder::{Encoder, EncoderShape, layouts};
use crate::model::generate::{Prompt, generate};
use crate::model::gradients::Gradients;
use crate::model::layout::{CATEGORIES, Weights};
use crate::model::network::{Classifier, Network as TrainedNetwork};
use crate::model::sampler::SamplingSettings;
use crate::recipe::{ClassifierLoss, ComputeRecipe, ModelRecipe, OptimizerRecipe, Precision};
use crate::train::checkpoint::TrainingState;
use crate::train::loss::classifier_loss;
use crate::train::optimizer::AdamW;
use crate::train::probe::{Network, Probe, made_up_tokens, mini, targets};
use crate::train::stage::{BatchLoss, Stage, StageSettings, step_once};

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
pub struct TrainingTurns(Box<dyn Steps>);

impl TrainingTurns {
    /// A fresh decoder of the shape and vocabulary given.
    pub fn decoder(
        probe: Probe,
        (shape, vocabulary): &Network,
        compute: ComputeRecipe,
        device: &Device,
    ) -> Self {
        let decoder = Decoder::new(shape, *vocabulary, 1, device);
        Self(Box::new(Trained::new(probe, decoder, compute)))
    }

    /// A fresh encoder of 12 layers of 384 with 60,000 tokens, of which all but the embedding is
    /// trained: classifier steps over `rows` texts of `tokens` tokens.
    pub fn encoder(rows: usize, tokens: usize, compute: ComputeRecipe, device: &Device) -> Self {
        let encoder = drawn(&small_encoder(), *device);
        let probe = EncoderProbe { rows, tokens };
        Self(Box::new(Trained::new(probe, encoder, compute)))
    }

    /// Takes `steps` optimizer steps and waits for the device; gives the last loss.
    ///
    /// # Errors
    /// None on one process.
    pub fn take(&mut self, steps: usize) -> Result<f64, TrainError> {
        self.0.take(steps)
    }
}

/// Steps of a network of either family.
trait Steps {
    fn take(&mut self, steps: usize) -> Result<f64, TrainError>;
}

struct Trained<N, S> {
    stage: S,
    settings: StageSettings,
    network: N,
    state: TrainingState,
    gradients: Gradients,
}

impl<N: TrainedNetwork, S: Stage<N>> Trained<N, S> {
    fn new(stage: S, network: N, compute: ComputeRecipe) -> Self {
        let optimizer = OptimizerRecipe {
            learning_rate: 1e-5,
            warmup: 0.0,
            weight_decay: 0.0,
            max_gradient_norm: 1.0,
            checkpoint_every: usize::MAX,
        };
        Self {
            stage,
            settings: StageSettings::new("classifier", usize::MAX, &optimizer, compute),
            state: TrainingState {
                stage: "classifier".to_owned(),
                optimizer: AdamW::new(network.weights()),
                average: None,
                best: None,
            },
            gradients: Gradients::new(network.weights()),
            network,
        }
    }
}

impl<N: TrainedNetwork, S: Stage<N>> Steps for Trained<N, S> {
    fn take(&mut self, steps: usize) -> Result<f64, TrainError> {
        let mut loss = f64::NAN;
        for step in 1..=steps {
            let network = (&mut self.network, &mut self.state, &mut self.gradients);
            let alone = ProcessGroup::alone();
            let result = step_once(&mut self.stage, &self.settings, network, &alone)?;
            if step == steps {
                loss = result.loss.double_value(&[]);
            }
        }
        Ok(loss)
    }
}

/// The size of multilingual-e5-small, with the vocabulary of `models/base`.
fn small_encoder() -> EncoderShape {
    EncoderShape {
        vocabulary: 60_000,
        layers: 12,
        hidden: 384,
        heads: 12,
        intermediate: 1536,
        positions: 512,
        types: 2,
        norm_eps: 1e-12,
        outputs: CATEGORIES,
        frozen_layers: 0,
        layer_decay: 1.0,
        classifier_rate: 1.0,
        dropout: 0.0,
    }
}

/// An encoder with weights that only a measurement can use.
fn drawn(shape: &EncoderShape, device: Device) -> Encoder {
    tch::manual_seed(1);
    let [trained, frozen] = layouts(shape).map(|layout| {
        let flat = Tensor::randn([layout.elements], (Kind::Float, device)) * 0.02;
        let weights = Weights { layout, flat };
        for entry in &weights.layout.entries {
            if entry.name.ends_with("LayerNorm.weight") {
                let _ = weights.view(entry.offset, &entry.dims).fill_(1.0);
            }
        }
        weights
    });
    Encoder::over(shape, trained, Rc::new(frozen))
}

/// Classifier steps on made-up texts of one length.
struct EncoderProbe {
    rows: usize,
    tokens: usize,
}

impl Stage<Encoder> for EncoderProbe {
    fn loss(&mut self, encoder: &Encoder, index: usize, _share: Share) -> BatchLoss {
        let (rows, tokens) = (self.rows, self.tokens);
        let ids = made_up_tokens(index, rows * tokens, encoder.shape.vocabulary);
        let logits = encoder.logits(&ids, &vec![tokens as i32; rows], tokens);
        BatchLoss {
            own: Some(classifier_loss(
                ClassifierLoss::LogSumExp,
                &logits,
                &targets(rows),
            )),
            tokens: rows * tokens,
        }
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
                order_bonus: 0.0,
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
