//! The generator: who writes proposals, and how our own one learns to.
//!
//! What our own generator continues is described at [`gloss_prompt`]; an instructed one is told in
//! words.

use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::data::lexicon::Lexicon;
use crate::data::rows::{Corpus, Pair, ParallelRow, SeedRow};
use crate::data::tokenizer::Tokenizer;
use crate::error::TrainError;
use crate::game::prompt::{PromptFormat, gloss_prompt};
use crate::model::decoder::Decoder;
use crate::model::generate::{Prompt, SamplingSettings, generate};
use crate::recipe::{GameRecipe, OwnGeneratorRecipe};
use crate::train::loss::{SampledVocabulary, language_model_loss};
use crate::train::stage::{Stage, without_gradients};

/// The token that ends a text and separates a gloss from what is written of it.
pub const END: i32 = 0;
/// Examples drawn at once, sorted by length and cut into batches.
const POOL_EXAMPLES: usize = 1024;

/// A text that is wanted.
#[derive(Clone, Debug)]
pub struct GeneratorRequest<'a> {
    /// The English text that inspires it.
    pub seed_text: &'a str,
    /// The label it is to keep.
    pub is_unsafe: bool,
    /// The language to write in.
    pub language: &'a str,
    /// The same request and randomness give the same text.
    pub randomness: u64,
}

/// Writes texts.
pub trait Generator {
    /// One answer per request, in their order; `None` where no text was finished.
    ///
    /// # Errors
    /// Nothing can be written at all; a request that fails alone is a `None`.
    fn write(
        &mut self,
        requests: &[GeneratorRequest<'_>],
    ) -> Result<Vec<Option<String>>, TrainError>;
}

/// A decoder that writes.
pub struct LocalWriter<'a> {
    decoder: Decoder,
    format: &'a PromptFormat,
    settings: SamplingSettings,
}

impl<'a> LocalWriter<'a> {
    /// Writes with `decoder` as the game's recipe says.
    pub fn new(decoder: &Decoder, format: &'a PromptFormat, recipe: &GameRecipe) -> Self {
        Self {
            decoder: without_gradients(decoder),
            format,
            settings: SamplingSettings {
                temperature: recipe.temperature,
                top_p: recipe.top_p,
                max_tokens: recipe.max_tokens,
                end: format.end,
                token_bonus: recipe.generator.token_bonus(),
            },
        }
    }
}

impl Generator for LocalWriter<'_> {
    fn write(
        &mut self,
        requests: &[GeneratorRequest<'_>],
    ) -> Result<Vec<Option<String>>, TrainError> {
        let prompts: Result<Vec<Prompt>, TrainError> = requests
            .par_iter()
            .map(|r| {
                let ids = self
                    .format
                    .generation_prompt(r.seed_text, r.language, r.is_unsafe)?;
                Ok(Prompt {
                    bonus_tokens: self.format.gloss_tokens(&ids).to_vec(),
                    ids,
                    seed: r.randomness,
                })
            })
            .collect();
        let texts = generate(&self.decoder, &prompts?, &self.settings);
        let text = |ids: Vec<i32>| self.format.decode(&ids);
        Ok(texts.into_iter().map(|ids| ids.map(text)).collect())
    }
}

/// An English text and what it became in another language.
struct Translation<'a> {
    english: &'a str,
    language: &'a str,
    text: &'a str,
    is_unsafe: bool,
}

/// The stage that teaches a pretrained decoder to write.
pub struct GeneratorStage<'a> {
    /// Sentence pairs and parallel texts: plenty, and safe.
    benign: Vec<Translation<'a>>,
    /// Labelled seeds and their translations: few, and what makes the prefix mean something.
    labelled: Vec<Translation<'a>>,
    tokenizer: &'a Tokenizer,
    lexicon: &'a Lexicon,
    recipe: &'a OwnGeneratorRecipe,
    max_tokens: usize,
    seed: u64,
    device: Device,
    pools: u64,
    first: usize,
    batches: Vec<Vec<(Vec<i32>, usize)>>,
}

impl<'a> GeneratorStage<'a> {
    /// Learns from every text that stands in English and in one of the game's languages.
    pub fn new(
        training: &'a Corpus,
        parallel: &'a [ParallelRow],
        pairs: &'a [Pair],
        (tokenizer, lexicon): (&'a Tokenizer, &'a Lexicon),
        (game, recipe): (&'a GameRecipe, &'a OwnGeneratorRecipe),
        seed: u64,
        device: &Device,
    ) -> Self {
        let wanted = |language: &str| game.languages.iter().any(|l| l == language);
        let mut benign: Vec<Translation<'a>> = pairs
            .iter()
            .filter(|pair| wanted(&pair.lang))
            .map(|pair| Translation {
                english: &pair.english,
                language: &pair.lang,
                text: &pair.text,
                is_unsafe: false,
            })
            .collect();
        benign.extend(
            translated(parallel, |row| Some(&row.group), |row| &row.lang)
                .filter(|(_, row)| wanted(&row.lang))
                .map(|(english, row)| Translation {
                    english: &english.text,
                    language: &row.lang,
                    text: &row.text,
                    is_unsafe: false,
                }),
        );
        let excluded = excluded(game);
        let labelled = translated(&training.rows, |row| row.group.as_deref(), |row| &row.lang)
            .filter(|(_, row)| wanted(&row.lang) && row.categories & excluded == 0)
            .map(|(english, row)| Translation {
                english: &english.text,
                language: &row.lang,
                text: &row.text,
                is_unsafe: row.is_unsafe,
            })
            .collect();
        Self {
            benign,
            labelled,
            tokenizer,
            lexicon,
            recipe,
            max_tokens: game.max_tokens,
            seed,
            device: device.clone(),
            pools: 0,
            first: 0,
            batches: Vec::new(),
        }
    }

    /// (benign, labelled) translations there are to learn from.
    pub fn len(&self) -> (usize, usize) {
        (self.benign.len(), self.labelled.len())
    }

    /// Whether there is nothing to learn from.
    pub fn is_empty(&self) -> bool {
        self.benign.is_empty() && self.labelled.is_empty()
    }

    /// (tokens, tokens of the prompt) of the rows of batch `index`. Numbers must not go down.
    fn batch(&mut self, index: usize) -> &[(Vec<i32>, usize)] {
        while index >= self.first + self.batches.len() {
            self.first += self.batches.len();
            self.batches = self.next_pool();
        }
        &self.batches[index - self.first]
    }

    fn next_pool(&mut self) -> Vec<Vec<(Vec<i32>, usize)>> {
        let pool = self.pools;
        self.pools += 1;
        let rng = |place: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ pool.wrapping_mul(0x9E37_79B9));
            rng.set_stream(place);
            rng
        };
        let mut rows: Vec<(Vec<i32>, usize)> = (0..POOL_EXAMPLES as u64)
            .into_par_iter()
            .filter_map(|place| {
                let mut rng = rng(place);
                let labelled = rng.random_bool(self.recipe.seed_share);
                let from = match labelled {
                    true if !self.labelled.is_empty() => &self.labelled,
                    false if self.benign.is_empty() => &self.labelled,
                    _ => &self.benign,
                };
                let t = from.choose(&mut rng)?;
                let how = (self.tokenizer, self.lexicon);
                let prompt = gloss_prompt(how, t.english, t.language, t.is_unsafe);
                let text = self.tokenizer.encode(t.text);
                // Longer ones are never asked for either.
                if text.len() > self.max_tokens || prompt.len() > 2 * self.max_tokens {
                    return None;
                }
                let length = prompt.len();
                let text = text.iter().map(|&id| id as i32).chain([END]);
                Some((prompt.into_iter().chain(text).collect(), length))
            })
            .collect();
        rows.sort_by_key(|(ids, _)| ids.len());
        let mut batches = Vec::new();
        let mut start = 0;
        for end in 1..=rows.len() {
            let full = end == rows.len()
                || (end + 1 - start) * rows[end].0.len() > self.recipe.batch_tokens;
            if full {
                batches.push(rows[start..end].to_vec());
                start = end;
            }
        }
        batches.shuffle(&mut rng(u64::MAX));
        batches
    }
}

/// The bits of the categories that are kept from the generator.
pub fn excluded(game: &GameRecipe) -> u16 {
    (0..crate::data::rows::CATEGORIES.len())
        .filter(|&bit| {
            game.exclude_categories
                .iter()
                .any(|c| c == crate::data::rows::CATEGORIES[bit])
        })
        .map(|bit| 1 << bit)
        .sum()
}

/// (English row, row in another language) of each group.
fn translated<'a, R>(
    rows: &'a [R],
    group: impl Fn(&'a R) -> Option<&'a str>,
    language: impl Fn(&'a R) -> &'a str,
) -> impl Iterator<Item = (&'a R, &'a R)> {
    let english: std::collections::HashMap<&str, &R> = rows
        .iter()
        .filter(|&row| language(row) == "en")
        .filter_map(|row| Some((group(row)?, row)))
        .collect();
    rows.iter()
        .filter_map(move |row| Some((*english.get(group(row)?)?, row)))
}

impl Stage for GeneratorStage<'_> {
    /// The mean loss of the texts' tokens; what was given is not learned.
    fn loss(&mut self, decoder: &Decoder, index: usize) -> (Tensor<1>, usize) {
        let (seed, negatives) = (self.seed, self.recipe.negatives);
        let device = self.device.clone();
        let rows = self.batch(index);
        let tokens = rows.iter().map(|(ids, _)| ids.len()).max().unwrap_or(1);
        let real_tokens = rows.iter().map(|(ids, _)| ids.len()).sum();
        let mut ids = Vec::with_capacity(rows.len() * tokens);
        let (mut places, mut targets) = (Vec::new(), Vec::new());
        for (row, (text, prompt)) in rows.iter().enumerate() {
            for place in learned_places(*prompt, text.len()) {
                places.push((row * tokens + place) as i32);
                targets.push(text[place + 1]);
            }
            ids.extend_from_slice(text);
            ids.resize((row + 1) * tokens, END);
        }
        let rows = rows.len();
        let places =
            Tensor::<1, Int>::from_data(TensorData::new(places.clone(), [places.len()]), &device);
        let hidden = decoder.hidden(&ids, rows, tokens).select(0, places);
        let seed = seed ^ (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let sampled = SampledVocabulary::draw(&targets, negatives, decoder.vocabulary, seed);
        let loss = language_model_loss(hidden, decoder.head(), sampled, &device);
        (loss, real_tokens)
    }
}

/// Places whose next token is learned: from the prompt's last token to the text's last but one.
fn learned_places(prompt: usize, length: usize) -> std::ops::Range<usize> {
    prompt - 1..length - 1
}

/// English seeds that a round draws: half of them unsafe where there are enough, none of an
/// excluded category, none too long.
pub fn draw_seeds<'a>(
    corpus: &'a Corpus,
    tokenizer: &Tokenizer,
    game: &GameRecipe,
    seed: u64,
) -> Vec<&'a SeedRow> {
    let excluded = excluded(game);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut chosen = Vec::new();
    for is_unsafe in [false, true] {
        let mut rows: Vec<&SeedRow> = corpus
            .rows
            .par_iter()
            .filter(|row| {
                row.lang == "en"
                    && row.is_unsafe == is_unsafe
                    && row.categories & excluded == 0
                    && tokenizer.encode(&row.text).len() <= game.max_tokens
            })
            .collect();
        // By source, as everywhere: otherwise most unsafe seeds would be rude posts.
        rows.shuffle(&mut rng);
        let mut by_source: std::collections::BTreeMap<usize, Vec<&SeedRow>> = Default::default();
        for row in rows {
            by_source.entry(row.source).or_default().push(row);
        }
        let wanted = chosen.len() + game.seeds / 2;
        while chosen.len() < wanted && by_source.values().any(|rows| !rows.is_empty()) {
            for rows in by_source.values_mut() {
                if chosen.len() < wanted {
                    chosen.extend(rows.pop());
                }
            }
        }
    }
    chosen
}
