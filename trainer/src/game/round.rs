//! One round of the two-player game (arXiv 2502.05163, the section on the iterative algorithm).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use duoguard_eval::BenchmarkSet;
use serde::Serialize;

use crate::data::rows::{Corpus, append_rows};
use crate::data::validation::write_rows;
use crate::error::TrainError;
use crate::export::export_classifier;
use crate::files::{json_lines, write_atomically, write_json};
use crate::game::answer::text_of;
use crate::game::budget::Budget;
use crate::game::calibration::{Calibration, JUDGE_FILE, labelled_rows};
use crate::game::drafts::write_drafts;
use crate::game::filters::Filters;
use crate::game::growth::{SYNTHETIC, apply_reviews, joining, replayed, row_of};
use crate::game::judge::{Judge, JudgeRequest, Rating};
use crate::game::pairs::{PairKinds, PreferencePair, pairs_of};
use crate::game::players::{GeneratorPlayer, JudgePlayer};
use crate::game::proposal::{
    Classified, Draft, DropReason, Dropped, Proposal, Proposals, Rated, Scored,
};
use crate::game::reference_judge::TEXTS_AT_ONCE;
use crate::game::reviewed::{REVIEWED_FILE, freeze_reviews, read_reviews};
use crate::game::round_yield::check_yield;
use crate::game::seeds::{Seed, draw_seeds, excluded_categories};
use crate::game::shared::Askers;
use crate::game::summary::{Joined, Summary, exploitability};
use crate::model::teacher::Teacher;
use crate::recipe::{ClassifierStart, GameRecipe};
use crate::report::scores::score_bundle;
use crate::setup::{RoundClassifier, Setup};
use crate::train::classifier::score_texts;

/// The two players as the last round left them, and the data that has grown so far.
pub(crate) struct GameState<N> {
    /// The classifier.
    pub classifier: N,
    /// The generator.
    pub generator: GeneratorPlayer,
    /// The seed data and every misclassified proposal so far.
    pub data: Corpus,
}

/// What stays the same from round to round.
pub(crate) struct Game<'a, N> {
    /// Data, tokenizer, teacher and base.
    pub setup: &'a Setup<'a, N>,
    /// How it is played.
    pub recipe: &'a GameRecipe,
    /// What no proposal may overlap, and every round is scored on; empty where the recipe names
    /// none.
    pub benchmarks: &'a [BenchmarkSet],
    /// Who rates proposals.
    pub judge: JudgePlayer<N>,
}

impl<N: RoundClassifier> Game<'_, N> {
    /// Plays round `number`, from 1, in `folder`. Whatever step is finished there is not done
    /// again.
    ///
    /// # Errors
    /// Whatever stops a step; the round goes on from there when it is run again.
    pub(crate) fn play(
        &self,
        mut state: GameState<N>,
        (number, folder): (usize, &Path),
        budget: &Budget,
    ) -> Result<GameState<N>, TrainError> {
        let group = &self.setup.group;
        if group.is_first() {
            fs::create_dir_all(folder).map_err(|e| TrainError::io("create", folder, e))?;
        }
        let round = Round {
            game: self,
            number,
            folder,
        };
        if group.first_says(round.file("summary.json").exists()) {
            return round.restore(state);
        }
        let reviewed = round.take_reviews(&mut state.data)?;
        let setup = self.setup;
        let (corpus, tokenizer) = (&setup.training, &setup.tokenizer);
        let seeds = draw_seeds(corpus, tokenizer, self.recipe, round.randomness());

        let (drafts, cleaned) = round.propose(&seeds, &mut state.generator)?;
        budget.check("its proposals were written")?;
        let (rated, dropped) = round.filter_and_rate(drafts)?;
        budget.check("its proposals were rated")?;
        let proposals = round.classify(rated, dropped, &state.classifier)?;
        let (data, mut joined) = round.grow_data(&proposals.scored, &state.data)?;
        let (pair_kinds, pairs) = round.build_pairs(&seeds, &proposals.scored)?;
        round.update_generator(&mut state.generator, &pairs)?;
        budget.check("its generator had learned")?;
        let replayed = replayed(&data, self.recipe.replay, |texts| {
            round.scores(&state.classifier, texts)
        });
        joined.copies = replayed.rows.len() - data.rows.len();
        joined.reviewed = reviewed;
        let classifier = round.retrain(&replayed, &state.classifier)?;
        drop(replayed);

        export_classifier(setup, folder, &classifier, &data, number)?;
        if group.is_first() {
            score_bundle(folder, &setup.validation, self.benchmarks)?;
        }
        let summary = Summary {
            joined,
            cleaned,
            exploitability: exploitability(
                &proposals.scored,
                |texts| round.scores(&classifier, texts),
                self.recipe.preference.beta,
            ),
            ..Summary::new(number, seeds.len(), &proposals, pair_kinds, &data)
        };
        if group.is_first() {
            summary.write(&round.file("summary.json"))?;
        }
        Ok(GameState {
            classifier,
            generator: state.generator,
            data,
        })
    }
}

/// What a round's steps share.
struct Round<'a, N> {
    game: &'a Game<'a, N>,
    number: usize,
    folder: &'a Path,
}

impl<N: RoundClassifier> Round<'_, N> {
    fn randomness(&self) -> u64 {
        self.game.setup.recipe.seed ^ (self.number as u64).wrapping_mul(0xD1B5_4A32_D192_ED03)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The scores of texts, in [0, 1], by a classifier that is not quantised yet.
    fn scores(&self, classifier: &N, texts: &[&str]) -> Vec<f32> {
        let window = self.game.setup.recipe.classifier.window_tokens;
        let setup = self.game.setup;
        score_texts(classifier, (&setup.tokenizer, window), texts, &setup.group)
    }

    /// Who asks a player that runs here, or behind an endpoint.
    fn askers(&self, is_local: bool) -> Askers<'_> {
        Askers {
            group: &self.game.setup.group,
            all: is_local,
        }
    }

    /// Writes `lines` to a file, in the first process.
    fn write_lines<T: Serialize>(&self, name: &str, lines: &[T]) -> Result<(), TrainError> {
        let path = self.file(name);
        match self.game.setup.group.is_first() {
            true => write_atomically(&path, &json_lines(&path, lines)?),
            false => Ok(()),
        }
    }

    /// What a finished round left.
    fn restore(&self, mut state: GameState<N>) -> Result<GameState<N>, TrainError> {
        self.take_reviews(&mut state.data)?;
        if let GeneratorPlayer::Local(generator) = &mut state.generator {
            generator.restore(self.folder)?;
        }
        state.data.source(SYNTHETIC);
        let synthetic = self.file("synthetic.jsonl");
        append_rows(&synthetic, &mut state.data, |_, _| true)?;
        // All its stages are finished: their weights are read, and nothing is learned.
        state.classifier = self.train(&state.data, None, &state.classifier)?;
        Ok(state)
    }

    /// Takes over what people have said of proposals until the round began: how many answers.
    fn take_reviews(&self, data: &mut Corpus) -> Result<usize, TrainError> {
        let setup = self.game.setup;
        if setup.group.is_first() {
            freeze_reviews(&setup.run, self.folder)?;
        }
        setup.group.wait();
        let reviews = read_reviews(&self.file(REVIEWED_FILE))?;
        apply_reviews(data, &reviews);
        Ok(reviews.len())
    }

    /// Step 1: k drafts for every seed and language, as they were written, and how many of them
    /// had more around them than the text.
    fn propose(
        &self,
        seeds: &[Arc<Seed>],
        generator: &mut GeneratorPlayer,
    ) -> Result<(Vec<Draft>, usize), TrainError> {
        let journal = self.file("generator-journal.jsonl");
        let answers = generator.follows_instructions();
        let askers = self.askers(generator.is_local());
        let mut generator = generator.open(self.randomness(), journal)?;
        let mut drafts = write_drafts(
            (generator.as_mut(), askers),
            seeds,
            self.game.recipe,
            self.randomness(),
            &self.file("drafts.jsonl"),
        )?;
        let mut cleaned = 0;
        if answers {
            for draft in &mut drafts {
                let Some(answer) = draft.text.as_deref().map(text_of) else {
                    continue;
                };
                cleaned += usize::from(answer.is_changed);
                draft.text = answer.text;
            }
        }
        Ok((drafts, cleaned))
    }

    /// Step 2: the filters that need no model, then the judge.
    fn filter_and_rate(
        &self,
        drafts: Vec<Draft>,
    ) -> Result<(Vec<Rated>, Vec<Dropped>), TrainError> {
        let benchmarks = self.game.benchmarks.iter().flat_map(|set| &set.rows);
        let texts = benchmarks.flat_map(|row| [Some(&row.prompt), row.response.as_ref()]);
        let mut filters = Filters::new(
            self.game.recipe.length_difference,
            &self.game.recipe.languages,
            texts.flatten().map(String::as_str),
        )?;
        let (mut passed, mut dropped) = (Vec::new(), Vec::new());
        let all = drafts.len();
        for draft in drafts {
            let (seed, text) = (&draft.seed.row.text, draft.text.as_deref());
            match filters.pass((seed, draft.kind), &draft.language, text) {
                Ok(text) => {
                    let text = text.to_owned();
                    passed.push(draft.finished(text));
                }
                Err(reason) => dropped.push(Dropped { draft, reason }),
            }
        }
        let requests: Vec<JudgeRequest<'_>> = passed
            .iter()
            .map(|proposal| JudgeRequest {
                text: &proposal.text,
                language: &proposal.language,
                seed_text: &proposal.seed.row.text,
                seed_key: proposal.seed.row.key(),
            })
            .collect();
        let journal = self.file("judge-journal.jsonl");
        let setup = self.game.setup;
        let mut judge = self.game.judge.open(setup, self.randomness(), journal)?;
        // First what its ratings are worth: some judges learn from it how to rate.
        let calibration = self.calibrate(judge.as_mut())?;
        let ratings = self.rate(judge.as_mut(), &requests)?;
        let used = |proposal: &Proposal, rating| match &calibration {
            Some(calibration) => calibration.used(&proposal.language, rating),
            None => Some(rating),
        };
        let mut rated = Vec::new();
        for (proposal, rating) in passed.into_iter().zip(ratings) {
            match rating {
                Rating::Unsafety(rating) => match used(&proposal, rating) {
                    Some(rating) => rated.push(Rated { proposal, rating }),
                    None => dropped.push(proposal.dropped(DropReason::Imprecise)),
                },
                Rating::Unrelated => dropped.push(proposal.dropped(DropReason::Unrelated)),
                Rating::Unparseable => dropped.push(proposal.dropped(DropReason::Unparseable)),
            }
        }
        let least = self.game.recipe.least_yield;
        check_yield(self.folder, (rated.len(), all), least, &dropped)?;
        Ok((rated, dropped))
    }

    fn rate(
        &self,
        judge: &mut dyn Judge,
        requests: &[JudgeRequest<'_>],
    ) -> Result<Vec<Rating>, TrainError> {
        let askers = self.askers(self.game.judge.is_local());
        askers.ask(requests, TEXTS_AT_ONCE, |requests| judge.rate(requests))
    }

    /// What the judge's ratings are worth, in `judge.json` too, where the recipe wants to know.
    fn calibrate(&self, judge: &mut dyn Judge) -> Result<Option<Calibration>, TrainError> {
        let Game { setup, recipe, .. } = self.game;
        let Some(wanted) = &recipe.calibration else {
            return Ok(None);
        };
        let reviews = read_reviews(&self.file(REVIEWED_FILE))?;
        let excluded = excluded_categories(recipe);
        let languages = &recipe.languages;
        let rows = labelled_rows(&setup.validation, &reviews, languages, excluded, wanted);
        let voters = judge.study(&rows, self.askers(self.game.judge.is_local()))?;
        let requests: Vec<JudgeRequest<'_>> = rows.iter().map(|row| row.request).collect();
        let ratings = self.rate(judge, &requests)?;
        let calibration = Calibration {
            voters,
            ..Calibration::new(&rows, &ratings, languages, wanted)?
        };
        if setup.group.is_first() {
            let path = self.file(JUDGE_FILE);
            let value = serde_json::to_value(&calibration);
            write_json(
                &path,
                &value.map_err(|e| TrainError::invalid(&path, e.to_string()))?,
            )?;
        }
        Ok(Some(calibration))
    }

    /// Step 3: does the classifier give a proposal the label that was asked for? `proposals.jsonl`
    /// then holds every proposal and its outcome.
    fn classify(
        &self,
        rated: Vec<Rated>,
        dropped: Vec<Dropped>,
        classifier: &N,
    ) -> Result<Proposals, TrainError> {
        let texts: Vec<&str> = rated.iter().map(|r| r.proposal.text.as_str()).collect();
        let scores = self.scores(classifier, &texts);
        let scored = rated.into_iter().zip(scores);
        let scored = scored.map(|(Rated { proposal, rating }, score)| Scored {
            proposal,
            rating,
            score,
        });
        let proposals = Proposals {
            dropped,
            scored: scored.collect(),
        };
        self.write_lines("proposals.jsonl", &proposals.lines())?;
        Ok(proposals)
    }

    /// Step 4: S(t) = S(t-1) and the misclassified ones, with others that balance them where the
    /// recipe wants it.
    fn grow_data(
        &self,
        scored: &[Scored],
        before: &Corpus,
    ) -> Result<(Corpus, Joined), TrainError> {
        let mut data = before.clone();
        let source = data.source(SYNTHETIC);
        let recipe = self.game.recipe;
        let joining = joining(scored, recipe.correct_share, recipe.balance);
        let misclassified = joining
            .iter()
            .filter(|scored| scored.classified() == Classified::Misclassified)
            .count();
        let rows = joining.iter().map(|scored| row_of(scored, source));
        let synthetic = Corpus {
            rows: rows.collect(),
            sources: data.sources.clone(),
        };
        if self.game.setup.group.is_first() {
            write_rows(&self.file("synthetic.jsonl"), &synthetic)?;
        }
        data.rows.extend(synthetic.rows);
        let joined = Joined {
            misclassified,
            correct: joining.len() - misclassified,
            ..Joined::default()
        };
        Ok((data, joined))
    }

    /// Step 5: at most one pair per seed, language and kind, in `pairs.jsonl` too. Behind an
    /// endpoint nobody here learns from them; the file is for whoever does.
    fn build_pairs(
        &self,
        seeds: &[Arc<Seed>],
        scored: &[Scored],
    ) -> Result<(PairKinds, Vec<PreferencePair>), TrainError> {
        let (pair_kinds, pairs) = pairs_of(seeds, scored, self.game.recipe);
        let lines: Vec<_> = pairs.iter().map(PreferencePair::line).collect();
        self.write_lines("pairs.jsonl", &lines)?;
        Ok((pair_kinds, pairs))
    }

    /// Step 6: a generator that runs here learns to prefer what the classifier misjudged.
    fn update_generator(
        &self,
        generator: &mut GeneratorPlayer,
        pairs: &[PreferencePair],
    ) -> Result<(), TrainError> {
        let Game { setup, recipe, .. } = self.game;
        match generator {
            GeneratorPlayer::Local(local) => {
                local.learn(setup, recipe, (pairs, self.randomness()), self.folder)
            }
            GeneratorPlayer::Endpoint(..) => Ok(()),
        }
    }

    /// Step 7: a classifier of the data that have grown. Its teacher knows what they have become,
    /// as the classifier is to.
    fn retrain(&self, data: &Corpus, previous: &N) -> Result<N, TrainError> {
        let teacher = self.game.setup.teacher_of(data);
        self.train(data, teacher.as_ref(), previous)
    }

    fn train(
        &self,
        data: &Corpus,
        teacher: Option<&Teacher>,
        previous: &N,
    ) -> Result<N, TrainError> {
        let setup = self.game.setup;
        let start = match self.game.recipe.classifier_from {
            ClassifierStart::Base => &setup.base,
            ClassifierStart::Previous => previous,
        };
        N::train(setup, self.folder, setup.lesson(data, teacher), start)
    }
}
