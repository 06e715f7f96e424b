//! A generator that runs here: how it is spoken to, what it was before the first round, and the
//! judge that it can be.

use burn::tensor::activation;

use crate::data::lexicon::Lexicon;
use crate::data::tokenizer::Tokenizer;
use crate::error::TrainError;
use crate::game::generator::Writing;
use crate::game::instructions::parse_rating;
use crate::game::judge::{Exhibit, Judge, Opinion, rating};
use crate::game::prompt::Voice;
use crate::model::decoder::Decoder;
use crate::model::generate::{Prompt, SamplingSettings, log_likelihood, sample};
use crate::model::import;
use crate::recipe::{GameRecipe, GeneratorRecipe, OwnGeneratorRecipe};
use crate::setup::Ground;
use crate::train::checkpoint::host;
use crate::train::stage::{StageSettings, run_stage, without_gradients};

/// Texts whose likelihoods are computed at once.
const ROWS_AT_ONCE: usize = 32;
/// Tokens of a rating at most.
const RATING_TOKENS: usize = 16;

/// A generator that runs here.
pub struct Author {
    /// How it is spoken to.
    pub voice: Voice,
    /// As it was before the first round.
    pub first: Decoder,
}

impl Author {
    /// Makes or reads the generator of a game; `None` when it is behind an endpoint.
    ///
    /// # Errors
    /// A stage or a checkpoint that failed.
    pub fn of(ground: &Ground<'_>, game: &GameRecipe) -> Result<Option<Self>, TrainError> {
        match &game.generator {
            GeneratorRecipe::Own(own) => {
                let tokenizer = Tokenizer::load(&ground.run.join("tokenizer.json"))?;
                let lexicon = ground.lexicon.clone().unwrap_or_default();
                Ok(Some(Self {
                    first: learn_to_write(ground, game, (own, &lexicon))?,
                    voice: Voice::own(tokenizer, lexicon),
                }))
            }
            GeneratorRecipe::Checkpoint { folder } => {
                let folder = ground.data.join(folder);
                Ok(Some(Self {
                    voice: Voice::of_checkpoint(&folder)?,
                    first: import::language_model(&folder, &ground.device)?,
                }))
            }
            GeneratorRecipe::Endpoint(_) => Ok(None),
        }
    }
}

/// The base, taught to write from an English text.
fn learn_to_write(
    ground: &Ground<'_>,
    game: &GameRecipe,
    (own, lexicon): (&OwnGeneratorRecipe, &Lexicon),
) -> Result<Decoder, TrainError> {
    let seed = ground.recipe.seed.wrapping_add(2);
    let mut stage = Writing::new(
        &ground.training,
        &ground.parallel,
        &ground.pairs,
        (&ground.tokenizer, lexicon),
        (game, own),
        seed,
        &ground.device,
    );
    if stage.is_empty() {
        return Err(TrainError::invalid(
            &ground.data,
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
        compute: ground.recipe.compute,
    };
    let mut generator = ground.base.clone();
    run_stage(
        &mut stage,
        &settings,
        &mut generator,
        &ground.run,
        &ground.device,
    )?;
    Ok(generator)
}

/// The generator as it was before the first round, as a judge.
pub struct FirstJudge<'a> {
    /// Who writes, and judges.
    pub author: &'a Author,
    /// Seeds the sampling of ratings.
    pub seed: u64,
}

impl Judge for FirstJudge<'_> {
    fn rate(&mut self, exhibits: &[Exhibit<'_>]) -> Result<Vec<Opinion>, TrainError> {
        let decoder = without_gradients(&self.author.first);
        match self.author.voice.is_instructed() {
            true => self.by_instruction(&decoder, exhibits),
            false => self.by_likelihood(&decoder, exhibits),
        }
    }
}

impl FirstJudge<'_> {
    /// It is told to answer with a rating.
    fn by_instruction(
        &self,
        decoder: &Decoder,
        exhibits: &[Exhibit<'_>],
    ) -> Result<Vec<Opinion>, TrainError> {
        let voice = &self.author.voice;
        let prompts: Result<Vec<Prompt>, TrainError> = exhibits
            .iter()
            .map(|exhibit| {
                let ids = voice.rating(exhibit.text)?;
                Ok(Prompt {
                    ids,
                    seed: self.seed,
                    favoured: Vec::new(),
                })
            })
            .collect();
        let settings = SamplingSettings {
            // A rating is wanted, not a sample.
            temperature: 0.01,
            top_p: 1.0,
            max_tokens: RATING_TOKENS,
            end: voice.end,
            favour: 0.0,
        };
        let opinion = |ids: Option<Vec<i32>>| {
            let rating = ids.and_then(|ids| parse_rating(&voice.text(&ids)));
            rating.map_or(Opinion::Unparseable, Opinion::Rated)
        };
        let answers = sample(decoder, &prompts?, &settings);
        Ok(answers.into_iter().map(opinion).collect())
    }

    /// Bayes: how much likelier is the text under the unsafe prefix than under the safe one?
    fn by_likelihood(
        &self,
        decoder: &Decoder,
        exhibits: &[Exhibit<'_>],
    ) -> Result<Vec<Opinion>, TrainError> {
        let voice = &self.author.voice;
        let mut opinions = Vec::with_capacity(exhibits.len());
        for exhibits in exhibits.chunks(ROWS_AT_ONCE) {
            let mut rows: Vec<(Vec<i32>, Vec<i32>)> = Vec::new();
            for is_unsafe in [true, false] {
                for exhibit in exhibits {
                    let prompt = voice.writing(exhibit.seed_text, exhibit.language, is_unsafe)?;
                    rows.push((prompt, voice.ids(exhibit.text)));
                }
            }
            let rows: Vec<(&[i32], &[i32])> = rows.iter().map(|(p, t)| (&p[..], &t[..])).collect();
            let both = log_likelihood(decoder, &rows, voice.end);
            let count = exhibits.len();
            let ratio = both.clone().narrow(0, 0, count) - both.narrow(0, count, count);
            let unsafety = host(&activation::sigmoid(ratio));
            opinions.extend(unsafety.into_iter().map(|p| Opinion::Rated(rating(p))));
        }
        Ok(opinions)
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
        let mut first = Decoder::new(
            &shape,
            tokenizer.vocabulary(),
            3,
            &Device::flex().autodiff(),
        );
        for parameter in &mut first.parameters {
            parameter.value = parameter.value.clone().mul_scalar(20.0);
        }
        let author = Author {
            voice: Voice::own(tokenizer, Default::default()),
            first,
        };
        let exhibits: Vec<Exhibit<'_>> = ["good soup", "bread", "warm", "and soup and bread"]
            .iter()
            .map(|text| Exhibit {
                text,
                language: "de",
                seed_text: "good bread",
                seed_key: "",
            })
            .collect();
        let found = FirstJudge {
            author: &author,
            seed: 1,
        }
        .rate(&exhibits)
        .unwrap();
        for (exhibit, found) in exhibits.iter().zip(found) {
            let likelihood = |is_unsafe| {
                let prompt = author.voice.writing("good bread", "de", is_unsafe).unwrap();
                let text = author.voice.ids(exhibit.text);
                let decoder = without_gradients(&author.first);
                host(&log_likelihood(
                    &decoder,
                    &[(&prompt, &text)],
                    author.voice.end,
                ))[0]
            };
            let (unsafe_, safe) = (likelihood(true), likelihood(false));
            let expected = rating(1.0 / (1.0 + (safe - unsafe_).exp()));
            assert_eq!(
                found,
                Opinion::Rated(expected),
                "{}: {unsafe_} {safe}",
                exhibit.text
            );
        }
    }
}
