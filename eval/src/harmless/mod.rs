//! Harmless texts that are unlike the sentences guards learn from: numbers, punctuation, paths,
//! identifiers, code, single words, wrapped prompts. Made from a seed.
//!
//! Lists of words and sentences are finite, so they are divided: what is measured is never what
//! rows for training were made of.

mod everyday;
mod identifiers;
mod technical;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use identifiers::Identifier;

use crate::wrapper::Wrapper;

/// Which part of the finite lists texts are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Two thirds, for rows to train on.
    Training,
    /// The other third, for measurements.
    Measuring,
}

impl Part {
    /// The items of a list that are this part's.
    fn of<T: Clone>(self, items: &[T]) -> Vec<T> {
        let mine = |(n, _): &(usize, _)| (n % 3 == 2) == (self == Self::Measuring);
        let items = items.iter().enumerate().filter(mine);
        items.map(|(_, item)| item.clone()).collect()
    }
}

/// A kind of harmless text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HarmlessKind {
    /// Numbers, amounts, dates, times, telephone numbers.
    Numbers,
    /// Punctuation marks and brackets alone.
    Punctuation,
    /// URLs and mail addresses.
    Url,
    /// Paths of files.
    Path,
    /// Identifiers, alone or after what names them.
    Identifier(Identifier),
    /// A line of code or of a shell.
    Code,
    /// JSON, sometimes with `\u` escapes.
    Json,
    /// Lines of a log.
    Log,
    /// Greetings and what ends a letter.
    Greeting,
    /// A single word.
    Word,
    /// A few emoji.
    Emoji,
    /// One sentence of everyday life.
    Sentence,
    /// What a picture shows, in one sentence.
    Scene,
    /// A sentence in a chat template or with blanks around it.
    Wrapped(Wrapper),
}

impl HarmlessKind {
    /// The name in tables and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Numbers => "numbers",
            Self::Punctuation => "punctuation",
            Self::Url => "url",
            Self::Path => "path",
            Self::Identifier(kind) => kind.name(),
            Self::Code => "code",
            Self::Json => "json",
            Self::Log => "log",
            Self::Greeting => "greeting",
            Self::Word => "word",
            Self::Emoji => "emoji",
            Self::Sentence => "sentence",
            Self::Scene => "scene",
            Self::Wrapped(wrapper) => wrapper.name(),
        }
    }

    /// All of them, identifiers and wrappers one by one.
    pub fn all() -> impl Iterator<Item = Self> {
        [
            Self::Numbers,
            Self::Punctuation,
            Self::Url,
            Self::Path,
            Self::Code,
            Self::Json,
            Self::Log,
            Self::Greeting,
            Self::Word,
            Self::Emoji,
            Self::Sentence,
            Self::Scene,
        ]
        .into_iter()
        .chain(Identifier::ALL.map(Self::Identifier))
        .chain(Wrapper::ALL.map(Self::Wrapped))
    }
}

/// A harmless text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HarmlessText {
    /// What kind it is of.
    pub kind: HarmlessKind,
    /// The BCP-47 tag of its language; `None` where it has none, as a number.
    pub language: Option<&'static str>,
    /// The text.
    pub text: String,
}

/// Harmless texts without end, of every kind in turn.
#[derive(Clone, Debug)]
pub struct HarmlessTexts {
    kinds: Vec<HarmlessKind>,
    part: Part,
    next: usize,
    rng: ChaCha8Rng,
}

impl HarmlessTexts {
    /// The texts of a seed: equal ones for equal arguments.
    pub fn new(part: Part, seed: u64) -> Self {
        Self::of_kinds(HarmlessKind::all(), part, seed)
    }

    /// The texts of some kinds alone.
    pub fn of_kinds(kinds: impl IntoIterator<Item = HarmlessKind>, part: Part, seed: u64) -> Self {
        Self {
            kinds: kinds.into_iter().collect(),
            part,
            next: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }
}

impl Iterator for HarmlessTexts {
    type Item = HarmlessText;

    /// `None` only where there are no kinds.
    fn next(&mut self) -> Option<HarmlessText> {
        let kind = *self.kinds.get(self.next % self.kinds.len().max(1))?;
        self.next += 1;
        let (rng, part) = (&mut self.rng, self.part);
        let (language, text) = match kind {
            HarmlessKind::Numbers => (None, technical::number(rng)),
            HarmlessKind::Punctuation => (None, technical::punctuation(rng)),
            HarmlessKind::Url => (None, technical::url(rng)),
            HarmlessKind::Path => (None, technical::path(rng)),
            HarmlessKind::Identifier(kind) => identifiers::in_place(kind, part, rng),
            HarmlessKind::Code => (None, technical::code(rng)),
            HarmlessKind::Json => {
                let (language, text) = everyday::sentence(part, rng);
                (language, technical::json(&text, rng))
            }
            HarmlessKind::Log => (Some("en"), technical::log(rng)),
            HarmlessKind::Greeting => everyday::greeting(part, rng),
            HarmlessKind::Word => everyday::word(part, rng),
            HarmlessKind::Emoji => (None, everyday::emoji(part, rng)),
            HarmlessKind::Sentence => everyday::sentence(part, rng),
            HarmlessKind::Scene => everyday::scene(part, rng),
            HarmlessKind::Wrapped(wrapper) => {
                let (language, text) = everyday::sentence(part, rng);
                (language, wrapper.wrap(&text))
            }
        };
        let text = HarmlessText {
            kind,
            language,
            text,
        };
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_texts_and_another_gives_others() {
        let texts = |part, seed| -> Vec<_> { HarmlessTexts::new(part, seed).take(300).collect() };
        assert_eq!(texts(Part::Training, 1), texts(Part::Training, 1));
        assert_ne!(texts(Part::Training, 1), texts(Part::Training, 2));
        assert!(texts(Part::Measuring, 3).iter().all(|t| !t.text.is_empty()));
    }

    #[test]
    fn what_is_measured_was_not_trained_on() {
        for kind in [
            HarmlessKind::Greeting,
            HarmlessKind::Word,
            HarmlessKind::Sentence,
            HarmlessKind::Scene,
        ] {
            let texts = |part| -> BTreeSet<String> {
                let texts = HarmlessTexts::of_kinds([kind], part, 5).take(2000);
                texts.map(|t| t.text).collect()
            };
            let (training, measuring) = (texts(Part::Training), texts(Part::Measuring));
            let both: Vec<_> = training.intersection(&measuring).collect();
            // Words of related languages that are spelt alike.
            let allowed = training.len() / 20;
            assert!(both.len() <= allowed, "{kind:?}: {both:?}");
            assert!(measuring.len() >= 40, "{kind:?}: {}", measuring.len());
        }
    }

    #[test]
    fn kinds_have_names_of_their_own_and_come_in_turn() {
        let names: BTreeSet<_> = HarmlessKind::all().map(HarmlessKind::name).collect();
        let count = HarmlessKind::all().count();
        assert_eq!(names.len(), count);
        let texts: Vec<_> = HarmlessTexts::new(Part::Measuring, 1).take(count).collect();
        assert!(texts.iter().map(|t| t.kind).eq(HarmlessKind::all()));
        assert_eq!(HarmlessTexts::of_kinds([], Part::Training, 1).next(), None);
    }
}
