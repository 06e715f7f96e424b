//! What a run with a teacher has besides: its answers.

use std::num::NonZeroUsize;

use sha2::{Digest, Sha256};

use super::Setup;
use crate::data::distilled::Distilled;
use crate::data::mixture::{Mixture, POOL_TEXTS};
use crate::data::rows::CATEGORIES;
use crate::diagnostics::say;
use crate::distill::answers::{self, AnswerFile, Answers, Header};
use crate::distill::teacher::{self, Teacher, hex};
use crate::error::TrainError;
use crate::model::network::Classifier;
use crate::recipe::DistillRecipe;

/// The files of the teacher's logits and states in a run's folder.
const ANSWERS: &str = "teacher.answers";
const STATES: &str = "teacher.states";

impl<N: Classifier + Clone> Setup<'_, N> {
    /// The texts that the teacher is asked about, which come again and again.
    pub(super) fn texts_for_teacher<'s>(&'s self, distill: &'s DistillRecipe) -> Mixture<'s> {
        let (data, recipe) = (&self.training, self.recipe);
        let mixture = Mixture::new(
            data,
            &self.parallel,
            self.lexicon.as_deref(),
            recipe,
            recipe.seed,
        );
        let texts = (data, &self.parallel[..], &self.pairs[..]);
        let distilled = Distilled::new(distill, texts);
        mixture
            .with_joined_texts()
            .for_teacher(distilled, pools(distill))
    }

    /// The teacher's answers: those in the run's folder, and what is missing of them asked now, by
    /// the first process.
    ///
    /// # Errors
    /// A teacher that cannot be opened or fails, a file that cannot be read or written, and answers
    /// there of another teacher or to other texts.
    pub(super) fn ask_teacher(&self, distill: &DistillRecipe) -> Result<Answers, TrainError> {
        let path = |name: &str| self.run.join(name);
        let (answers, states) = (path(ANSWERS), path(STATES));
        let header = Header {
            sha256: self.hash_of_texts(distill)?,
            pools: pools(distill),
        };
        let width = state_width(Some(distill))?;
        if self.group.is_first() {
            let mut teacher = None;
            let mut file = AnswerFile::open(&answers, &header, CATEGORIES.len())?;
            if file.answered < header.pools {
                let teacher = open_once(&mut teacher, distill)?;
                let mut mixture = self.texts_for_teacher(distill);
                teacher.answer(&mut mixture, header.pools, &mut file)?;
            }
            if width > 0 {
                let mut file = AnswerFile::open(&states, &header, width)?;
                if file.answered < header.pools {
                    let teacher = open_once(&mut teacher, distill)?;
                    let mut mixture = self.texts_for_teacher(distill);
                    teacher.add_states(&mut mixture, header.pools, &mut file)?;
                }
            }
        }
        self.group.wait();
        let logits = answers::load(&answers, &header, CATEGORIES.len())?;
        let states = match width {
            0 => Vec::new(),
            _ => answers::load(&states, &header, width)?,
        };
        Ok(Answers::new(logits, states, width))
    }

    /// A hash of whatever the teacher's answers follow from.
    fn hash_of_texts(&self, distill: &DistillRecipe) -> Result<String, TrainError> {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        add(&teacher::hash(&distill.teacher)?);
        let recipe = self.recipe;
        let keys = (
            distill.text_bytes,
            distill.cropped,
            distill.buried,
            distill.pairs,
        );
        add(&format!(
            "{} {keys:?} {:?}",
            recipe.seed, recipe.classifier.sampling
        ));
        // What is cropped for a language head is drawn among the others.
        if let Some(head) = &recipe.classifier.language_head
            && head.crops > 0.0
        {
            add(&format!("{} {:?}", head.crops, head.languages));
        }
        for row in &self.training.rows {
            add(&row.text);
            add(&row.lang);
            let source = &self.training.sources[row.source];
            add(&format!("{} {} {source}", row.is_unsafe, row.categories));
        }
        for row in &self.parallel {
            add(&row.text);
            add(&row.lang);
        }
        for pair in &self.pairs {
            add(&pair.english);
            add(&pair.text);
            add(&pair.lang);
        }
        if let Some(lexicon) = &self.lexicon {
            let lexicon = serde_json::to_string(&**lexicon);
            add(&lexicon.map_err(|e| TrainError::invalid(&self.run, e.to_string()))?);
        }
        Ok(hex(&hash.finalize()))
    }
}

/// How many values of a teacher's state the student learns; 0 where it learns none.
///
/// # Errors
/// The teacher cannot be opened.
pub(super) fn state_width(distill: Option<&DistillRecipe>) -> Result<usize, TrainError> {
    match distill.filter(|distill| distill.state_error > 0.0) {
        Some(distill) => teacher::width(&distill.teacher),
        None => Ok(0),
    }
}

/// The teacher, opened where it has not been.
fn open_once<'t>(
    teacher: &'t mut Option<Teacher>,
    distill: &DistillRecipe,
) -> Result<&'t mut Teacher, TrainError> {
    if teacher.is_none() {
        let threads = usize::try_from(tch::get_num_threads()).ok();
        let threads = threads.and_then(NonZeroUsize::new);
        let threads = threads.unwrap_or(NonZeroUsize::MIN);
        *teacher = Some(Teacher::open(&distill.teacher, threads)?);
        let texts = pools(distill) * POOL_TEXTS;
        say(format_args!("teacher: asked about {texts} texts"));
    }
    Ok(teacher.as_mut().expect("it was opened"))
}

fn pools(distill: &DistillRecipe) -> usize {
    distill.texts.div_ceil(POOL_TEXTS)
}
