//! What the whole of a run stands on, and stays the same from round to round.

mod decoder;
mod distill;
mod encoder;
mod lesson;
mod tokenizer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tch::Device;

use crate::data::batch::{Batcher, Opinion};
use crate::data::lexicon::Lexicon;
use crate::data::mixture::Mixture;
use crate::data::rows::{
    CATEGORIES, Corpus, Pair, ParallelRow, load_pairs, load_parallel, load_seed,
};
use crate::data::tokenizer::Tokenizer;
use crate::data::validation::{split, write_rows};
use crate::diagnostics::say;
use crate::distill::answers::Answers;
use crate::distributed::ProcessGroup;
use crate::error::TrainError;
use crate::model::decoder::Decoder;
use crate::model::network::Classifier;
use crate::model::teacher::{self, Teacher};
use crate::recipe::{Recipe, TeacherRecipe};
use crate::train::classifier::ClassifierStage;
use crate::train::stage::{StageSettings, run_stage};
pub(crate) use lesson::Lesson;

/// Data, tokenizer, lexicon, teacher and the pretrained base.
pub(crate) struct Setup<'a, N = Decoder> {
    /// What the run is to be.
    pub recipe: &'a Recipe,
    /// The run's folder.
    pub run: PathBuf,
    /// The folder that the recipe's data paths are relative to.
    pub data: PathBuf,
    /// What to train on.
    pub device: Device,
    /// The processes that train together.
    pub group: ProcessGroup,
    /// The seed data to learn from: S(0).
    pub training: Corpus,
    /// The seed data held out.
    pub validation: Corpus,
    /// Benign texts in several languages.
    pub parallel: Vec<ParallelRow>,
    /// Sentences and their translations.
    pub pairs: Vec<Pair>,
    /// Learned from the training and parallel texts.
    pub tokenizer: Tokenizer,
    /// Word translations; absent when nothing in the recipe needs them.
    lexicon: Option<Arc<Lexicon>>,
    /// The licence of each source of the data.
    pub licences: BTreeMap<String, String>,
    /// The linear teacher that learned from S(0); absent when the recipe has none.
    teacher: Option<Arc<Teacher>>,
    /// What the guard that the recipe distils answered; absent without one.
    answers: Option<Answers>,
    /// Validation rows watched while training; all of them set the thresholds.
    watched_rows: usize,
    /// When a stage has to stop at its next saved state; absent: never.
    pub deadline: Option<Instant>,
    /// What training starts from.
    pub base: N,
}

/// A network that rounds train as their classifier.
pub(crate) trait RoundClassifier: Classifier + Clone {
    /// Trains a classifier from the weights of `start`, in `folder`. A stage that is finished there
    /// is read, and not run again.
    ///
    /// # Errors
    /// As [`run_stage`].
    fn train(
        setup: &Setup<'_, Self>,
        folder: &Path,
        lesson: Lesson<'_>,
        start: &Self,
    ) -> Result<Self, TrainError>;

    /// The network as a decoder, which can learn to write; an encoder cannot.
    fn decoder(&self) -> Option<&Decoder>;
}

/// The texts of a run: labelled ones to learn from, benign ones, and sentence pairs.
type Texts<'t> = (&'t Corpus, &'t [ParallelRow], &'t [Pair]);

impl<'a, N: Classifier + Clone> Setup<'a, N> {
    fn with_base(
        recipe: &'a Recipe,
        (run, data): (&Path, &Path),
        (device, group): (&Device, &ProcessGroup),
        watched_rows: usize,
        base: impl FnOnce(Texts<'_>) -> Result<(Tokenizer, N), TrainError>,
    ) -> Result<Self, TrainError> {
        let corpus = load_seed(data, &recipe.data)?;
        let parallel = load_parallel(data, &recipe.data)?;
        let pairs = load_pairs(data, &recipe.data)?;
        let licences = licences(recipe, &corpus, &parallel)?;
        let (training, validation) = split(&corpus, recipe);
        if group.is_first() {
            write_rows(&run.join("validation.jsonl"), &validation)?;
            say(format_args!(
                "data: {} training rows, {} validation rows, {} parallel texts, {} pairs",
                training.rows.len(),
                validation.rows.len(),
                parallel.len(),
                pairs.len()
            ));
        }
        let (tokenizer, base) = base((&training, &parallel, &pairs))?;
        let lexicon = match needs_lexicon(recipe) {
            true => Some(Arc::new(learned_lexicon(
                &run.join("lexicon.json"),
                (&pairs, &parallel),
                recipe,
                group,
            )?)),
            false => None,
        };
        let mut setup = Self {
            recipe,
            run: run.to_owned(),
            data: data.to_owned(),
            device: *device,
            group: group.clone(),
            training,
            validation,
            parallel,
            pairs,
            tokenizer,
            licences,
            lexicon,
            teacher: None,
            answers: None,
            watched_rows,
            deadline: None,
            base,
        };
        setup.teacher = setup.teacher_of(&setup.training).map(Arc::new);
        let distill = recipe.distill.as_ref();
        let answers = distill.map(|distill| setup.ask_teacher(distill));
        setup.answers = answers.transpose()?;
        Ok(setup)
    }

    /// A linear teacher that learned from `data`, where the recipe wants one.
    pub(crate) fn teacher_of(&self, data: &Corpus) -> Option<Teacher> {
        let settings = self.recipe.classifier.teacher.as_ref()?;
        Some(self.train_teacher(data, settings))
    }

    fn train_teacher(&self, data: &Corpus, settings: &TeacherRecipe) -> Teacher {
        let lexicon = self.lexicon.as_deref();
        let mixture = teacher::mixture(data, &self.parallel, lexicon, self.recipe);
        Teacher::train(mixture, settings)
    }

    /// The linear teacher that learned from S(0); trained now if nothing has needed it yet.
    pub(crate) fn teacher(&self, settings: &TeacherRecipe) -> Arc<Teacher> {
        match &self.teacher {
            Some(teacher) => teacher.clone(),
            None => Arc::new(self.train_teacher(&self.training, settings)),
        }
    }

    /// Word translations; learned now if nothing has needed them yet.
    ///
    /// # Errors
    /// The file cannot be written or read.
    pub(crate) fn lexicon(&self) -> Result<Arc<Lexicon>, TrainError> {
        match &self.lexicon {
            Some(lexicon) => Ok(lexicon.clone()),
            None => {
                let path = self.run.join("lexicon.json");
                let texts = (&self.pairs[..], &self.parallel[..]);
                let lexicon = learned_lexicon(&path, texts, self.recipe, &self.group)?;
                Ok(Arc::new(lexicon))
            }
        }
    }

    /// The classifier of round 0, of the seed data alone.
    ///
    /// # Errors
    /// As [`run_stage`].
    pub(crate) fn train_first(&self, folder: &Path) -> Result<N, TrainError>
    where
        N: RoundClassifier,
    {
        let lesson = self.lesson(&self.training, self.teacher.as_deref());
        N::train(self, folder, lesson, &self.base)
    }

    /// What a round's classifier learns of `data`.
    pub(crate) fn lesson<'l>(&self, data: &'l Corpus, teacher: Option<&'l Teacher>) -> Lesson<'l> {
        Lesson {
            data,
            teacher,
            steps: self.recipe.classifier.steps,
            tells_languages: true,
        }
    }

    /// Stage 1: a classifier from the weights of `start`, in `folder`.
    ///
    /// # Errors
    /// As [`run_stage`].
    fn train_classifier(
        &self,
        folder: &Path,
        lesson: Lesson<'_>,
        start: &N,
    ) -> Result<N, TrainError> {
        let recipe = self.recipe;
        let mut classifier = start.clone();
        let stage = &recipe.classifier;
        let settings = StageSettings {
            accumulation: stage.accumulation,
            average_decay: stage.ema,
            deadline: self.deadline,
            patience: stage.patience,
            ..StageSettings::new("classifier", lesson.steps, &stage.optimizer, recipe.compute)
        };
        let mut stage = self.classifier_stage(lesson, recipe.seed);
        let place = (folder, &self.group);
        run_stage(&mut stage, &settings, &mut classifier, place)?;
        Ok(classifier)
    }

    /// What a classifier learns of `data`, drawn by `seed`.
    fn classifier_stage<'s>(&'s self, lesson: Lesson<'s>, seed: u64) -> ClassifierStage<'s> {
        let (recipe, Lesson { data, teacher, .. }) = (self.recipe, lesson);
        let lexicon = self.lexicon.as_deref();
        let (mixture, opinion) = match (&recipe.distill, &self.answers) {
            (Some(distill), Some(answers)) => {
                (self.texts_for_teacher(distill), Opinion::Answers(answers))
            }
            _ => {
                let mixture = Mixture::new(data, &self.parallel, lexicon, recipe, seed);
                (mixture.with_joined_texts(), Opinion::of_linear(teacher))
            }
        };
        let batcher = Batcher::new(mixture, opinion, &self.tokenizer, recipe);
        ClassifierStage::new(
            batcher,
            &self.validation,
            &self.tokenizer,
            recipe,
            self.watched_rows,
        )
    }
}

/// Code-switching and some players of a game translate words.
fn needs_lexicon(recipe: &Recipe) -> bool {
    let in_game = recipe.game.as_ref();
    recipe.classifier.sampling.code_switch > 0.0
        || in_game.is_some_and(|game| game.players.needs_lexicon())
}

/// The licence of every source that the data name.
fn licences(
    recipe: &Recipe,
    corpus: &Corpus,
    parallel: &[ParallelRow],
) -> Result<BTreeMap<String, String>, TrainError> {
    let labelled = corpus.sources.iter().map(String::as_str);
    let parallel: BTreeSet<&str> = parallel.iter().map(|row| row.source.as_str()).collect();
    let pairs = recipe.data.pair_sources.iter().map(String::as_str);
    let names = labelled.chain(parallel).chain(pairs);
    Ok(recipe.sources.licences(names)?)
}

/// That a network whose limit is `limit` takes windows of `tokens`.
fn check_window(folder: &Path, tokens: usize, limit: usize) -> Result<(), TrainError> {
    if tokens <= limit {
        return Ok(());
    }
    let reason = format!(
        "takes at most {limit} tokens; classifier.window_tokens, with what stands around a \
         window, makes {tokens}"
    );
    Err(TrainError::invalid(folder, reason))
}

/// The names of the classifier's outputs: the categories, and the languages of a language head.
pub(crate) fn classifier_labels(recipe: &Recipe) -> Vec<String> {
    let head = recipe.classifier.language_head.iter();
    let languages = head.flat_map(|head| &head.languages);
    let languages = languages.map(|language| format!("language:{language}"));
    let categories = CATEGORIES.iter().map(|name| (*name).to_owned());
    categories.chain(languages).collect()
}

fn learned_lexicon(
    path: &Path,
    (pairs, parallel): (&[Pair], &[ParallelRow]),
    recipe: &Recipe,
    group: &ProcessGroup,
) -> Result<Lexicon, TrainError> {
    if group.is_first() && !path.exists() {
        let wanted = recipe.classifier.sampling.code_switch_languages.as_ref();
        let languages = wanted.unwrap_or(&recipe.data.languages);
        Lexicon::learn_all(pairs, parallel, languages).save(path)?;
    }
    group.wait();
    Lexicon::load(path)
}
