//! One round of the two-player game (PAPER.md, "The loop, one iteration").

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use duoguard_eval::BenchmarkSet;
use serde_json::json;

use super::summary::PairKinds;
use crate::data::rows::{Corpus, SeedRow, append_rows};
use crate::data::validation::write_rows;
use crate::error::TrainError;
use crate::game::endpoint_player::EndpointPlayer;
use crate::game::generator::{Generator, GeneratorRequest, LocalWriter, draw_seeds};
use crate::game::judge::{ConsistencyJudge, Judge, JudgeRequest, Rating, agrees};
use crate::game::local_generator::{LocalGenerator, ReferenceJudge};
use crate::game::proposal::{Filters, Outcome, Proposal, lines, read_whole_chunks};
use crate::model::decoder::Decoder;
use crate::recipe::{ClassifierStart, GameRecipe, GeneratorRecipe, JudgeRecipe};
use crate::report::scores::score_bundle;
use crate::setup::Setup;
use crate::train::checkpoint::{load_weights, write_atomically};
use crate::train::classifier::score_texts;
use crate::train::preference::{Candidate, PreferenceStage, TokenPair, choose_pair};
use crate::train::stage::{StageSettings, run_stage};

/// Seeds whose proposals are written at once; what a killed run loses at most.
const CHUNK_SEEDS: usize = 256;
/// The source of synthetic rows.
const SYNTHETIC: &str = "synthetic";

/// The two players as the last round left them, and the data that has grown so far.
pub struct GameState {
    /// The classifier of the last round.
    pub classifier: Decoder,
    /// Our own generator; absent when it is behind an endpoint.
    pub generator: Option<Decoder>,
    /// The seed data and every misclassified proposal so far.
    pub data: Corpus,
}

/// What stays the same from round to round.
#[derive(Clone, Copy)]
pub struct Game<'a> {
    /// Data, tokenizer, teacher and base.
    pub setup: &'a Setup<'a>,
    /// How it is played.
    pub recipe: &'a GameRecipe,
    /// What no proposal may overlap, and every round is measured on; empty where the recipe names
    /// none.
    pub benchmarks: &'a [BenchmarkSet],
    /// The generator as it was before the first round; absent when it is behind an endpoint.
    pub local: Option<&'a LocalGenerator>,
}

impl Game<'_> {
    /// Plays round `number`, from 1, in `folder`. Whatever step is finished there is not done
    /// again.
    ///
    /// # Errors
    /// Whatever stops a step; the round goes on from there when it is run again.
    pub fn play(
        &self,
        state: GameState,
        number: usize,
        folder: &Path,
    ) -> Result<GameState, TrainError> {
        fs::create_dir_all(folder).map_err(|e| TrainError::io("create", folder, e))?;
        let round = Round {
            game: *self,
            number,
            folder,
        };
        if round.file("summary.json").exists() {
            return round.restore(state);
        }
        let setup = self.setup;
        let seeds = draw_seeds(
            &setup.training,
            &setup.tokenizer,
            self.recipe,
            round.randomness(),
        );

        let mut proposals = round.propose(&seeds, state.generator.as_ref())?;
        round.filter_and_rate(&seeds, &mut proposals)?;
        round.classify(&seeds, &mut proposals, &state.classifier)?;
        let (pair_kinds, pairs) = round.build_pairs(&seeds, &proposals)?;
        let data = round.grow_data(&seeds, &proposals, &state.data)?;
        let generator = round.update_generator(state.generator, &pairs)?;
        let start = match self.recipe.classifier_from {
            ClassifierStart::Base => &setup.base,
            ClassifierStart::Previous => &state.classifier,
        };
        // The teacher of a round knows what the data have become, as the classifier is to.
        let teacher = setup.teacher_of(&data);
        let classifier = setup.train_classifier(folder, (&data, teacher.as_ref()), start)?;

        setup.export_classifier(folder, &classifier, &data, number)?;
        score_bundle(folder, &setup.validation, self.benchmarks)?;
        round.write_summary(&seeds, &proposals, &pair_kinds, &data, &classifier)?;
        Ok(GameState {
            classifier,
            generator,
            data,
        })
    }
}

/// What a round's steps share.
pub(super) struct Round<'a> {
    pub(super) game: Game<'a>,
    pub(super) number: usize,
    folder: &'a Path,
}

impl Round<'_> {
    fn randomness(&self) -> u64 {
        self.game.setup.recipe.seed ^ (self.number as u64).wrapping_mul(0xD1B5_4A32_D192_ED03)
    }

    /// A recipe that was read lacks nothing that its game needs; this is for games that were put
    /// together otherwise.
    fn missing(&self, what: &str) -> TrainError {
        TrainError::invalid(self.folder, format!("the game needs {what}"))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What a finished round left.
    fn restore(&self, before: GameState) -> Result<GameState, TrainError> {
        let device = &self.game.setup.device;
        let mut generator = before.generator;
        let learned = self.file("preference.weights");
        if let (Some(generator), true) = (&mut generator, learned.exists()) {
            load_weights(&learned, generator, device)?;
        }
        let mut classifier = before.classifier;
        load_weights(&self.file("classifier.weights"), &mut classifier, device)?;
        let mut data = before.data;
        data.source(SYNTHETIC);
        append_rows(&self.file("synthetic.jsonl"), &mut data, |_, _| true)?;
        Ok(GameState {
            classifier,
            generator,
            data,
        })
    }

    /// Step 1: k proposals for every seed and language, written chunk by chunk to `drafts.jsonl`.
    fn propose(
        &self,
        seeds: &[&SeedRow],
        generator: Option<&Decoder>,
    ) -> Result<Vec<Proposal>, TrainError> {
        let sampling = (self.game.recipe.temperature, self.game.recipe.top_p);
        let mut generator: Box<dyn Generator + '_> =
            match (&self.game.recipe.generator, self.game.local, generator) {
                (GeneratorRecipe::Endpoint(recipe), ..) => {
                    let journal = self.file("generator-journal.jsonl");
                    Box::new(EndpointPlayer::new(
                        recipe,
                        sampling,
                        self.randomness(),
                        journal,
                    )?)
                }
                (_, Some(local), Some(decoder)) => {
                    let recipe = self.game.recipe;
                    Box::new(LocalWriter::new(decoder, &local.format, recipe))
                }
                _ => return Err(self.missing("a generator that runs here")),
            };
        let path = self.file("drafts.jsonl");
        let chunk_lines =
            CHUNK_SEEDS * self.game.recipe.languages.len() * self.game.recipe.proposals;
        let mut proposals = read_whole_chunks(&path, chunk_lines)?;
        // Whatever a kill cut short goes before more is added.
        write_atomically(&path, &lines(&proposals))?;
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|e| TrainError::io("append to", &path, e))?;
        let done = proposals.len() / chunk_lines * CHUNK_SEEDS;
        let bar = crate::train::progress::bar("proposals", seeds.len(), done.min(seeds.len()));
        for (chunk, chunk_seeds) in seeds
            .chunks(CHUNK_SEEDS)
            .enumerate()
            .skip(done / CHUNK_SEEDS)
        {
            let mut wanted = Vec::new();
            for (place, seed) in chunk_seeds.iter().enumerate() {
                let place = chunk * CHUNK_SEEDS + place;
                for language in &self.game.recipe.languages {
                    wanted.extend(
                        (0..self.game.recipe.proposals).map(|copy| (place, *seed, language, copy)),
                    );
                }
            }
            let requests: Vec<GeneratorRequest<'_>> = wanted
                .iter()
                .enumerate()
                .map(|(index, (_, seed, language, _))| GeneratorRequest {
                    seed_text: &seed.text,
                    is_unsafe: seed.is_unsafe,
                    language,
                    randomness: self
                        .randomness()
                        .wrapping_add((chunk * chunk_lines + index) as u64),
                })
                .collect();
            let texts = generator.write(&requests)?;
            let fresh: Vec<Proposal> = wanted
                .iter()
                .zip(texts)
                .map(|((seed, _, language, _), text)| Proposal {
                    seed: *seed,
                    language: (*language).clone(),
                    text,
                    rating: None,
                    score: None,
                    outcome: None,
                })
                .collect();
            file.write_all(&lines(&fresh))
                .map_err(|e| TrainError::io("append to", &path, e))?;
            proposals.extend(fresh);
            bar.inc(chunk_seeds.len() as u64);
        }
        bar.finish();
        Ok(proposals)
    }

    /// Step 2: the filters that need no model, then the judge.
    fn filter_and_rate(
        &self,
        seeds: &[&SeedRow],
        proposals: &mut [Proposal],
    ) -> Result<(), TrainError> {
        let benchmarks = self.game.benchmarks.iter().flat_map(|set| &set.rows);
        let texts = benchmarks.flat_map(|row| [Some(&row.prompt), row.response.as_ref()]);
        let mut filters = Filters::new(
            self.game.recipe.length_difference,
            &self.game.recipe.languages,
            texts.flatten().map(String::as_str),
        )?;
        for proposal in proposals.iter_mut() {
            let seed = &seeds[proposal.seed].text;
            proposal.outcome =
                filters.rejection(seed, &proposal.language, proposal.text.as_deref());
        }
        let left: Vec<usize> = undecided(proposals);
        let requests: Vec<JudgeRequest<'_>> = left
            .iter()
            .map(|&place| JudgeRequest {
                text: proposals[place].text.as_deref().unwrap_or_default(),
                language: &proposals[place].language,
                seed_text: &seeds[proposals[place].seed].text,
                seed_key: seeds[proposals[place].seed].key(),
            })
            .collect();
        let ratings = self.judge()?.rate(&requests)?;
        for (&place, rating) in left.iter().zip(ratings) {
            match rating {
                Rating::Unsafety(value) => proposals[place].rating = Some(value),
                Rating::Unrelated => proposals[place].outcome = Some(Outcome::Unrelated),
                Rating::Unparseable => proposals[place].outcome = Some(Outcome::Unparseable),
            }
        }
        Ok(())
    }

    fn judge(&self) -> Result<Box<dyn Judge + '_>, TrainError> {
        match &self.game.recipe.judge {
            JudgeRecipe::Endpoint(recipe) => {
                let journal = self.file("judge-journal.jsonl");
                // A rating is wanted, not a sample.
                Ok(Box::new(EndpointPlayer::new(
                    recipe,
                    (0.0, 1.0),
                    self.randomness(),
                    journal,
                )?))
            }
            JudgeRecipe::Generator => Ok(Box::new(ReferenceJudge {
                local: self
                    .game
                    .local
                    .ok_or_else(|| self.missing("a generator that runs here"))?,
                seed: self.randomness(),
            })),
            JudgeRecipe::Consistency { least_agreement } => Ok(Box::new(ConsistencyJudge {
                teacher: self
                    .game
                    .setup
                    .teacher
                    .as_ref()
                    .ok_or_else(|| self.missing("a [classifier.teacher]"))?,
                lexicon: self
                    .game
                    .setup
                    .lexicon
                    .as_deref()
                    .ok_or_else(|| self.missing("a lexicon"))?,
                least_agreement: *least_agreement,
            })),
        }
    }

    /// Step 3: does the classifier give a proposal the label of its seed? `proposals.jsonl` then
    /// holds every proposal and its outcome.
    fn classify(
        &self,
        seeds: &[&SeedRow],
        proposals: &mut [Proposal],
        classifier: &Decoder,
    ) -> Result<(), TrainError> {
        let left = undecided(proposals);
        let texts: Vec<&str> = left
            .iter()
            .filter_map(|&place| proposals[place].text.as_deref())
            .collect();
        let window = self.game.setup.recipe.classifier.window_tokens;
        let scores = score_texts(classifier, &self.game.setup.tokenizer, &texts, window);
        for (&place, score) in left.iter().zip(scores) {
            let proposal = &mut proposals[place];
            let is_unsafe = seeds[proposal.seed].is_unsafe;
            proposal.score = Some(score);
            proposal.outcome = Some(
                match (
                    proposal.rating.is_some_and(|r| agrees(r, is_unsafe)),
                    misclassified(score, is_unsafe),
                ) {
                    (false, _) => Outcome::LabelLost,
                    (true, false) => Outcome::Correct,
                    (true, true) => Outcome::Misclassified,
                },
            );
        }
        write_atomically(&self.file("proposals.jsonl"), &lines(proposals))
    }

    /// Step 4: S(t) = S(t-1) and the misclassified ones, which take over their seed's label,
    /// categories and group.
    fn grow_data(
        &self,
        seeds: &[&SeedRow],
        proposals: &[Proposal],
        before: &Corpus,
    ) -> Result<Corpus, TrainError> {
        let mut data = before.clone();
        let source = data.source(SYNTHETIC);
        let grown: Vec<SeedRow> = proposals
            .iter()
            .filter(|proposal| proposal.outcome == Some(Outcome::Misclassified))
            .map(|proposal| {
                let seed = seeds[proposal.seed];
                SeedRow {
                    text: proposal.text.clone().unwrap_or_default(),
                    lang: proposal.language.clone(),
                    source,
                    group: Some(seed.key().to_owned()),
                    ..seed.clone()
                }
            })
            .collect();
        write_rows(
            &self.file("synthetic.jsonl"),
            &Corpus {
                rows: grown.clone(),
                sources: data.sources.clone(),
            },
        )?;
        data.rows.extend(grown);
        Ok(data)
    }

    /// Step 5: at most one pair per seed and language.
    fn build_pairs(
        &self,
        seeds: &[&SeedRow],
        proposals: &[Proposal],
    ) -> Result<(PairKinds, Vec<TokenPair>), TrainError> {
        let mut pair_kinds = PairKinds::new();
        let (mut pairs, mut file) = (Vec::new(), Vec::new());
        // Proposals of one seed and language stand side by side.
        for group in proposals.chunk_by(|a, b| (a.seed, &a.language) == (b.seed, &b.language)) {
            let seed = seeds[group[0].seed];
            let judged: Vec<&Proposal> = group
                .iter()
                .filter(|p| p.rating.is_some() && p.score.is_some())
                .collect();
            let candidates: Vec<Candidate> = judged
                .iter()
                .map(|p| Candidate {
                    misclassified: misclassified(p.score.unwrap_or_default(), seed.is_unsafe),
                    agrees: p.rating.is_some_and(|r| agrees(r, seed.is_unsafe)),
                })
                .collect();
            let (kind, chosen) = choose_pair(&candidates);
            let language = &group[0].language;
            *pair_kinds
                .entry(language.clone())
                .or_default()
                .entry(kind)
                .or_default() += 1;
            let Some((chosen, rejected)) = chosen else {
                continue;
            };
            let text = |place: usize| judged[place].text.clone().unwrap_or_default();
            let line = json!({"seed": seed.text, "unsafe": seed.is_unsafe, "language": language, "kind": kind,
                "chosen": text(chosen), "rejected": text(rejected)});
            file.extend_from_slice(format!("{line}\n").as_bytes());
            // Behind an endpoint nobody here learns from them; the file is for whoever does.
            let Some(local) = self.game.local else {
                continue;
            };
            pairs.push(TokenPair {
                prompt: local
                    .format
                    .generation_prompt(&seed.text, language, seed.is_unsafe)?,
                chosen: local.format.encode(&text(chosen)),
                rejected: local.format.encode(&text(rejected)),
            });
        }
        write_atomically(&self.file("pairs.jsonl"), &file)?;
        Ok((pair_kinds, pairs))
    }

    /// Step 6: the generator learns to prefer what the classifier misjudged. Without a pair it stays
    /// as it is.
    fn update_generator(
        &self,
        generator: Option<Decoder>,
        pairs: &[TokenPair],
    ) -> Result<Option<Decoder>, TrainError> {
        let (Some(local), Some(reference), false) = (self.game.local, &generator, pairs.is_empty())
        else {
            return Ok(generator);
        };
        let recipe = &self.game.recipe.preference;
        let mut stage = PreferenceStage::new(
            pairs,
            reference,
            recipe,
            self.randomness(),
            local.format.end,
        );
        let settings = StageSettings {
            name: "preference",
            steps: (stage.batches() * recipe.epochs).div_ceil(recipe.accumulation),
            accumulation: recipe.accumulation,
            learning_rate: recipe.learning_rate,
            warmup: recipe.warmup,
            weight_decay: recipe.weight_decay,
            max_gradient_norm: recipe.max_gradient_norm,
            checkpoint_every: recipe.checkpoint_every,
            average_decay: 0.0,
            compute: self.game.setup.recipe.compute,
        };
        let mut learner = reference.clone();
        let device = &self.game.setup.device;
        run_stage(&mut stage, &settings, &mut learner, self.folder, device)?;
        Ok(Some(learner))
    }
}

fn undecided(proposals: &[Proposal]) -> Vec<usize> {
    (0..proposals.len())
        .filter(|&place| proposals[place].outcome.is_none())
        .collect()
}

fn misclassified(score: f32, is_unsafe: bool) -> bool {
    (score > 0.5) != is_unsafe
}
