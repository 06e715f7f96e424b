//! A generator that runs here: how it is spoken to, what it was before the first round, and the
//! judge that it can be.

use burn::tensor::activation;

use crate::data::lexicon::Lexicon;
use crate::data::tokenizer::Tokenizer;
use crate::error::TrainError;
use crate::game::generator::GeneratorStage;
use crate::game::instructions::parse_rating;
use crate::game::judge::{Judge, JudgeRequest, Rating, rating_of_probability};
use crate::game::prompt::PromptFormat;
use crate::model::decoder::Decoder;
use crate::model::generate::{Prompt, SamplingSettings, generate, log_likelihood};
use crate::model::import;
use crate::recipe::{GameRecipe, GeneratorRecipe, OwnGeneratorRecipe};
use crate::setup::Setup;
use crate::train::checkpoint::host;
use crate::train::stage::{StageSettings, run_stage, without_gradients};

/// Texts whose likelihoods are computed at once.
const ROWS_AT_ONCE: usize = 32;
/// Tokens of a rating at most.
const RATING_TOKENS: usize = 16;

/// A generator that runs here.
pub struct LocalGenerator {
    /// How it is spoken to.
    pub format: PromptFormat,
    /// As it was before the first round.
    pub reference: Decoder,
}

impl LocalGenerator {
    /// Makes or reads the generator of a game; `None` when it is behind an endpoint.
    ///
    /// # Errors
    /// A stage or a checkpoint that failed.
    pub fn of(setup: &Setup<'_>, game: &GameRecipe) -> Result<Option<Self>, TrainError> {
        match &game.generator {
            GeneratorRecipe::Own(own) => {
                let tokenizer = Tokenizer::load(&setup.run.join("tokenizer.json"))?;
                let lexicon = setup.lexicon.clone().unwrap_or_default();
                Ok(Some(Self {
                    reference: learn_to_write(setup, game, (own, &lexicon))?,
                    format: PromptFormat::gloss(tokenizer, lexicon),
                }))
            }
            GeneratorRecipe::Checkpoint { folder } => {
                let folder = setup.data.join(folder);
                Ok(Some(Self {
                    format: PromptFormat::chat(&folder)?,
                    reference: import::language_model(&folder, &setup.device)?,
                }))
            }
            GeneratorRecipe::Endpoint(_) => Ok(None),
        }
    }
}

/// The base, taught to write from an English text.
fn learn_to_write(
    setup: &Setup<'_>,
    game: &GameRecipe,
    (own, lexicon): (&OwnGeneratorRecipe, &Lexicon),
) -> Result<Decoder, TrainError> {
    let seed = setup.recipe.seed.wrapping_add(2);
    let mut stage = GeneratorStage::new(
        &setup.training,
        &setup.parallel,
        &setup.pairs,
        (&setup.tokenizer, lexicon),
        (game, own),
        seed,
        &setup.device,
    );
    if stage.is_empty() {
        return Err(TrainError::invalid(
            &setup.data,
            "no text stands here in English and in one of game.languages: the generator has nothing to learn from",
        ));
    }
    let settings = StageSettings {
        name: "generator",
        steps: own.steps,
        accumulation: 1,
        learning_rate: own.learning_rate,
        warmup: own.warmup,
        weight_decay: own.weight_decay,
        max_gradient_norm: own.max_gradient_norm,
        checkpoint_every: own.checkpoint_every,
        average_decay: 0.0,
        compute: setup.recipe.compute,
    };
    let mut generator = setup.base.clone();
    run_stage(
        &mut stage,
        &settings,
        &mut generator,
        &setup.run,
        &setup.device,
    )?;
    Ok(generator)
}

/// The generator as it was before the first round, as a judge.
pub struct ReferenceJudge<'a> {
    /// Who writes, and judges.
    pub local: &'a LocalGenerator,
    /// Seeds the sampling of ratings.
    pub seed: u64,
}

impl Judge for ReferenceJudge<'_> {
    fn rate(&mut self, requests: &[JudgeRequest<'_>]) -> Result<Vec<Rating>, TrainError> {
        let decoder = without_gradients(&self.local.reference);
        match self.local.format.is_instructed() {
            true => self.rate_by_instruction(&decoder, requests),
            false => self.rate_by_likelihood(&decoder, requests),
        }
    }
}

impl ReferenceJudge<'_> {
    /// It is told to answer with a rating.
    fn rate_by_instruction(
        &self,
        decoder: &Decoder,
        requests: &[JudgeRequest<'_>],
    ) -> Result<Vec<Rating>, TrainError> {
        let format = &self.local.format;
        let prompts: Result<Vec<Prompt>, TrainError> = requests
            .iter()
            .map(|request| {
                let ids = format.rating_prompt(request.text)?;
                Ok(Prompt {
                    ids,
                    seed: self.seed,
                    bonus_tokens: Vec::new(),
                })
            })
            .collect();
        let settings = SamplingSettings {
            // A rating is wanted, not a sample.
            temperature: 0.01,
            top_p: 1.0,
            max_tokens: RATING_TOKENS,
            end: format.end,
            token_bonus: 0.0,
        };
        let rating_of = |ids: Option<Vec<i32>>| {
            let rating = ids.and_then(|ids| parse_rating(&format.decode(&ids)));
            rating.map_or(Rating::Unparseable, Rating::Unsafety)
        };
        let answers = generate(decoder, &prompts?, &settings);
        Ok(answers.into_iter().map(rating_of).collect())
    }

    /// Bayes: how much likelier is the text under the unsafe prefix than under the safe one?
    fn rate_by_likelihood(
        &self,
        decoder: &Decoder,
        requests: &[JudgeRequest<'_>],
    ) -> Result<Vec<Rating>, TrainError> {
        let format = &self.local.format;
        let mut ratings = Vec::with_capacity(requests.len());
        for requests in requests.chunks(ROWS_AT_ONCE) {
            let mut rows: Vec<(Vec<i32>, Vec<i32>)> = Vec::new();
            for is_unsafe in [true, false] {
                for request in requests {
                    let prompt =
                        format.generation_prompt(request.seed_text, request.language, is_unsafe)?;
                    rows.push((prompt, format.encode(request.text)));
                }
            }
            let rows: Vec<(&[i32], &[i32])> = rows.iter().map(|(p, t)| (&p[..], &t[..])).collect();
            let both = log_likelihood(decoder, &rows, format.end);
            let count = requests.len();
            let ratio = both.clone().narrow(0, 0, count) - both.narrow(0, count, count);
            let unsafety = host(&activation::sigmoid(ratio));
            ratings.extend(
                unsafety
                    .into_iter()
                    .map(|p| Rating::Unsafety(rating_of_probability(p))),
            );
        }
        Ok(ratings)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::recipe::ModelRecipe;

    #[test]
    fn likelihood_rates_by_the_prefix_that_makes_a_text_likelier() {
        let texts = ["warm soup and bread", "good bread"];
        let tokenizer = Tokenizer::train(texts.iter().copied().cycle().take(100), 270).unwrap();
        let shape = ModelRecipe {
            layers: 1,
            hidden: 32,
            heads: 2,
            kv_heads: 1,
            intermediate: 24,
            max_position: 64,
            rope_theta: 10000.0,
            norm_eps: 1e-6,
            rope_scaling: None,
            tied: true,
        };
        let mut reference = Decoder::new(
            &shape,
            tokenizer.vocabulary(),
            3,
            &Device::flex().autodiff(),
        );
        for parameter in &mut reference.parameters {
            parameter.value = parameter.value.clone().mul_scalar(20.0);
        }
        let local = LocalGenerator {
            format: PromptFormat::gloss(tokenizer, Default::default()),
            reference,
        };
        let requests: Vec<JudgeRequest<'_>> = ["good soup", "bread", "warm", "and soup and bread"]
            .iter()
            .map(|text| JudgeRequest {
                text,
                language: "de",
                seed_text: "good bread",
                seed_key: "",
            })
            .collect();
        let found = ReferenceJudge {
            local: &local,
            seed: 1,
        }
        .rate(&requests)
        .unwrap();
        for (request, found) in requests.iter().zip(found) {
            let likelihood = |is_unsafe| {
                let prompt = local
                    .format
                    .generation_prompt("good bread", "de", is_unsafe)
                    .unwrap();
                let text = local.format.encode(request.text);
                let decoder = without_gradients(&local.reference);
                host(&log_likelihood(
                    &decoder,
                    &[(&prompt, &text)],
                    local.format.end,
                ))[0]
            };
            let (unsafe_, safe) = (likelihood(true), likelihood(false));
            let expected = rating_of_probability(1.0 / (1.0 + (safe - unsafe_).exp()));
            assert_eq!(
                found,
                Rating::Unsafety(expected),
                "{}: {unsafe_} {safe}",
                request.text
            );
        }
    }
}
