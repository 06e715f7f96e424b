//! A judge of several voters: classifiers that were each trained on one fold of the seed data, and
//! the generator as it was before the first round.
//!
//! A seed and its translations are of one fold, and the classifier of that fold does not vote on
//! what was written after them: every vote is that of a reader who has not seen the seed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use duoguard_eval::{Metrics, Outcome};
use serde::{Deserialize, Serialize};

use crate::data::lexicon::Lexicon;
use crate::data::rows::Corpus;
use crate::data::tokenizer::Tokenizer;
use crate::distributed::ProcessGroup;
use crate::error::TrainError;
use crate::game::judge::{Judge, JudgeRequest, Labelled, Rating, Voter, rating_of_probability};
use crate::game::prompt::PromptFormat;
use crate::game::reading::{Reading, log_odds, probability};
use crate::game::reference_judge::{ReferenceJudge, TEXTS_AT_ONCE};
use crate::game::shared::Askers;
use crate::model::decoder::Decoder;
use crate::model::teacher::fold;
use crate::recipe::EnsembleRecipe;
use crate::setup::{Lesson, RoundClassifier, Setup};
use crate::train::classifier::score_texts;

/// The folder in a run that holds the members' weights.
const FOLDER: &str = "judge";
/// Rows of a language from which its voters are read by themselves.
const LEAST_ROWS: usize = 8;

/// The voters, trained.
pub(crate) struct Ensemble<N> {
    /// One classifier for every fold, trained on it alone.
    members: Vec<N>,
    /// The generator as it was before the first round, where it votes.
    generator: Option<(Arc<PromptFormat>, Box<Decoder>)>,
    /// Says whether a text translates its seed, and its seed it, and puts it back into English; and
    /// the least share of both.
    translation: Option<(Arc<Lexicon>, f64)>,
}

/// What the voters say of a text, as log-odds that it is unsafe; absent where one may not vote.
#[derive(Debug, Serialize, Deserialize)]
struct Votes(Vec<Option<f64>>);

impl<N: RoundClassifier> Ensemble<N> {
    /// Trains the members, or reads what a run that was stopped has trained.
    ///
    /// # Errors
    /// A fold without safe or without unsafe rows; a stage that failed.
    pub(crate) fn prepare(
        setup: &Setup<'_, N>,
        recipe: &EnsembleRecipe,
        generator: Option<(Arc<PromptFormat>, &Decoder)>,
    ) -> Result<Self, TrainError> {
        let members = (0..recipe.folds).map(|index| {
            let folder = setup.run.join(FOLDER).join(format!("fold-{index}"));
            if setup.group.is_first() {
                fs::create_dir_all(&folder).map_err(|e| TrainError::io("create", &folder, e))?;
            }
            let data = rows_of_fold(&setup.training, index, recipe.folds, &folder)?;
            let lesson = Lesson {
                data: &data,
                teacher: None,
                steps: recipe.steps,
                tells_languages: false,
            };
            N::train(setup, &folder, lesson, &setup.base)
        });
        let translation = match recipe.least_agreement {
            Some(least) => Some((setup.lexicon()?, least)),
            None => None,
        };
        let generator = generator.filter(|_| recipe.generator);
        Ok(Self {
            members: members.collect::<Result<_, TrainError>>()?,
            generator: generator.map(|(format, decoder)| (format, Box::new(decoder.clone()))),
            translation,
        })
    }
}

/// The rows of a fold.
fn rows_of_fold(
    training: &Corpus,
    index: usize,
    folds: usize,
    folder: &Path,
) -> Result<Corpus, TrainError> {
    let rows = training.rows.iter();
    let rows = rows.filter(|row| fold(row.key(), folds) == index).cloned();
    let data = Corpus {
        rows: rows.collect(),
        sources: training.sources.clone(),
    };
    let unsafe_rows = data.rows.iter().filter(|row| row.is_unsafe).count();
    if unsafe_rows == 0 || unsafe_rows == data.rows.len() {
        let reason = format!(
            "of {} seed rows {unsafe_rows} are unsafe here, and a member of the judge needs both \
             kinds; expected fewer game.judge.folds, or more seed rows",
            data.rows.len()
        );
        return Err(TrainError::invalid(folder, reason));
    }
    Ok(data)
}

/// An ensemble that rates.
pub(crate) struct EnsembleJudge<'a, N> {
    ensemble: &'a Ensemble<N>,
    /// That of the members, and their window.
    tokenizer: (&'a Tokenizer, usize),
    /// What the voters' log-odds mean, and then their mean, in a language; `""`: in all others.
    readings: BTreeMap<String, (Vec<Reading>, Reading)>,
}

impl<'a, N: RoundClassifier> EnsembleJudge<'a, N> {
    /// A judge whose voters are believed as they are, until it has studied labelled rows.
    pub(crate) fn new(ensemble: &'a Ensemble<N>, tokenizer: (&'a Tokenizer, usize)) -> Self {
        Self {
            ensemble,
            tokenizer,
            readings: BTreeMap::new(),
        }
    }

    fn voters(&self) -> usize {
        self.ensemble.members.len() + usize::from(self.ensemble.generator.is_some())
    }

    fn votes(&self, requests: &[JudgeRequest<'_>]) -> Result<Vec<Votes>, TrainError> {
        // Where the generator translates, members read what it wrote in English: there they have
        // seen labels, and in its language they would know no more than the classifier.
        let read = |request: &JudgeRequest<'_>| match &self.ensemble.translation {
            Some((lexicon, _)) => lexicon.english_gloss(request.text, request.language),
            None => request.text.to_owned(),
        };
        let texts: Vec<String> = requests.iter().map(read).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut votes: Vec<Votes> = Vec::new();
        votes.resize_with(requests.len(), || Votes(Vec::with_capacity(self.voters())));
        let members = &self.ensemble.members;
        for (index, member) in members.iter().enumerate() {
            // The processes of a run have shared the requests out already.
            let scores = score_texts(member, self.tokenizer, &texts, &ProcessGroup::alone());
            for ((request, votes), score) in requests.iter().zip(&mut votes).zip(scores) {
                let has_seen = fold(request.seed_key, members.len()) == index;
                votes.0.push((!has_seen).then(|| log_odds(score)));
            }
        }
        if let Some((format, decoder)) = &self.ensemble.generator {
            let judge = ReferenceJudge {
                format: format.clone(),
                decoder,
            };
            for (votes, unsafety) in votes.iter_mut().zip(judge.unsafety(requests)?) {
                votes.0.push(Some(log_odds(unsafety)));
            }
        }
        Ok(votes)
    }

    /// What the votes on a text of `language` come to: the probability that it is unsafe.
    fn probability(&self, language: &str, votes: &Votes) -> f64 {
        let readings = self
            .readings
            .get(language)
            .or_else(|| self.readings.get(""));
        match readings {
            Some((voters, together)) => probability(together.of(mean(voters, votes))),
            None => probability(mean(&vec![Reading::AS_IT_IS; votes.0.len()], votes)),
        }
    }

    /// Whether the text translates its seed, and its seed the text, where the recipe asks.
    fn is_related(&self, request: &JudgeRequest<'_>) -> bool {
        let Some((lexicon, least)) = &self.ensemble.translation else {
            return true;
        };
        let (seed, text) = (request.seed_text, request.text);
        let agreement = lexicon.agreement(seed, text, request.language);
        agreement.min(lexicon.coverage(seed, text, request.language)) >= *least
    }
}

/// The mean of the log-odds of those who vote; 0 where nobody does.
fn mean(readings: &[Reading], votes: &Votes) -> f64 {
    let cast = readings.iter().zip(&votes.0);
    let cast: Vec<f64> = cast.filter_map(|(r, vote)| Some(r.of((*vote)?))).collect();
    cast.iter().sum::<f64>() / cast.len().max(1) as f64
}

/// The readings of voters, and of their mean, from labelled votes.
fn readings(voters: usize, rows: &[(&Votes, bool)]) -> (Vec<Reading>, Reading) {
    let of_voter = |voter: usize| {
        let cast = rows.iter();
        let cast = cast.filter_map(|(votes, label)| Some((votes.0[voter]?, *label)));
        Reading::fit(&cast.collect::<Vec<_>>())
    };
    let voters: Vec<Reading> = (0..voters).map(of_voter).collect();
    let together = rows
        .iter()
        .map(|(votes, label)| (mean(&voters, votes), *label));
    let together = Reading::fit(&together.collect::<Vec<_>>());
    (voters, together)
}

impl<N: RoundClassifier> Judge for EnsembleJudge<'_, N> {
    fn study(
        &mut self,
        rows: &[Labelled<'_>],
        askers: Askers<'_>,
    ) -> Result<Vec<Voter>, TrainError> {
        let requests: Vec<JudgeRequest<'_>> = rows.iter().map(|row| row.request).collect();
        let votes = askers.ask(&requests, TEXTS_AT_ONCE, |requests| self.votes(requests))?;
        let mut calibrating: BTreeMap<&str, Vec<(&Votes, bool)>> = BTreeMap::new();
        let mut measuring: BTreeMap<&str, Vec<(&Votes, bool)>> = BTreeMap::new();
        for (row, votes) in rows.iter().zip(&votes) {
            let of = match (row.calibrates, row.is_held_out()) {
                (true, _) => &mut calibrating,
                (false, true) => &mut measuring,
                (false, false) => continue,
            };
            let language = row.request.language;
            of.entry(language).or_default().push((votes, row.is_unsafe));
        }
        let all: Vec<(&Votes, bool)> = calibrating.values().flatten().copied().collect();
        let count = self.voters();
        self.readings = calibrating
            .into_iter()
            .filter(|(_, rows)| rows.len() >= LEAST_ROWS)
            .map(|(language, rows)| (language.to_owned(), readings(count, &rows)))
            .chain([(String::new(), readings(count, &all))])
            .collect();
        let mut voters = Vec::new();
        for (language, rows) in measuring {
            let measured = |name: String, score: &dyn Fn(&Votes) -> Option<f64>| {
                let outcome = |(votes, label): &(&Votes, bool)| {
                    let score = score(votes)? as f32;
                    Some(Outcome {
                        score,
                        flagged: score > 0.5,
                        label: *label,
                    })
                };
                let outcomes: Vec<Outcome> = rows.iter().filter_map(outcome).collect();
                Voter {
                    name,
                    language: language.to_owned(),
                    rows: outcomes.len(),
                    auroc: Metrics::of(&outcomes).auroc,
                }
            };
            for voter in 0..count {
                let name = match voter < self.ensemble.members.len() {
                    true => format!("fold {voter}"),
                    false => "generator".to_owned(),
                };
                let score = |votes: &Votes| Some(probability(votes.0[voter]?));
                voters.push(measured(name, &score));
            }
            let together = |votes: &Votes| Some(self.probability(language, votes));
            voters.push(measured("all".to_owned(), &together));
        }
        Ok(voters)
    }

    fn rate(&mut self, requests: &[JudgeRequest<'_>]) -> Result<Vec<Rating>, TrainError> {
        let votes = self.votes(requests)?;
        let rated = requests.iter().zip(&votes);
        let rating = |(request, votes): (&JudgeRequest<'_>, &Votes)| match self.is_related(request)
        {
            true => {
                let probability = self.probability(request.language, votes);
                Rating::Unsafety(rating_of_probability(probability as f32))
            }
            false => Rating::Unrelated,
        };
        Ok(rated.map(rating).collect())
    }
}
