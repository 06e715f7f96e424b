//! A run that trains a decoder: from nothing, or from a checkpoint or a bundle.

use std::path::Path;

use duoguard_export::checkpoint::Checkpoint;
use tch::Device;

use super::distill::state_width;
use super::tokenizer::{kept_tokenizer, learned_tokenizer};
use super::{Lesson, RoundClassifier, Setup, Texts, check_window, classifier_labels};
use crate::data::packed::PretrainStream;
use crate::data::rows::{Corpus, Pair, ParallelRow};
use crate::data::tokenizer::Tokenizer;
use crate::distill::embeddings;
use crate::distributed::ProcessGroup;
use crate::error::TrainError;
use crate::model::bundle::{bundled_decoder, is_bundle};
use crate::model::decoder::Decoder;
use crate::model::import;
use crate::model::network::Classifier;
use crate::recipe::{ComputeRecipe, PretrainRecipe, Recipe, Start};
use crate::train::pretrain::PretrainStage;
use crate::train::stage::{StageSettings, run_stage};

/// Validation rows watched while training; all of them set the thresholds.
const WATCHED_ROWS: usize = 2000;

impl RoundClassifier for Decoder {
    /// A student's outputs for its teacher's state are gone when it has learned, and its rows
    /// rounded where the recipe says so.
    fn train(
        setup: &Setup<'_, Self>,
        folder: &Path,
        lesson: Lesson<'_>,
        start: &Self,
    ) -> Result<Self, TrainError> {
        let classifier = setup.train_classifier(folder, lesson, start)?;
        let recipe = setup.recipe;
        let classifier = classifier.with_outputs(classifier_labels(recipe).len());
        let rounds = recipe.distill.as_ref().is_some_and(|d| d.round_weights);
        Ok(match rounds {
            true => classifier.rounded(),
            false => classifier,
        })
    }

    fn decoder(&self) -> Option<&Decoder> {
        Some(self)
    }
}

impl<'a> Setup<'a> {
    /// Reads the data and learns whatever `run` does not hold yet, up to the base. The first
    /// process of `group` writes, and all read.
    ///
    /// # Errors
    /// Data, files or a stage that failed.
    pub(crate) fn prepare(
        recipe: &'a Recipe,
        run: &Path,
        data: &Path,
        (device, group): (&Device, &ProcessGroup),
    ) -> Result<Self, TrainError> {
        let tokenizer_path = run.join("tokenizer.json");
        let base = |texts: Texts<'_>| match &recipe.start {
            Start::Scratch {
                tokenizer: vocabulary,
                model,
                pretrain,
            } => {
                let learned_from = (texts.0, texts.1);
                let learning = (vocabulary, recipe.seed);
                let tokenizer = learned_tokenizer(&tokenizer_path, learned_from, learning, group)?;
                let mut base = Decoder::new(model, tokenizer.vocabulary(), recipe.seed, device);
                let distill = recipe.distill.as_ref();
                if let Some(folder) = distill.and_then(|distill| distill.embeddings.as_ref()) {
                    embeddings::take_over(&mut base, &tokenizer, &data.join(folder))?;
                }
                let settings = (pretrain, recipe.seed, recipe.compute);
                let base = pretrained(base, texts, &tokenizer, settings, (run, group))?;
                let outputs = classifier_labels(recipe).len() + state_width(distill)?;
                let mut base = base.with_outputs(outputs);
                base.reset_classifier(recipe.seed.wrapping_add(1));
                Ok((tokenizer, base))
            }
            Start::Checkpoint(base) => imported_base(
                &data.join(&base.checkpoint),
                &tokenizer_path,
                recipe,
                (device, group),
            ),
        };
        let place = (device, group);
        Self::with_base(recipe, (run, data), place, WATCHED_ROWS, base)
    }
}

/// Stage 0.
fn pretrained(
    mut base: Decoder,
    (training, parallel, pairs): (&Corpus, &[ParallelRow], &[Pair]),
    tokenizer: &Tokenizer,
    (recipe, seed, compute): (&PretrainRecipe, u64, ComputeRecipe),
    place: (&Path, &ProcessGroup),
) -> Result<Decoder, TrainError> {
    if recipe.steps > 0 {
        let stream = PretrainStream::new(training, parallel, pairs, tokenizer, (recipe, seed));
        let vocabulary = tokenizer.vocabulary();
        let mut stage = PretrainStage::new(stream, recipe.negatives, vocabulary, seed);
        run_stage(
            &mut stage,
            &StageSettings::new("pretrain", recipe.steps, &recipe.optimizer, compute),
            &mut base,
            place,
        )?;
    }
    Ok(base)
}

/// A base that somebody else trained; its tokenizer is kept with the run.
fn imported_base(
    path: &Path,
    tokenizer_path: &Path,
    recipe: &Recipe,
    (device, group): (&Device, &ProcessGroup),
) -> Result<(Tokenizer, Decoder), TrainError> {
    let (base, tokenizer) = match is_bundle(path) {
        // Its classifier stays as it is: it has learned the same categories.
        true => {
            let from = path.join("tokenizer.json");
            let bytes = std::fs::read(&from).map_err(|e| TrainError::io("read", &from, e))?;
            (bundled_decoder(path, device)?, bytes)
        }
        false => {
            let checkpoint = Checkpoint::open_language_model(path)?;
            let mut base = import::decoder(&checkpoint, device).without_head();
            base.reset_classifier(recipe.seed.wrapping_add(1));
            (base, checkpoint.tokenizer().to_owned())
        }
    };
    let limit = base.shape.max_position;
    check_window(path, recipe.classifier.window_tokens, limit)?;
    let tokenizer = kept_tokenizer(&tokenizer, tokenizer_path, group)?;
    if tokenizer.puts_tokens_first() {
        return Err(TrainError::invalid(
            path,
            "has a tokenizer that puts special tokens before every text; the trainer takes only \
             tokenizers that put none",
        ));
    }
    Ok((tokenizer, base))
}
