//! A run that starts from a pretrained encoder.

use std::path::Path;

use tch::Device;

use super::tokenizer::kept_tokenizer;
use super::{Lesson, RoundClassifier, Setup, Texts, check_window, classifier_labels};
use crate::data::batch::{Batcher, Opinion};
use crate::data::mixture::Mixture;
use crate::data::rows::Corpus;
use crate::distributed::ProcessGroup;
use crate::error::TrainError;
use crate::model::decoder::Decoder;
use crate::model::encoder::Encoder;
use crate::model::encoder::folder::open_encoder;
use crate::model::network::Classifier;
use crate::recipe::{EncoderRecipe, OptimizerRecipe, Recipe};
use crate::train::language::LanguageStage;
use crate::train::stage::{StageSettings, run_stage};

/// Validation rows watched while an encoder is trained, which reads them slowly.
const WATCHED_BY_ENCODER: usize = 700;

impl RoundClassifier for Encoder {
    /// A linear probe of the start where the recipe wants one, the upper layers from there, the
    /// mean of where they began and where they came to, rounded where the recipe says so, and then
    /// the language head.
    fn train(
        setup: &Setup<'_, Self>,
        folder: &Path,
        lesson: Lesson<'_>,
        start: &Self,
    ) -> Result<Self, TrainError> {
        let mut start = start.clone();
        setup.train_linear_probe(folder, lesson, &mut start)?;
        let mut classifier = setup.train_classifier(folder, lesson, &start)?;
        let share = setup.recipe.classifier.base_share;
        classifier.weights.move_towards(&start.weights, share);
        let settings = setup.recipe.start.encoder();
        if settings.is_some_and(|encoder| encoder.round_weights) {
            classifier = classifier.rounded();
        }
        if lesson.tells_languages {
            setup.train_language_head(folder, lesson.data, &mut classifier)?;
        }
        Ok(classifier)
    }

    fn decoder(&self) -> Option<&Decoder> {
        None
    }
}

impl<'a> Setup<'a, Encoder> {
    /// [`Setup::prepare`] for a run that starts from an encoder: that of the recipe's `[base]`, of
    /// which `settings` says the rest.
    pub(crate) fn prepare_encoder(
        recipe: &'a Recipe,
        (checkpoint, settings): (&Path, &EncoderRecipe),
        run: &Path,
        data: &Path,
        (device, group): (&Device, &ProcessGroup),
    ) -> Result<Self, TrainError> {
        let folder = data.join(checkpoint);
        let outputs = classifier_labels(recipe).len();
        let base = |_: Texts<'_>| {
            let mut base = open_encoder(&folder, settings, outputs, device)?;
            base.reset_classifier(recipe.seed.wrapping_add(1));
            let from = folder.join("tokenizer.json");
            let bytes = std::fs::read(&from).map_err(|e| TrainError::io("read", &from, e))?;
            let tokenizer = kept_tokenizer(&bytes, &run.join("tokenizer.json"), group)?
                .around_windows(settings.prefix_text.as_deref())?;
            let tokens = recipe.classifier.window_tokens + tokenizer.tokens_around();
            check_window(&folder, tokens, base.shape.positions)?;
            Ok((tokenizer, base))
        };
        let place = (device, group);
        Self::with_base(recipe, (run, data), place, WATCHED_BY_ENCODER, base)
    }

    /// Trains the classifier of `start` alone, where the recipe wants it.
    fn train_linear_probe(
        &self,
        folder: &Path,
        lesson: Lesson<'_>,
        start: &mut Encoder,
    ) -> Result<(), TrainError> {
        let recipe = self.recipe;
        let Some(probe) = &recipe.classifier.linear_probe else {
            return Ok(());
        };
        let optimizer = OptimizerRecipe {
            learning_rate: probe.learning_rate,
            ..recipe.classifier.optimizer.clone()
        };
        let settings = StageSettings {
            average_decay: recipe.classifier.ema,
            ..StageSettings::new("probe", probe.steps, &optimizer, recipe.compute)
        };
        let mut stage = self.classifier_stage(lesson, recipe.seed.wrapping_add(3));
        let mut alone = start.classifier_alone();
        run_stage(&mut stage, &settings, &mut alone, (folder, &self.group))?;
        start.take_classifier(&alone);
        Ok(())
    }

    /// The last stage, where the recipe wants it: the language head of `classifier` alone.
    fn train_language_head(
        &self,
        folder: &Path,
        data: &Corpus,
        classifier: &mut Encoder,
    ) -> Result<(), TrainError> {
        let recipe = self.recipe;
        let head = recipe.classifier.language_head.as_ref();
        let Some(tuning) = head.and_then(|head| head.tuning.as_ref()) else {
            return Ok(());
        };
        let optimizer = OptimizerRecipe {
            learning_rate: tuning.learning_rate,
            weight_decay: 0.0,
            ..recipe.classifier.optimizer.clone()
        };
        let settings = StageSettings::new("languages", tuning.steps, &optimizer, recipe.compute);
        let seed = recipe.seed.wrapping_add(2);
        let mixture =
            Mixture::new(data, &self.parallel, None, recipe, seed).with_crops(tuning.crops);
        let mut stage = LanguageStage::new(Batcher::new(
            mixture,
            Opinion::None,
            &self.tokenizer,
            recipe,
        ));
        let mut alone = classifier.classifier_alone();
        run_stage(&mut stage, &settings, &mut alone, (folder, &self.group))?;
        classifier.take_classifier(&alone);
        Ok(())
    }
}
