//! The judge: how unsafe is a proposal, from 1 (safe) to 5 (unsafe)?

use serde::{Deserialize, Serialize};

use crate::data::lexicon::Lexicon;
use crate::error::TrainError;
use crate::game::shared::Askers;
use crate::model::teacher::Teacher;

/// The kind of labelled texts that are rows of the data.
pub(crate) const HELD_OUT: &str = "held-out row";

/// A proposal to be rated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JudgeRequest<'a> {
    /// The proposal.
    pub text: &'a str,
    /// Its language.
    pub language: &'a str,
    /// The seed it was inspired by.
    pub seed_text: &'a str,
    /// What the seed shares with its translations and copies.
    pub seed_key: &'a str,
}

/// What the judge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rating {
    /// From 1 (safe) to 5 (unsafe).
    Unsafety(u8),
    /// The text has nothing to do with its seed.
    Unrelated,
    /// The judge answered, and not with a rating. Such a proposal is dropped and counted.
    Unparseable,
}

/// A labelled text that the judge has not seen.
pub(crate) struct Labelled<'a> {
    /// What the judge is asked.
    pub request: JudgeRequest<'a>,
    /// What kind of row or proposal it is.
    pub kind: &'a str,
    /// Its label.
    pub is_unsafe: bool,
    /// Whether it calibrates; the others measure.
    pub calibrates: bool,
}

impl Labelled<'_> {
    /// Whether it is a row of the data, and no proposal that people reviewed.
    pub(crate) fn is_held_out(&self) -> bool {
        self.kind == HELD_OUT
    }
}

/// How good one of a judge's voters is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Voter {
    /// `fold 0` and so on, `generator`, or `all`.
    pub name: String,
    /// Language tag.
    pub language: String,
    /// Rows held out on which it votes.
    pub rows: usize,
    /// Its AUROC there, in [0, 1]; absent where the rows have one label.
    pub auroc: Option<f64>,
}

/// Rates proposals.
pub(crate) trait Judge {
    /// Looks at labelled rows before it rates, where it learns from them what its voters' opinions
    /// are worth: how good these are, of a judge that has some.
    ///
    /// # Errors
    /// The judge cannot be asked at all.
    fn study(
        &mut self,
        _rows: &[Labelled<'_>],
        _askers: Askers<'_>,
    ) -> Result<Vec<Voter>, TrainError> {
        Ok(Vec::new())
    }

    /// One rating per request, in their order.
    ///
    /// # Errors
    /// The judge cannot be asked at all.
    fn rate(&mut self, requests: &[JudgeRequest<'_>]) -> Result<Vec<Rating>, TrainError>;
}

/// For runs without an instructed model. The lexicon says whether the words of a text translate its
/// seed's, and puts them back into English; there a linear teacher, which knows neither the seed
/// nor its translations, says how unsafe they are. It is asked in English because that is where it
/// has seen labels: in the language of the text it would know no more than the classifier that it
/// is to correct.
pub(crate) struct ConsistencyJudge<'a> {
    /// Trained without the seed's fold.
    pub teacher: &'a Teacher,
    /// English and the game's languages.
    pub lexicon: &'a Lexicon,
    /// Least share of a proposal's words that must translate a word of the seed.
    pub least_agreement: f64,
}

impl Judge for ConsistencyJudge<'_> {
    fn rate(&mut self, requests: &[JudgeRequest<'_>]) -> Result<Vec<Rating>, TrainError> {
        use rayon::prelude::*;
        let rating_of = |request: &JudgeRequest<'_>| {
            let agreement =
                self.lexicon
                    .agreement(request.seed_text, request.text, request.language);
            if agreement < self.least_agreement {
                return Rating::Unrelated;
            }
            let english = self.lexicon.english_gloss(request.text, request.language);
            Rating::Unsafety(rating_of_probability(
                self.teacher.probability(&english, request.seed_key),
            ))
        };
        Ok(requests.par_iter().map(rating_of).collect())
    }
}

/// Fifths of a probability: 1 below 0.2, 5 from 0.8.
pub(crate) fn rating_of_probability(probability: f32) -> u8 {
    1 + (probability * 5.0).clamp(0.0, 4.0) as u8
}

/// Whether a rating is what a text of this label may have: at most 2 for a safe seed, at least 3
/// for an unsafe one (arXiv 2502.05163, the section on filtering).
pub(crate) fn agrees(rating: u8, is_unsafe: bool) -> bool {
    match is_unsafe {
        true => rating >= 3,
        false => rating <= 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratings_are_fifths_and_agree_as_the_paper_says() {
        let ratings = [0.0, 0.19, 0.2, 0.41, 0.6, 0.8, 1.0].map(rating_of_probability);
        assert_eq!(ratings, [1, 1, 2, 3, 4, 5, 5]);
        let kept = |is_unsafe| -> Vec<u8> { (1..=5).filter(|&r| agrees(r, is_unsafe)).collect() };
        assert_eq!((kept(false), kept(true)), (vec![1, 2], vec![3, 4, 5]));
    }
}
