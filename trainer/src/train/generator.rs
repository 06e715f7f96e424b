//! The stage that teaches a pretrained decoder to write proposals in the languages of a game.

use std::collections::HashMap;

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::data::rows::{Corpus, Pair, ParallelRow};
use crate::data::tokenizer::END;
use crate::distributed::Share;
use crate::error::TrainError;
use crate::game::kind::Wanted;
use crate::game::prompt::PromptFormat;
use crate::game::seeds::excluded_categories;
use crate::model::decoder::Decoder;
use crate::model::head::SampledVocabulary;
use crate::recipe::{GameRecipe, TranslationRecipe};
use crate::train::loss::language_model_loss;
use crate::train::stage::{BatchLoss, Stage};

/// Examples drawn at once, sorted by length and cut into batches.
const POOL_EXAMPLES: usize = 1024;

/// An English text and what it became in another language.
struct Translation<'a> {
    english: &'a str,
    language: &'a str,
    text: &'a str,
    is_unsafe: bool,
}

/// The stage that teaches a pretrained decoder to write.
pub(crate) struct GeneratorStage<'a> {
    /// Sentence pairs and parallel texts: plenty, and safe.
    benign: Vec<Translation<'a>>,
    /// Labelled seeds and their translations: few, and what makes the prefix mean something.
    labelled: Vec<Translation<'a>>,
    format: &'a PromptFormat,
    recipe: &'a TranslationRecipe,
    max_tokens: usize,
    /// Tokens of an instruction about nothing.
    instruction: usize,
    /// The first text that no prompt could be made of, and why.
    failed: Option<TrainError>,
    seed: u64,
    pools: u64,
    first: usize,
    batches: Vec<Vec<(Vec<i32>, usize)>>,
}

impl<'a> GeneratorStage<'a> {
    /// Learns from every text that stands in English and in one of the game's languages.
    ///
    /// # Errors
    /// A chat template that fails.
    pub(crate) fn new(
        training: &'a Corpus,
        parallel: &'a [ParallelRow],
        pairs: &'a [Pair],
        format: &'a PromptFormat,
        (game, recipe): (&'a GameRecipe, &'a TranslationRecipe),
        seed: u64,
    ) -> Result<Self, TrainError> {
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
        let excluded = excluded_categories(game);
        let labelled = translated(&training.rows, |row| row.group.as_deref(), |row| &row.lang)
            .filter(|(_, row)| wanted(&row.lang) && row.categories & excluded == 0)
            .map(|(english, row)| Translation {
                english: &english.text,
                language: &row.lang,
                text: &row.text,
                is_unsafe: row.is_unsafe,
            })
            .collect();
        let about_nothing = Wanted::translation("", "en", false);
        let instruction = match format.chat() {
            Some(_) => format.generation_prompt(&about_nothing)?.len(),
            None => 0,
        };
        Ok(Self {
            benign,
            labelled,
            format,
            recipe,
            max_tokens: game.max_tokens,
            instruction,
            failed: None,
            seed,
            pools: 0,
            first: 0,
            batches: Vec::new(),
        })
    }

    /// The first text that no prompt could be made of, and why: it was left out.
    pub(crate) fn take_failure(&mut self) -> Option<TrainError> {
        self.failed.take()
    }

    /// Whether there is nothing to learn from.
    pub(crate) fn is_empty(&self) -> bool {
        self.benign.is_empty() && self.labelled.is_empty()
    }

    /// Draws the first texts; whether none of them is short enough. Batches would then never come.
    pub(crate) fn draws_only_long_texts(&mut self) -> bool {
        self.batches = self.next_pool();
        self.batches.is_empty()
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
        let rng = |index: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ pool.wrapping_mul(0x9E37_79B9));
            rng.set_stream(index);
            rng
        };
        let made: Vec<Result<(Vec<i32>, usize), TrainError>> = (0..POOL_EXAMPLES as u64)
            .into_par_iter()
            .filter_map(|index| {
                let mut rng = rng(index);
                let labelled = rng.random_bool(self.recipe.seed_share);
                let from = match labelled {
                    true if !self.labelled.is_empty() => &self.labelled,
                    false if self.benign.is_empty() => &self.labelled,
                    _ => &self.benign,
                };
                let t = from.choose(&mut rng)?;
                let wanted = Wanted::translation(t.english, t.language, t.is_unsafe);
                let prompt = match self.format.generation_prompt(&wanted) {
                    Ok(prompt) => prompt,
                    Err(failure) => return Some(Err(failure)),
                };
                let text = self.format.encode(t.text);
                // Longer ones are never asked for either.
                let longest_prompt = self.instruction + 2 * self.max_tokens;
                if text.len() > self.max_tokens || prompt.len() > longest_prompt {
                    return None;
                }
                let length = prompt.len();
                let text = text.into_iter().chain([self.format.end]);
                Some(Ok((prompt.into_iter().chain(text).collect(), length)))
            })
            .collect();
        let mut rows = Vec::with_capacity(made.len());
        for row in made {
            match row {
                Ok(row) => rows.push(row),
                Err(failure) => {
                    self.failed.get_or_insert(failure);
                }
            }
        }
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

/// (English row, row in another language) of each group.
fn translated<'a, R>(
    rows: &'a [R],
    group: impl Fn(&'a R) -> Option<&'a str>,
    language: impl Fn(&'a R) -> &'a str,
) -> impl Iterator<Item = (&'a R, &'a R)> {
    let english: HashMap<&str, &R> = rows
        .iter()
        .filter(|&row| language(row) == "en")
        .filter_map(|row| Some((group(row)?, row)))
        .collect();
    rows.iter()
        .filter_map(move |row| Some((*english.get(group(row)?)?, row)))
}

impl Stage for GeneratorStage<'_> {
    /// The mean loss of the texts' tokens; what was given is not learned.
    fn loss(&mut self, decoder: &Decoder, index: usize, share: Share) -> BatchLoss {
        let (seed, negatives) = (self.seed, self.recipe.negatives);
        let all = self.batch(index);
        let real_tokens = all.iter().map(|(ids, _)| ids.len()).sum();
        // Every process draws for the whole batch: the softmax is the same, however it is cut.
        let mut targets = Vec::new();
        let mut learned = Vec::new();
        for (text, prompt) in all {
            let positions = learned_positions(*prompt, text.len());
            learned.push(targets.len()..targets.len() + positions.len());
            targets.extend(positions.map(|position| text[position + 1]));
        }
        let seed = seed ^ (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut sampled = SampledVocabulary::draw(&targets, negatives, decoder.vocabulary, seed);
        let rows: Vec<usize> = share.rows(all.len()).collect();
        let tokens = rows.iter().map(|&row| all[row].0.len()).fold(0, usize::max);
        let mut ids = Vec::with_capacity(rows.len() * tokens);
        let (mut positions, mut own_targets) = (Vec::new(), Vec::new());
        for (place, &row) in rows.iter().enumerate() {
            let (text, prompt) = &all[row];
            let of_row = learned_positions(*prompt, text.len());
            positions.extend(of_row.map(|position| (place * tokens + position) as i64));
            own_targets.extend_from_slice(&sampled.targets[learned[row].clone()]);
            ids.extend_from_slice(text);
            ids.resize((place + 1) * tokens, END);
        }
        let own = (!rows.is_empty()).then(|| {
            let (own, all) = (own_targets.len(), targets.len());
            sampled.targets = own_targets;
            let hidden = decoder.hidden(&ids, [rows.len(), tokens], Some(&positions));
            share.of_mean(language_model_loss(decoder, &hidden, &sampled), own, all)
        });
        BatchLoss {
            own,
            tokens: real_tokens,
        }
    }
}

/// Positions whose next token is learned: from the prompt's last token to the text's last but one.
fn learned_positions(prompt: usize, length: usize) -> std::ops::Range<usize> {
    prompt - 1..length - 1
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::tokenizer::Tokenizer;
    use crate::recipe::{LocalGeneratorRecipe, PlayersRecipe, Recipe};

    fn game() -> (GameRecipe, TranslationRecipe) {
        let demo = include_str!("../../../recipes/demo.toml");
        let game = Recipe::parse(Path::new("r"), demo).unwrap().game.unwrap();
        let PlayersRecipe::Local { generator, .. } = &game.players else {
            panic!("the demo's generator runs here");
        };
        let LocalGeneratorRecipe::Own(own) = generator else {
            panic!("the demo's generator is its own");
        };
        let recipe = own.translation.clone();
        (game, recipe)
    }

    /// An instructed checkpoint whose template is `template`.
    fn instructed(template: &str, texts: &[&str]) -> PromptFormat {
        let folder = tempfile::tempdir().unwrap();
        let texts = texts.iter().copied().cycle().take(100);
        let tokenizer = Tokenizer::train(texts, 300).unwrap();
        let path = folder.path();
        tokenizer.save(&path.join("tokenizer.json")).unwrap();
        let config = serde_json::json!({
            "eos_token": "<|endoftext|>",
            "chat_template": template,
        });
        let config = config.to_string();
        std::fs::write(path.join("tokenizer_config.json"), config).unwrap();
        PromptFormat::of_checkpoint(path).unwrap()
    }

    fn pair(english: &str, text: &str) -> Pair {
        Pair {
            english: english.into(),
            lang: "de".into(),
            text: text.into(),
        }
    }

    #[test]
    fn an_instructed_generator_learns_to_answer_in_the_language_asked_for() {
        let (game, recipe) = game();
        let pairs = [pair("the soup is warm", "die Suppe ist warm")];
        let format = instructed(
            "[user]{{ messages[0].content }}[assistant]",
            &["the soup is warm", "die Suppe ist warm"],
        );
        let corpus = Corpus::default();
        let sides = (&game, &recipe);
        let stage = GeneratorStage::new(&corpus, &[], &pairs, &format, sides, 3);
        let mut stage = stage.unwrap();
        assert!(!stage.is_empty() && !stage.draws_only_long_texts());
        for (ids, prompt) in stage.batch(0) {
            let (asked, answer) = ids.split_at(*prompt);
            let asked = format.decode(asked);
            assert!(asked.contains("the soup is warm") && asked.contains("in German"));
            assert!(asked.ends_with("[assistant]"), "{asked}");
            let (end, answer) = answer.split_last().unwrap();
            assert_eq!(*end, format.end);
            assert_eq!(format.decode(answer), "die Suppe ist warm");
        }
        assert!(stage.take_failure().is_none());
    }

    #[test]
    fn a_text_that_a_template_fails_on_is_told() {
        let (game, recipe) = game();
        let pairs = [pair("cold soup", "kalte Suppe"), pair("tea", "Tee")];
        let format = instructed(
            "{% if 'cold' in messages[0].content %}{{ raise_exception('cold') }}{% endif %}\
             {{ messages[0].content }}",
            &["cold soup", "tea"],
        );
        let corpus = Corpus::default();
        let sides = (&game, &recipe);
        let stage = GeneratorStage::new(&corpus, &[], &pairs, &format, sides, 3);
        let mut stage = stage.unwrap();
        let rows = stage.batch(0).to_vec();
        let texts = rows
            .iter()
            .map(|(ids, prompt)| format.decode(&ids[*prompt..]));
        assert!(texts.into_iter().all(|text| text.starts_with("Tee")));
        let failure = stage.take_failure().unwrap().to_string();
        assert!(failure.contains("the chat template fails"), "{failure}");
    }
}
