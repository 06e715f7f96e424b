//! Which texts a learner sees: sampled rows, code-switched or not, with benign texts among them.
//!
//! The network and the linear teacher draw from the same distribution. A pool is a function of the
//! seed and its number.

use std::borrow::Cow;

use duoguard_eval::{HarmlessKind, HarmlessTexts, Part, Wrapper};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::data::crops::Crops;
use crate::data::distilled::Distilled;
use crate::data::lexicon::Lexicon;
use crate::data::row_sampler::RowSampler;
use crate::data::rows::{Corpus, ParallelRow, SeedRow};
pub(crate) use crate::data::training_text::{Target, TrainingText};
use crate::recipe::{ClassifierRecipe, Recipe};

/// Texts drawn at once. More are better to sort by length, and make batches less random.
pub(crate) const POOL_TEXTS: usize = 2048;
/// Texts that are joined into one at most.
const MOST_JOINED: usize = 4;

/// An endless sequence of texts.
pub(crate) struct Mixture<'a> {
    corpus: &'a Corpus,
    benign: &'a [ParallelRow],
    lexicon: Option<&'a Lexicon>,
    recipe: &'a ClassifierRecipe,
    /// Probability that another text follows a text.
    join: f64,
    /// Texts that words are cut out of; empty without a language head.
    crops: Crops<'a>,
    /// What is drawn besides where a teacher is asked; absent without one.
    distilled: Option<Distilled<'a>>,
    /// Pools of a pass, after which the same texts come again; absent: they never do.
    pass: Option<u64>,
    seed: u64,
    sampler: RowSampler,
    pools: u64,
}

impl<'a> Mixture<'a> {
    /// Draws from training rows and benign parallel texts; without a lexicon nothing is
    /// code-switched.
    pub(crate) fn new(
        corpus: &'a Corpus,
        benign: &'a [ParallelRow],
        lexicon: Option<&'a Lexicon>,
        recipe: &'a Recipe,
        seed: u64,
    ) -> Self {
        Self {
            corpus,
            benign,
            lexicon: lexicon.filter(|lexicon| lexicon.languages().len() > 0),
            crops: Crops::new(benign, recipe.classifier.language_head.as_ref()),
            recipe: &recipe.classifier,
            join: 0.0,
            distilled: None,
            pass: None,
            seed,
            sampler: RowSampler::new(corpus, &recipe.classifier.sampling, seed),
            pools: 0,
        }
    }

    /// The same mixture, with texts joined as the recipe says: most labelled texts are short, and
    /// what a guard reads is often long.
    pub(crate) fn with_joined_texts(self) -> Self {
        Self {
            join: self.recipe.sampling.join,
            ..self
        }
    }

    /// The same mixture, with another share of crops than the recipe says.
    pub(crate) fn with_crops(self, share: f64) -> Self {
        Self {
            crops: self.crops.with_share(share),
            ..self
        }
    }

    /// The same mixture for a teacher, whose texts come again after `pools` pools.
    pub(crate) fn for_teacher(self, distilled: Distilled<'a>, pools: usize) -> Self {
        Self {
            distilled: Some(distilled),
            pass: Some(pools as u64),
            ..self
        }
    }

    /// The generator of the random numbers that text `index` of pool `pool` uses.
    pub(crate) fn rng(&self, pool: u64, index: u64) -> ChaCha8Rng {
        let mut rng =
            ChaCha8Rng::seed_from_u64(self.seed ^ pool.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        rng.set_stream(index);
        rng
    }

    /// The next pool: its number and its texts, each made by `make`, on all cores.
    pub(crate) fn next_pool<T: Send>(
        &mut self,
        make: impl Fn(TrainingText<'a>) -> T + Sync,
    ) -> (u64, Vec<T>) {
        use rayon::prelude::*;
        let drawn = self.pools;
        self.pools += 1;
        let pool = self.pass.map_or(drawn, |pass| drawn % pass);
        if drawn > 0 && pool == 0 {
            // The next pass draws what the first one drew.
            self.sampler = RowSampler::new(self.corpus, &self.recipe.sampling, self.seed);
        }
        let rows: Vec<usize> = (0..POOL_TEXTS).map(|_| self.sampler.draw()).collect();
        let make = |index: usize, mut text: TrainingText<'a>| {
            text.index = pool as usize * POOL_TEXTS + index;
            if drawn != pool {
                // What is dropped of a text differs from pass to pass.
                text.rng = self.rng(drawn, index as u64);
            }
            make(text)
        };
        let texts = rows
            .par_iter()
            .enumerate()
            .map(|(index, &row)| {
                let mut rng = self.rng(pool, index as u64);
                let benign = self.recipe.sampling.benign_parallel;
                if let Some(text) = self.crop(&mut rng) {
                    return make(index, text);
                }
                if happens(self.recipe.sampling.harmless, &mut rng) {
                    return make(index, self.harmless(rng));
                }
                let mut text = if !self.benign.is_empty() && rng.random_bool(benign) {
                    self.benign(rng)
                } else {
                    self.labelled(&self.corpus.rows[row], rng)
                };
                let distilled = self.distilled.as_ref();
                if let Some(distilled) = distilled {
                    distilled.cut(&mut text);
                }
                for _ in 1..MOST_JOINED {
                    if !text.rng.random_bool(self.join) {
                        break;
                    }
                    let other = rows[text.rng.random_range(0..rows.len())];
                    let rng = text.rng.clone();
                    let mut other = self.labelled(&self.corpus.rows[other], rng);
                    if let Some(distilled) = distilled {
                        distilled.cut(&mut other);
                    }
                    text.append(other);
                }
                if let Some(distilled) = distilled {
                    distilled.bury(&mut text);
                }
                if happens(self.recipe.sampling.wrapped, &mut text.rng) {
                    let wrapper = Wrapper::ALL[text.rng.random_range(0..Wrapper::ALL.len())];
                    text.text = Cow::Owned(wrapper.wrap(&text.text));
                }
                make(index, text)
            })
            .collect();
        (drawn, texts)
    }

    /// A few words of a benign text, as often as the recipe says.
    fn crop(&self, rng: &mut ChaCha8Rng) -> Option<TrainingText<'a>> {
        let (row, text) = self.crops.draw(rng)?;
        Some(TrainingText {
            text: Cow::Borrowed(text),
            key: &row.group,
            target: Target::Safe,
            categories: 0,
            smoothing: self.recipe.label_smoothing as f32,
            language: Some(&row.lang),
            parts: Vec::new(),
            is_whole: true,
            index: 0,
            rng: rng.clone(),
        })
    }

    /// A harmless text that is unlike sentences, or in a chat template.
    fn harmless(&self, mut rng: ChaCha8Rng) -> TrainingText<'a> {
        let kinds: Vec<HarmlessKind> = HarmlessKind::all().collect();
        let kind = kinds[rng.random_range(0..kinds.len())];
        let mut texts = HarmlessTexts::of_kinds([kind], Part::Training, rng.random());
        let made = texts.next().expect("a kind has texts without end");
        TrainingText {
            text: Cow::Owned(made.text),
            key: "harmless",
            target: Target::Safe,
            categories: 0,
            smoothing: self.recipe.label_smoothing as f32,
            language: made.language,
            parts: Vec::new(),
            is_whole: true,
            index: 0,
            rng,
        }
    }

    fn benign(&self, mut rng: ChaCha8Rng) -> TrainingText<'a> {
        let distilled = self.distilled.as_ref();
        let (text, language, key) = match distilled.and_then(|d| d.sentence(&mut rng)) {
            Some((text, language)) => (text, language, text),
            None => {
                let row = &self.benign[rng.random_range(0..self.benign.len())];
                (row.text.as_str(), row.lang.as_str(), row.group.as_str())
            }
        };
        TrainingText {
            text: Cow::Borrowed(text),
            key,
            target: Target::Safe,
            categories: 0,
            smoothing: self.recipe.label_smoothing as f32,
            language: Some(language),
            parts: Vec::new(),
            is_whole: true,
            index: 0,
            rng,
        }
    }

    fn labelled(&self, row: &'a SeedRow, mut rng: ChaCha8Rng) -> TrainingText<'a> {
        let switched = self
            .lexicon
            .filter(|_| row.lang == "en")
            .and_then(|lexicon| {
                if !rng.random_bool(self.recipe.sampling.code_switch) {
                    return None;
                }
                let index = rng.random_range(0..lexicon.languages().len());
                let language = lexicon.languages().nth(index)?;
                Some(lexicon.code_switch(&row.text, language, &mut rng))
            });
        let smoothing = &self.recipe.sampling.source_smoothing;
        TrainingText {
            language: switched.is_none().then_some(&row.lang),
            text: switched.map_or(Cow::Borrowed(row.text.as_str()), Cow::Owned),
            key: row.key(),
            target: match (row.is_unsafe, row.categories) {
                (false, _) => Target::Safe,
                (true, 0) => Target::UnknownCategory,
                (true, _) => Target::Known,
            },
            categories: row.categories,
            smoothing: smoothing
                .get(&self.corpus.sources[row.source])
                .copied()
                .unwrap_or(self.recipe.label_smoothing) as f32,
            parts: Vec::new(),
            is_whole: true,
            index: 0,
            rng,
        }
    }
}

/// Whether something of this probability happens. Nothing is drawn where it never does: recipes
/// without it keep their random numbers.
fn happens(probability: f64, rng: &mut ChaCha8Rng) -> bool {
    probability > 0.0 && rng.random_bool(probability)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn made_up_rows_and_wrapped_texts_come_as_often_as_the_recipe_says() {
        let mini = include_str!("../../../recipes/mini-linear.toml");
        let mut recipe = Recipe::parse(Path::new("r"), mini).unwrap();
        let sampling = &mut recipe.classifier.sampling;
        sampling.code_switch = 0.0;
        sampling.benign_parallel = 0.0;
        let row = SeedRow {
            text: "bake the bread".into(),
            lang: "en".into(),
            is_unsafe: true,
            categories: 0,
            source: 0,
            group: None,
        };
        let corpus = Corpus {
            rows: vec![row],
            sources: vec!["s".into()],
        };
        let mut counts = |harmless, wrapped| {
            recipe.classifier.sampling.harmless = harmless;
            recipe.classifier.sampling.wrapped = wrapped;
            let mut mixture = Mixture::new(&corpus, &[], None, &recipe, 5);
            let (_, texts) = mixture.next_pool(|text| {
                let is_made_up = text.key == "harmless";
                assert!(is_made_up == (text.target == Target::Safe));
                assert!(is_made_up || text.text.contains("bake the bread"));
                (is_made_up, text.text.len() > "bake the bread".len())
            });
            let made_up = texts.iter().filter(|(made_up, _)| *made_up).count();
            let wrapped = texts
                .iter()
                .filter(|(made_up, long)| *long && !made_up)
                .count();
            (made_up, wrapped)
        };
        assert_eq!(counts(0.0, 0.0), (0, 0));
        let (made_up, wrapped) = counts(0.25, 0.5);
        assert!((440..580).contains(&made_up), "{made_up}");
        assert!((680..860).contains(&wrapped), "{wrapped}");
    }
}
