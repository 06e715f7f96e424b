//! One round of the two-player game (PAPER.md, "The loop, one iteration").

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use duoguard_eval::{Benchmark, read_benchmarks};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::checkpoint::{write_atomically, write_json};
use crate::classifier::score_texts;
use crate::data::{Corpus, SeedRow, append_rows};
use crate::decoder::Decoder;
use crate::error::TrainError;
use crate::generator::{END, Generator, OwnGenerator, Request, draw_seeds, prompt};
use crate::ground::Ground;
use crate::judge::{ConsistencyJudge, Exhibit, Judge, Opinion, agrees};
use crate::players::Remote;
use crate::preference::{Level, Preference, Standing, TokenPair, pair};
use crate::proposal::{Fate, Filters, Proposal};
use crate::recipe::{ClassifierStart, GameRecipe, GeneratorRecipe, JudgeRecipe};
use crate::stage::{StageSettings, run_stage};
use crate::validation::write_rows;

/// Seeds whose proposals are written at once; what a killed run loses at most.
const CHUNK_SEEDS: usize = 32;
/// The source of synthetic rows.
const SYNTHETIC: &str = "synthetic";

/// The two players, and the data that has grown so far.
pub struct Players {
    /// The classifier of the last round.
    pub classifier: Decoder,
    /// Our own generator; absent when it is behind an endpoint.
    pub generator: Option<Decoder>,
    /// The seed data and every misclassified proposal so far.
    pub data: Corpus,
}

/// Plays round `number`, from 1, in `folder`. Whatever step is finished there is not done again.
///
/// # Errors
/// Whatever stops a step; the round goes on from there when it is run again.
pub fn play(
    ground: &Ground<'_>,
    game: &GameRecipe,
    players: Players,
    number: usize,
    folder: &Path,
) -> Result<Players, TrainError> {
    fs::create_dir_all(folder).map_err(|e| TrainError::io("create", folder, e))?;
    let round = Round {
        ground,
        game,
        number,
        folder,
    };
    if round.file("summary.json").exists() {
        return round.replay(players);
    }
    let seeds = draw_seeds(
        &ground.training,
        &ground.tokenizer,
        game,
        round.randomness(),
    );

    let mut proposals = round.propose(&seeds, players.generator.as_ref())?;
    round.filter_and_rate(&seeds, &mut proposals)?;
    round.classify(&seeds, &mut proposals, &players.classifier)?;
    let (levels, pairs) = round.pairs(&seeds, &proposals)?;
    let data = round.grow(&seeds, &proposals, &players.data)?;
    let generator = players
        .generator
        .as_ref()
        .map(|g| round.learn(g, &pairs))
        .transpose()?;
    let start = match game.classifier_from {
        ClassifierStart::Base => &ground.base,
        ClassifierStart::Previous => &players.classifier,
    };
    let classifier = ground.train_classifier(folder, &data, start)?;

    ground.publish(folder, &classifier, &data, number)?;
    round.summarise(&seeds, &proposals, &levels, &data)?;
    Ok(Players {
        classifier,
        generator,
        data,
    })
}

/// What a round's steps share.
struct Round<'a> {
    ground: &'a Ground<'a>,
    game: &'a GameRecipe,
    number: usize,
    folder: &'a Path,
}

impl Round<'_> {
    fn randomness(&self) -> u64 {
        self.ground.recipe.seed ^ (self.number as u64).wrapping_mul(0xD1B5_4A32_D192_ED03)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What a finished round left.
    fn replay(&self, before: Players) -> Result<Players, TrainError> {
        let generator = match before.generator {
            Some(generator) if self.file("preference.weights").exists() => {
                drop(generator);
                Some(self.ground.load(&self.file("preference.weights"))?)
            }
            unchanged => unchanged,
        };
        let mut data = before.data;
        data.source(SYNTHETIC);
        append_rows(&self.file("synthetic.jsonl"), &mut data, |_, _| true)?;
        Ok(Players {
            classifier: self.ground.load(&self.file("classifier.weights"))?,
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
        let sampling = (self.game.temperature, self.game.top_p);
        let mut generator: Box<dyn Generator + '_> = match (&self.game.generator, generator) {
            (GeneratorRecipe::Endpoint(recipe), _) => {
                let journal = self.file("generator-journal.jsonl");
                Box::new(Remote::new(recipe, sampling, self.randomness(), journal)?)
            }
            (GeneratorRecipe::Own(_), Some(decoder)) => Box::new(OwnGenerator::new(
                decoder,
                &self.ground.tokenizer,
                self.game,
            )),
            (GeneratorRecipe::Own(_), None) => {
                return Err(TrainError::invalid(
                    self.folder,
                    "our own generator was not trained",
                ));
            }
        };
        let path = self.file("drafts.jsonl");
        let chunk_lines = CHUNK_SEEDS * self.game.languages.len() * self.game.proposals;
        let mut proposals = read_whole_chunks(&path, chunk_lines)?;
        // Whatever a kill cut short goes before more is added.
        write_atomically(&path, &lines(&proposals))?;
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|e| TrainError::io("append to", &path, e))?;
        let done = proposals.len() / chunk_lines * CHUNK_SEEDS;
        let bar = crate::progress::bar("proposals", seeds.len(), done.min(seeds.len()));
        for (chunk, chunk_seeds) in seeds
            .chunks(CHUNK_SEEDS)
            .enumerate()
            .skip(done / CHUNK_SEEDS)
        {
            let mut wanted = Vec::new();
            for (place, seed) in chunk_seeds.iter().enumerate() {
                let place = chunk * CHUNK_SEEDS + place;
                for language in &self.game.languages {
                    wanted.extend(
                        (0..self.game.proposals).map(|copy| (place, *seed, language, copy)),
                    );
                }
            }
            let requests: Vec<Request<'_>> = wanted
                .iter()
                .enumerate()
                .map(|(index, (_, seed, language, _))| Request {
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
                    fate: None,
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
        let benchmarks = self.benchmark_texts()?;
        let mut filters = Filters::new(
            self.game.length_difference,
            &self.game.languages,
            benchmarks.iter().map(String::as_str),
        )?;
        for proposal in proposals.iter_mut() {
            let seed = &seeds[proposal.seed].text;
            proposal.fate = filters.objection(seed, &proposal.language, proposal.text.as_deref());
        }
        let left: Vec<usize> = undecided(proposals);
        let exhibits: Vec<Exhibit<'_>> = left
            .iter()
            .map(|&place| Exhibit {
                text: proposals[place].text.as_deref().unwrap_or_default(),
                language: &proposals[place].language,
                seed_text: &seeds[proposals[place].seed].text,
                seed_key: seeds[proposals[place].seed].key(),
            })
            .collect();
        let opinions = self.judge()?.rate(&exhibits)?;
        for (&place, opinion) in left.iter().zip(opinions) {
            match opinion {
                Opinion::Rated(rating) => proposals[place].rating = Some(rating),
                Opinion::Unrelated => proposals[place].fate = Some(Fate::Unrelated),
                Opinion::Unparseable => proposals[place].fate = Some(Fate::Unparseable),
            }
        }
        Ok(())
    }

    fn judge(&self) -> Result<Box<dyn Judge + '_>, TrainError> {
        match &self.game.judge {
            JudgeRecipe::Endpoint(recipe) => {
                let journal = self.file("judge-journal.jsonl");
                // A rating is wanted, not a sample.
                Ok(Box::new(Remote::new(
                    recipe,
                    (0.0, 1.0),
                    self.randomness(),
                    journal,
                )?))
            }
            JudgeRecipe::Consistency { least_agreement } => {
                let missing = |what| {
                    TrainError::invalid(self.folder, format!("the consistency judge needs {what}"))
                };
                Ok(Box::new(ConsistencyJudge {
                    teacher: self
                        .ground
                        .teacher
                        .as_ref()
                        .ok_or_else(|| missing("a [classifier.teacher]"))?,
                    lexicon: self
                        .ground
                        .lexicon
                        .as_ref()
                        .ok_or_else(|| missing("a lexicon"))?,
                    least_agreement: *least_agreement,
                }))
            }
        }
    }

    fn benchmark_texts(&self) -> Result<Vec<String>, TrainError> {
        let Some(folder) = &self.game.benchmarks else {
            eprintln!(
                "game.benchmarks is not set: proposals are not checked for overlap with benchmarks"
            );
            return Ok(Vec::new());
        };
        let sets = read_benchmarks(
            &self.ground.data.join(folder),
            &Benchmark::ALL,
            &["En", "Fr", "Es", "De"],
        )?;
        let rows = sets.into_iter().flat_map(|set| set.rows);
        Ok(rows
            .flat_map(|row| [Some(row.prompt), row.response])
            .flatten()
            .collect())
    }

    /// Step 3: does the classifier give a proposal the label of its seed? `proposals.jsonl` then holds every proposal and its fate.
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
        let window = self.ground.recipe.classifier.window_tokens;
        let scores = score_texts(classifier, &self.ground.tokenizer, &texts, window);
        for (&place, score) in left.iter().zip(scores) {
            let proposal = &mut proposals[place];
            let is_unsafe = seeds[proposal.seed].is_unsafe;
            proposal.score = Some(score);
            proposal.fate = Some(
                match (
                    proposal.rating.is_some_and(|r| agrees(r, is_unsafe)),
                    fooled(score, is_unsafe),
                ) {
                    (false, _) => Fate::LabelLost,
                    (true, false) => Fate::Correct,
                    (true, true) => Fate::Misclassified,
                },
            );
        }
        write_atomically(&self.file("proposals.jsonl"), &lines(proposals))
    }

    /// Step 4: S(t) = S(t-1) and the misclassified ones, which take over their seed's label, categories and group.
    fn grow(
        &self,
        seeds: &[&SeedRow],
        proposals: &[Proposal],
        before: &Corpus,
    ) -> Result<Corpus, TrainError> {
        let mut data = before.clone();
        let source = data.source(SYNTHETIC);
        let grown: Vec<SeedRow> = proposals
            .iter()
            .filter(|proposal| proposal.fate == Some(Fate::Misclassified))
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
    fn pairs(
        &self,
        seeds: &[&SeedRow],
        proposals: &[Proposal],
    ) -> Result<(Levels, Vec<TokenPair>), TrainError> {
        let mut levels = Levels::new();
        let (mut pairs, mut file) = (Vec::new(), Vec::new());
        // Proposals of one seed and language stand side by side.
        for group in proposals.chunk_by(|a, b| (a.seed, &a.language) == (b.seed, &b.language)) {
            let seed = seeds[group[0].seed];
            let judged: Vec<&Proposal> = group
                .iter()
                .filter(|p| p.rating.is_some() && p.score.is_some())
                .collect();
            let standings: Vec<Standing> = judged
                .iter()
                .map(|p| Standing {
                    fooled: fooled(p.score.unwrap_or_default(), seed.is_unsafe),
                    agrees: p.rating.is_some_and(|r| agrees(r, seed.is_unsafe)),
                })
                .collect();
            let (level, chosen) = pair(&standings);
            let language = &group[0].language;
            *levels
                .entry(language.clone())
                .or_default()
                .entry(level)
                .or_default() += 1;
            let Some((chosen, rejected)) = chosen else {
                continue;
            };
            let text = |place: usize| judged[place].text.clone().unwrap_or_default();
            let line = json!({"seed": seed.text, "unsafe": seed.is_unsafe, "language": language, "level": level,
                "chosen": text(chosen), "rejected": text(rejected)});
            file.extend_from_slice(format!("{line}\n").as_bytes());
            let ids = |place| {
                self.ground
                    .tokenizer
                    .encode(&text(place))
                    .iter()
                    .map(|&id| id as i32)
                    .collect()
            };
            pairs.push(TokenPair {
                prompt: prompt(&self.ground.tokenizer, &seed.text, language, seed.is_unsafe),
                chosen: ids(chosen),
                rejected: ids(rejected),
            });
        }
        write_atomically(&self.file("pairs.jsonl"), &file)?;
        Ok((levels, pairs))
    }

    /// Step 6: the generator learns to prefer what fooled the classifier. Without a pair it stays as it is.
    fn learn(&self, generator: &Decoder, pairs: &[TokenPair]) -> Result<Decoder, TrainError> {
        let recipe = &self.game.preference;
        let mut learner = generator.clone();
        if !pairs.is_empty() {
            let mut stage = Preference::new(pairs, generator, recipe, self.randomness(), END);
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
            };
            run_stage(
                &mut stage,
                &settings,
                &mut learner,
                self.folder,
                &self.ground.device,
            )?;
        }
        Ok(learner)
    }

    /// What a person wants to know of the round: `summary.json`.
    fn summarise(
        &self,
        seeds: &[&SeedRow],
        proposals: &[Proposal],
        levels: &Levels,
        data: &Corpus,
    ) -> Result<(), TrainError> {
        let mut fates: BTreeMap<&str, BTreeMap<Fate, usize>> = BTreeMap::new();
        // The generator's part of the game's value: how surprised the classifier is by the labels of what it was shown.
        let (mut surprise, mut shown) = (0.0, 0);
        for proposal in proposals {
            let Some(fate) = proposal.fate else { continue };
            *fates
                .entry(&proposal.language)
                .or_default()
                .entry(fate)
                .or_default() += 1;
            if let (Some(score), Fate::Correct | Fate::Misclassified) = (proposal.score, fate) {
                let score = f64::from(score).clamp(1e-6, 1.0 - 1e-6);
                surprise -= if seeds[proposal.seed].is_unsafe {
                    score.ln()
                } else {
                    (1.0 - score).ln()
                };
                shown += 1;
            }
        }
        let mut languages: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &data.rows {
            *languages.entry(&row.lang).or_default() += 1;
        }
        let summary = Summary {
            round: self.number,
            seeds: seeds.len(),
            fates: fates.into_iter().map(|(l, f)| (l.to_owned(), f)).collect(),
            levels: levels.clone(),
            rows: languages
                .into_iter()
                .map(|(l, n)| (l.to_owned(), n))
                .collect(),
            mean_surprise_nats: (shown > 0).then(|| surprise / f64::from(shown)),
        };
        let value = serde_json::to_value(&summary)
            .map_err(|e| TrainError::invalid(&self.file("summary.json"), e.to_string()))?;
        write_json(&self.file("summary.json"), &value)
    }
}

/// Language -> level -> pairs looked for.
type Levels = BTreeMap<String, BTreeMap<Level, usize>>;

/// A round in numbers; its file is also the mark that the round is finished.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// From 1.
    pub round: usize,
    /// Seeds drawn.
    pub seeds: usize,
    /// Language -> fate -> proposals.
    pub fates: BTreeMap<String, BTreeMap<Fate, usize>>,
    /// Language -> level -> seeds.
    pub levels: BTreeMap<String, BTreeMap<Level, usize>>,
    /// Language -> rows of S(t).
    pub rows: BTreeMap<String, usize>,
    /// Mean of -ln p(seed's label | proposal) under the classifier of the round before, over the proposals that keep their label.
    pub mean_surprise_nats: Option<f64>,
}

fn undecided(proposals: &[Proposal]) -> Vec<usize> {
    (0..proposals.len())
        .filter(|&place| proposals[place].fate.is_none())
        .collect()
}

fn fooled(score: f32, is_unsafe: bool) -> bool {
    (score > 0.5) != is_unsafe
}

fn lines(proposals: &[Proposal]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for proposal in proposals {
        // A struct of strings and numbers always has a JSON form.
        bytes.extend(serde_json::to_vec(proposal).unwrap_or_default());
        bytes.push(b'\n');
    }
    bytes
}

/// The proposals of the chunks that were written whole. The last chunk of all may be short, and is then written again.
fn read_whole_chunks(path: &Path, chunk_lines: usize) -> Result<Vec<Proposal>, TrainError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).map_err(|e| TrainError::io("read", path, e))?;
    let mut proposals = Vec::new();
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        match serde_json::from_str(line) {
            Ok(proposal) => proposals.push(proposal),
            Err(e) => {
                return Err(TrainError::invalid(
                    path,
                    format!("line {}: {e}", proposals.len() + 1),
                ));
            }
        }
    }
    proposals.truncate(proposals.len() / chunk_lines * chunk_lines);
    Ok(proposals)
}
