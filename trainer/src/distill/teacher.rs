//! Asking a bundle what it thinks of texts.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use duoguard::{Bundle, CheckOptions, EngineChoice, Input, Model, Session, SessionOptions};
use sha2::{Digest, Sha256};

use crate::data::mixture::{Mixture, TrainingText};
use crate::data::rows::CATEGORIES;
use crate::diagnostics::say;
use crate::distill::answers::AnswerFile;
use crate::error::TrainError;

/// Logits beyond this are cut: more certain than that is nobody.
const MOST_CERTAIN: f32 = 12.0;
/// Texts that are given to the engine together, which then runs those of like length at once.
const TEXTS_AT_ONCE: usize = 512;

/// A bundle that answers.
pub(crate) struct Teacher {
    session: Session,
}

/// The sha256 of a bundle's manifest, which holds those of its other files.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn hash(bundle: &Path) -> Result<String, TrainError> {
    let path = bundle.join("manifest.json");
    let bytes = fs::read(&path).map_err(|e| TrainError::io("read", &path, e))?;
    Ok(hex(&Sha256::digest(bytes)))
}

/// How many values the pooled state of a bundle's network has.
///
/// # Errors
/// The bundle cannot be opened.
pub(crate) fn width(bundle: &Path) -> Result<usize, TrainError> {
    let bundle = Bundle::open(bundle).map_err(|e| TrainError::invalid(bundle, e.to_string()))?;
    Ok(bundle.manifest().architecture.hidden)
}

/// A hash in hexadecimal digits.
pub(crate) fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Teacher {
    /// Opens a bundle on the engine native, whose bits do not depend on how the work is divided.
    ///
    /// # Errors
    /// The bundle cannot be opened, or judges other categories.
    pub(crate) fn open(bundle: &Path, threads: NonZeroUsize) -> Result<Self, TrainError> {
        let fault = |e: duoguard::Error| TrainError::invalid(bundle, e.to_string());
        let model = Model::open(bundle).map_err(fault)?;
        if model.categories() != CATEGORIES {
            let reason = format!(
                "judges the categories {:?}; a teacher must judge {CATEGORIES:?}",
                model.categories()
            );
            return Err(TrainError::invalid(bundle, reason));
        }
        let options = SessionOptions {
            engine: EngineChoice::Named("native".to_owned()),
            threads,
        };
        let session = model.session(&options).map_err(fault)?;
        Ok(Self { session })
    }

    /// Answers what is missing in `file` of the first `pools` pools of `mixture`: the calibrated
    /// logits of every text.
    ///
    /// # Errors
    /// The file cannot be written, or the engine fails.
    pub(crate) fn answer(
        &mut self,
        mixture: &mut Mixture<'_>,
        pools: usize,
        file: &mut AnswerFile,
    ) -> Result<(), TrainError> {
        let said = ("teacher", "answered");
        fill(mixture, (pools, said), file, parts, |texts| {
            self.logits(texts)
        })
    }

    /// As [`Teacher::answer`], of the pooled state of every text.
    ///
    /// # Errors
    /// The file cannot be written, or the engine fails.
    pub(crate) fn add_states(
        &mut self,
        mixture: &mut Mixture<'_>,
        pools: usize,
        file: &mut AnswerFile,
    ) -> Result<(), TrainError> {
        let said = ("teacher's states", "noted");
        let whole = |text: TrainingText<'_>| text.text.into_owned();
        fill(mixture, (pools, said), file, whole, |texts| {
            self.states(texts)
        })
    }

    /// The pooled states `[texts x width]` of the first window of every text; zeros for a text
    /// without tokens, which a student does not see either.
    fn states(&mut self, texts: &[String]) -> Result<Vec<f32>, TrainError> {
        let fault = |e: duoguard::Error| TrainError::Teacher(e.to_string());
        let model = self.session.model();
        let width = model.manifest().architecture.hidden;
        let first = |text: &String| Ok(model.windows(&model.tokenize(text)?).into_iter().next());
        let windows: duoguard::Result<Vec<Option<Vec<u32>>>> = texts.iter().map(first).collect();
        let windows = windows.map_err(fault)?;
        let read: Vec<&[u32]> = windows.iter().flatten().map(Vec::as_slice).collect();
        let mut states = self
            .session
            .pooled_states(&read)
            .map_err(fault)?
            .into_iter();
        let of_texts = windows.iter().map(|window| match window {
            Some(_) => states.next().unwrap_or_default(),
            None => vec![0.0; width],
        });
        Ok(of_texts.collect::<Vec<_>>().concat())
    }

    /// The calibrated logits `[texts x 12]`: of a text that is several, the largest of any.
    fn logits(&mut self, texts: &[Vec<String>]) -> Result<Vec<f32>, TrainError> {
        let all: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by_key(|&index| all[index].len());
        let mut scores = vec![Vec::new(); all.len()];
        for indices in order.chunks(TEXTS_AT_ONCE) {
            let inputs: Vec<_> = indices.iter().map(|&i| Input::prompt(all[i])).collect();
            let verdicts = self.session.check_many(&inputs, &CheckOptions::default());
            for (&index, verdict) in indices.iter().zip(verdicts) {
                let verdict = verdict.map_err(|e| TrainError::Teacher(e.to_string()))?;
                scores[index] = verdict.scores;
            }
        }
        let mut scores = scores.into_iter();
        let mut logits = Vec::with_capacity(texts.len() * CATEGORIES.len());
        for parts in texts {
            let mut largest = vec![0.0_f32; CATEGORIES.len()];
            for scores in scores.by_ref().take(parts.len()) {
                let both = largest.iter_mut().zip(&scores);
                both.for_each(|(largest, &score)| *largest = largest.max(score));
            }
            logits.extend(largest.into_iter().map(logit));
        }
        Ok(logits)
    }
}

/// Adds what `answer` makes of the pools that are missing in `file`, of which `read` keeps what it
/// needs of a text.
fn fill<'a, T: Send>(
    mixture: &mut Mixture<'a>,
    (pools, (who, what)): (usize, (&str, &str)),
    file: &mut AnswerFile,
    read: impl Fn(TrainingText<'a>) -> T + Sync,
    mut answer: impl FnMut(&[T]) -> Result<Vec<f32>, TrainError>,
) -> Result<(), TrainError> {
    for _ in 0..file.answered {
        mixture.next_pool(|_| ());
    }
    while file.answered < pools {
        let (_, texts) = mixture.next_pool(&read);
        file.add(&answer(&texts)?)?;
        if file.answered.is_multiple_of(8) || file.answered == pools {
            let answered = file.answered;
            say(format_args!("{who}: {answered} of {pools} pools {what}"));
        }
    }
    Ok(())
}

/// The texts that are judged alone.
fn parts(text: TrainingText<'_>) -> Vec<String> {
    match text.parts.is_empty() {
        true => vec![text.text.into_owned()],
        false => text.parts,
    }
}

/// The inverse of the sigmoid, cut at what floats tell apart.
fn logit(probability: f32) -> f32 {
    let odds = f64::from(probability) / (1.0 - f64::from(probability));
    (odds.ln() as f32).clamp(-MOST_CERTAIN, MOST_CERTAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_gives_its_logit_back() {
        for wanted in [-7.0_f32, -0.3, 0.0, 4.5] {
            let found = logit(1.0 / (1.0 + (-wanted).exp()));
            assert!((found - wanted).abs() < 1e-3, "{wanted} {found}");
        }
        assert_eq!([logit(0.0), logit(1.0)], [-MOST_CERTAIN, MOST_CERTAIN]);
    }
}
