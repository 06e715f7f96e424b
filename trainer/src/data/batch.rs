//! From labelled texts to the batches that the classifier trains on.
//!
//! A batch is a function of the seed and its number alone: that is what makes a resumed
//! run equal to one that was never stopped.

use rand::RngExt;
use rand::seq::SliceRandom;

use crate::data::mixture::{Mixture, Target, TrainingText};
use crate::data::rows::CATEGORIES;
use crate::data::tokenizer::{END, Tokenizer};
use crate::distill::answers::Answers;
use crate::distributed::Share;
use crate::model::teacher::Teacher;
use crate::recipe::{ClassifierRecipe, Recipe};

/// A batch of labelled rows, padded on the right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Batch {
    /// `[B x T]` token ids.
    pub ids: Vec<i32>,
    /// T.
    pub tokens: usize,
    /// `[B]` real tokens of each row, at least 1.
    pub lengths: Vec<i32>,
    /// `[B x 12]`, 1 where the category is known to apply.
    pub labels: Vec<f32>,
    /// `[B]` what each label says.
    pub targets: Vec<Target>,
    /// `[B]` label smoothing.
    pub smoothing: Vec<f32>,
    /// `[B]` the teacher's probability of "unsafe"; 0 without a teacher.
    pub teacher_probabilities: Vec<f32>,
    /// `[B x 12]` the logits of a distilled teacher; empty without one.
    pub answers: Vec<f32>,
    /// `[B x width]` the states of a distilled teacher; empty where they are not learned.
    pub states: Vec<f32>,
    /// `[B]` whether the label is that of the whole row, and not of a longer text.
    pub is_whole: Vec<bool>,
    /// `[B]` the language's number in the language head; absent where it is not known, or no
    /// language of the head.
    pub languages: Vec<Option<usize>>,
    /// Sum of `lengths`.
    pub real_tokens: usize,
}

impl Batch {
    /// Rows whose language is one of the language head's.
    pub(crate) fn in_known_language(&self) -> usize {
        self.languages.iter().flatten().count()
    }

    /// The rows of a share, padded to the longest of them.
    pub(crate) fn part(self, share: Share) -> Self {
        if share == Share::All {
            return self;
        }
        let rows: Vec<usize> = share.rows(self.lengths.len()).collect();
        let length = |row: usize| self.lengths[row] as usize;
        let tokens = rows.iter().map(|&row| length(row)).fold(0, usize::max);
        let cut = |values: &[f32], width: usize| -> Vec<f32> {
            let of_row = |&row: &usize| &values[row * width..][..width];
            rows.iter().flat_map(of_row).copied().collect()
        };
        let ids = |&row: &usize| &self.ids[row * self.tokens..][..tokens];
        Self {
            ids: rows.iter().flat_map(ids).copied().collect(),
            tokens,
            lengths: rows.iter().map(|&row| self.lengths[row]).collect(),
            labels: cut(&self.labels, CATEGORIES.len()),
            targets: rows.iter().map(|&row| self.targets[row]).collect(),
            smoothing: cut(&self.smoothing, 1),
            teacher_probabilities: cut(&self.teacher_probabilities, 1),
            answers: match self.answers.is_empty() {
                true => Vec::new(),
                false => cut(&self.answers, CATEGORIES.len()),
            },
            states: cut(&self.states, self.states.len() / self.lengths.len().max(1)),
            is_whole: rows.iter().map(|&row| self.is_whole[row]).collect(),
            languages: rows.iter().map(|&row| self.languages[row]).collect(),
            real_tokens: rows.iter().map(|&row| length(row)).sum(),
        }
    }
}

/// One row on its way into a batch.
struct Example<'t> {
    ids: Vec<i32>,
    categories: u16,
    target: Target,
    smoothing: f32,
    teacher_probability: f32,
    answer: &'t [f32],
    state: &'t [f32],
    is_whole: bool,
    language: Option<usize>,
}

/// Whose opinion of a text joins its label.
#[derive(Clone, Copy)]
pub(crate) enum Opinion<'t> {
    /// Nobody's.
    None,
    /// That of the linear teacher.
    Linear(&'t Teacher),
    /// What a larger guard answered.
    Answers(&'t Answers),
}

impl<'t> Opinion<'t> {
    /// That of the linear teacher, where there is one.
    pub(crate) fn of_linear(teacher: Option<&'t Teacher>) -> Self {
        teacher.map_or(Self::None, Self::Linear)
    }
}

/// Batches of the classifier stage.
pub(crate) struct Batcher<'a> {
    mixture: Mixture<'a>,
    opinion: Opinion<'a>,
    tokenizer: &'a Tokenizer,
    recipe: &'a ClassifierRecipe,
    first: usize,
    batches: Vec<Batch>,
}

impl<'a> Batcher<'a> {
    /// A batcher over the texts of `mixture`, and what a teacher thinks of them.
    pub(crate) fn new(
        mixture: Mixture<'a>,
        opinion: Opinion<'a>,
        tokenizer: &'a Tokenizer,
        recipe: &'a Recipe,
    ) -> Self {
        Self {
            mixture,
            opinion,
            tokenizer,
            recipe: &recipe.classifier,
            first: 0,
            batches: Vec::new(),
        }
    }

    /// Batch number `index`. Numbers must not go down: pools are made one after the other.
    pub(crate) fn batch(&mut self, index: usize) -> Batch {
        while index >= self.first + self.batches.len() {
            self.first += self.batches.len();
            self.batches = self.next_pool();
        }
        self.batches[index - self.first].clone()
    }

    /// A pool of texts, sorted by length, cut into batches, and the batches shuffled.
    fn next_pool(&mut self) -> Vec<Batch> {
        let (opinion, tokenizer, recipe) = (self.opinion, self.tokenizer, self.recipe);
        let (pool, mut examples) = self
            .mixture
            .next_pool(|text| example(text, opinion, tokenizer, recipe));
        examples.retain(|example| !example.ids.is_empty());
        examples.sort_by_key(|example| example.ids.len());
        let mut batches = self.cut(&examples);
        batches.shuffle(&mut self.mixture.rng(pool, u64::MAX));
        batches
    }

    /// Cuts examples sorted by length into batches of at most `batch_tokens`, padding included.
    fn cut(&self, examples: &[Example<'_>]) -> Vec<Batch> {
        let mut batches = Vec::new();
        let mut start = 0;
        for end in 1..=examples.len() {
            let full = end == examples.len()
                || (end + 1 - start) * examples[end].ids.len() > self.recipe.batch_tokens;
            if full {
                batches.push(pad(&examples[start..end]));
                start = end;
            }
        }
        batches
    }
}

/// A random window of a text with some of its tokens dropped, and what a teacher thinks of the
/// window. A larger guard has answered for the whole text: one that does not fit in a window is
/// left without tokens.
fn example<'t>(
    mut text: TrainingText<'_>,
    opinion: Opinion<'t>,
    tokenizer: &Tokenizer,
    recipe: &ClassifierRecipe,
) -> Example<'t> {
    let ids = tokenizer.encode(&text.text);
    let length = ids.len().min(recipe.window_tokens);
    let start = text.rng.random_range(0..=ids.len() - length);
    let mut window = &ids[start..start + length];
    let nothing = &[][..];
    let (teacher_probability, answer, state) = match opinion {
        Opinion::None => (0.0, nothing, nothing),
        Opinion::Linear(teacher) if length == ids.len() => {
            (teacher.probability(&text.text, text.key), nothing, nothing)
        }
        Opinion::Linear(teacher) => {
            let window = tokenizer.decode(window);
            (teacher.probability(&window, text.key), nothing, nothing)
        }
        Opinion::Answers(answers) => {
            if length < ids.len() {
                window = &[];
            }
            (0.0, answers.logits(text.index), answers.state(text.index))
        }
    };
    let language = text.language.and_then(|language| {
        let mut languages = recipe.language_head.iter().flat_map(|head| &head.languages);
        languages.position(|l| l == language)
    });
    let ids = window
        .iter()
        .map(|&id| match text.rng.random_bool(recipe.token_dropout) {
            true => END,
            false => id as i32,
        });
    let ids = match window.is_empty() {
        true => Vec::new(),
        false => tokenizer.window(ids),
    };
    Example {
        language,
        ids,
        categories: text.categories,
        target: text.target,
        smoothing: text.smoothing,
        teacher_probability,
        answer,
        state,
        is_whole: text.is_whole,
    }
}

fn pad(examples: &[Example<'_>]) -> Batch {
    let lengths = examples.iter().map(|example| example.ids.len());
    let tokens = lengths.fold(0, usize::max);
    let mut batch = Batch {
        ids: Vec::with_capacity(tokens * examples.len()),
        tokens,
        lengths: vec![],
        labels: vec![],
        targets: vec![],
        smoothing: vec![],
        teacher_probabilities: vec![],
        answers: vec![],
        states: vec![],
        is_whole: vec![],
        languages: vec![],
        real_tokens: 0,
    };
    for example in examples {
        batch.ids.extend_from_slice(&example.ids);
        batch
            .ids
            .resize(batch.ids.len() + tokens - example.ids.len(), END);
        batch.lengths.push(example.ids.len() as i32);
        batch
            .labels
            .extend((0..CATEGORIES.len()).map(|bit| f32::from(example.categories >> bit & 1 == 1)));
        batch.targets.push(example.target);
        batch.smoothing.push(example.smoothing);
        batch
            .teacher_probabilities
            .push(example.teacher_probability);
        batch.answers.extend_from_slice(example.answer);
        batch.states.extend_from_slice(example.state);
        batch.is_whole.push(example.is_whole);
        batch.languages.push(example.language);
        batch.real_tokens += example.ids.len();
    }
    batch
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::data::rows::{Corpus, SeedRow};

    fn setting() -> (Corpus, Tokenizer, Recipe) {
        let mut recipe = Recipe::parse(
            Path::new("r"),
            include_str!("../../../recipes/mini-linear.toml"),
        )
        .unwrap();
        recipe.classifier.window_tokens = 16;
        recipe.classifier.batch_tokens = 200;
        let rows: Vec<SeedRow> = (0..60)
            .map(|i| SeedRow {
                text: "warm soup and bread ".repeat(1 + i % 7),
                lang: "en".into(),
                is_unsafe: i % 2 == 0,
                categories: if i % 4 == 0 { 1 << 8 } else { 0 },
                source: 0,
                group: None,
            })
            .collect();
        let tokenizer = Tokenizer::train(rows.iter().map(|r| r.text.as_str()), 270).unwrap();
        (
            Corpus {
                rows,
                sources: vec!["s".into()],
            },
            tokenizer,
            recipe,
        )
    }

    #[test]
    fn a_fresh_batcher_makes_the_same_batches_from_any_start() {
        let (corpus, tokenizer, recipe) = setting();
        let mixture = || Mixture::new(&corpus, &[], None, &recipe, recipe.seed);
        let mut whole = Batcher::new(mixture(), Opinion::None, &tokenizer, &recipe);
        let all: Vec<Batch> = (0..400).map(|index| whole.batch(index)).collect();
        let mut resumed = Batcher::new(mixture(), Opinion::None, &tokenizer, &recipe);
        for index in [173, 174, 399] {
            assert_eq!(resumed.batch(index), all[index]);
        }
        for batch in &all {
            assert!(batch.ids.len() <= 200 && batch.tokens <= 16);
            assert_eq!(batch.ids.len(), batch.tokens * batch.lengths.len());
            for (row, target) in batch.targets.iter().enumerate() {
                let known =
                    batch.labels[row * CATEGORIES.len()..][..CATEGORIES.len()].contains(&1.0);
                assert_eq!(known, *target == Target::Known);
            }
        }
    }
}
