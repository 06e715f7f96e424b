//! A generator that runs here: a decoder that writes, learns from preferences, and can judge.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use crate::data::tokenizer::Tokenizer;
use crate::error::TrainError;
use crate::game::generator::{Generator, GeneratorRequest};
use crate::game::pairs::PreferencePair;
use crate::game::prompt::PromptFormat;
use crate::model::decoder::Decoder;
use crate::model::generate::{Prompt, generate};
use crate::model::import;
use crate::model::sampler::SamplingSettings;
use crate::model::weights::load_weights;
use crate::recipe::{GameRecipe, LocalGeneratorRecipe, Precision, TranslationRecipe};
use crate::setup::{RoundClassifier, Setup};
use crate::train::generator::GeneratorStage;
use crate::train::preference::{PreferenceStage, TokenPair};
use crate::train::stage::{StageSettings, run_stage};

/// Weights are saved in 32 bits.
const BYTES_OF_WEIGHT: u64 = 4;

/// A generator that runs here.
#[derive(Clone)]
pub(crate) struct LocalGenerator {
    /// The form of its prompts.
    pub format: Arc<PromptFormat>,
    /// The network as it is now.
    pub decoder: Decoder,
    sampling: SamplingSettings,
    /// What it writes with.
    precision: Precision,
}

impl LocalGenerator {
    /// Trains or reads the generator of a game, as it is before the first round.
    ///
    /// # Errors
    /// A stage or a checkpoint that failed.
    pub(crate) fn prepare<N: RoundClassifier>(
        setup: &Setup<'_, N>,
        game: &GameRecipe,
        recipe: &LocalGeneratorRecipe,
    ) -> Result<Self, TrainError> {
        let (format, mut decoder, bonuses, translation) = match recipe {
            LocalGeneratorRecipe::Own(own) => {
                let tokenizer = Tokenizer::load(&setup.run.join("tokenizer.json"))?;
                let format = PromptFormat::gloss(tokenizer, setup.lexicon()?);
                let bonuses = [own.token_bonus, own.order_bonus];
                (format, own_decoder(setup)?, bonuses, Some(&own.translation))
            }
            LocalGeneratorRecipe::Checkpoint(found) => {
                let folder = setup.data.join(&found.folder);
                let format = PromptFormat::of_checkpoint(&folder)?;
                let decoder = import::language_model(&folder, &setup.device)?;
                (format, decoder, [0.0; 2], found.translation.as_ref())
            }
        };
        if let Some(translation) = translation {
            learn_to_translate(setup, (game, translation), &format, &mut decoder)?;
        }
        Ok(Self {
            sampling: SamplingSettings {
                temperature: game.temperature,
                top_p: game.top_p,
                max_tokens: game.max_tokens,
                end: format.end,
                token_bonus: bonuses[0],
                order_bonus: bonuses[1],
            },
            format: Arc::new(format),
            decoder,
            precision: setup.recipe.compute.sampling_precision,
        })
    }

    /// Bytes of its weights as they are saved.
    pub(crate) fn bytes(&self) -> u64 {
        self.decoder.weights.flat.numel() as u64 * BYTES_OF_WEIGHT
    }

    /// Takes over what [`LocalGenerator::learn`] left in the folder of a round, if it left
    /// anything there.
    ///
    /// # Errors
    /// A file of weights that does not fit.
    pub(crate) fn restore(&mut self, folder: &Path) -> Result<(), TrainError> {
        let learned = folder.join("preference.weights");
        match learned.exists() {
            true => load_weights(&learned, &mut self.decoder.weights),
            false => Ok(()),
        }
    }

    /// Learns to prefer the chosen texts of `pairs`, in the folder of a round. Without a pair it
    /// stays as it is.
    ///
    /// # Errors
    /// As [`run_stage`]; a chat template that fails on a seed.
    pub(crate) fn learn<N: RoundClassifier>(
        &mut self,
        setup: &Setup<'_, N>,
        game: &GameRecipe,
        (pairs, seed): (&[PreferencePair], u64),
        folder: &Path,
    ) -> Result<(), TrainError> {
        if pairs.is_empty() {
            return Ok(());
        }
        let pairs: Result<Vec<TokenPair>, TrainError> =
            pairs.iter().map(|pair| self.tokens(pair)).collect();
        let (pairs, recipe) = (pairs?, &game.preference);
        let reference = self.decoder.clone();
        let reference = (&reference, &setup.group);
        let mut stage = PreferenceStage::new(&pairs, reference, recipe, seed, self.format.end);
        let steps = (stage.batches() * recipe.epochs).div_ceil(recipe.accumulation);
        let settings = StageSettings {
            accumulation: recipe.accumulation,
            deadline: setup.deadline,
            ..StageSettings::new("preference", steps, &recipe.optimizer, setup.recipe.compute)
        };
        let place = (folder, &setup.group);
        run_stage(&mut stage, &settings, &mut self.decoder, place)
    }

    fn tokens(&self, pair: &PreferencePair) -> Result<TokenPair, TrainError> {
        let wanted = pair.seed.wanted(&pair.language, pair.kind);
        Ok(TokenPair {
            prompt: self.format.generation_prompt(&wanted)?,
            chosen: self.format.encode(&pair.chosen),
            rejected: self.format.encode(&pair.rejected),
        })
    }
}

impl Generator for LocalGenerator {
    fn write(
        &mut self,
        requests: &[GeneratorRequest<'_>],
    ) -> Result<Vec<Option<String>>, TrainError> {
        let prompts: Result<Vec<Prompt>, TrainError> = requests
            .par_iter()
            .map(|r| {
                let ids = self.format.generation_prompt(&r.wanted)?;
                Ok(Prompt {
                    bonus_tokens: self.format.gloss_tokens(&ids).to_vec(),
                    ids,
                    seed: r.randomness,
                })
            })
            .collect();
        let writer = self.decoder.sampling(self.precision);
        let writer = writer.as_ref().unwrap_or(&self.decoder);
        let texts = generate(writer, &prompts?, &self.sampling);
        let text = |ids: Vec<i32>| self.format.decode(&ids);
        Ok(texts.into_iter().map(|ids| ids.map(text)).collect())
    }
}

/// The classifier's base, from which our own generator learns to write.
fn own_decoder<N: RoundClassifier>(setup: &Setup<'_, N>) -> Result<Decoder, TrainError> {
    setup.base.decoder().cloned().ok_or_else(|| {
        TrainError::invalid(
            &setup.data,
            "an encoder cannot write: game.generator.kind must be checkpoint or endpoint with \
             [base.encoder]",
        )
    })
}

/// Teaches a generator to write from an English text in the languages of the game.
fn learn_to_translate<N: RoundClassifier>(
    setup: &Setup<'_, N>,
    (game, recipe): (&GameRecipe, &TranslationRecipe),
    format: &PromptFormat,
    generator: &mut Decoder,
) -> Result<(), TrainError> {
    let seed = setup.recipe.seed.wrapping_add(2);
    let mut stage = GeneratorStage::new(
        &setup.training,
        &setup.parallel,
        &setup.pairs,
        format,
        (game, recipe),
        seed,
    )?;
    if stage.is_empty() {
        return Err(TrainError::invalid(
            &setup.data,
            "no text stands here in English and in one of game.languages: the generator has \
             nothing to learn from",
        ));
    }
    if stage.draws_only_long_texts() {
        return Err(stage.take_failure().unwrap_or_else(|| {
            let most = game.max_tokens;
            let reason = format!(
                "no text that was drawn has at most {most} tokens, or its English words at most \
                 twice as many: raise game.max_tokens"
            );
            TrainError::invalid(&setup.data, reason)
        }));
    }
    let settings = StageSettings {
        deadline: setup.deadline,
        ..StageSettings::new(
            "generator",
            recipe.steps,
            &recipe.optimizer,
            setup.recipe.compute,
        )
    };
    let place = (setup.run.as_path(), &setup.group);
    run_stage(&mut stage, &settings, generator, place)?;
    match stage.take_failure() {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}
