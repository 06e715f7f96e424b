//! What a generator is asked for: the kinds of proposals, and one text that is wanted.

use crate::recipe::ProposalKind;

/// The registers that a text is rewritten in, as a generator is told of them.
const REGISTERS: [&str; 6] = [
    "a hurried chat message with small mistakes",
    "a formal letter",
    "a post in an internet forum",
    "a polite question to an assistant",
    "a line that someone says in a story",
    "a short note in everyday words",
];

/// The place of plain words among [`REGISTERS`].
const EVERYDAY_WORDS: usize = 5;

/// A text that is wanted of a generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The English text that inspires it.
    pub seed_text: &'a str,
    /// The seed's label.
    pub seed_is_unsafe: bool,
    /// Bit i is set when category i of the 12 applies to the seed.
    pub categories: u16,
    /// The language to write in.
    pub language: &'a str,
    /// What it is to be.
    pub kind: ProposalKind,
    /// Chooses the register of [`ProposalKind::Register`].
    pub register: usize,
}

impl<'a> Wanted<'a> {
    /// A prompt with its seed's label, whose categories nobody asks for.
    pub(crate) fn prompt(seed_text: &'a str, language: &'a str, is_unsafe: bool) -> Self {
        Self {
            seed_text,
            seed_is_unsafe: is_unsafe,
            categories: 0,
            language,
            kind: ProposalKind::Prompt,
            register: 0,
        }
    }

    /// The text itself in another language: of all that can be asked for, the same wish in
    /// everyday words is nearest to that.
    pub(crate) fn translation(seed_text: &'a str, language: &'a str, is_unsafe: bool) -> Self {
        Self {
            kind: ProposalKind::Register,
            register: EVERYDAY_WORDS,
            ..Self::prompt(seed_text, language, is_unsafe)
        }
    }

    /// The label that the text is to have.
    pub(crate) fn is_unsafe(&self) -> bool {
        self.kind.is_unsafe(self.seed_is_unsafe)
    }

    /// The register, in words.
    pub(crate) fn register_name(&self) -> &'static str {
        REGISTERS[self.register % REGISTERS.len()]
    }

    /// One text of every kind, label, language and register, of a seed without words: whatever a
    /// generator can be told.
    pub(crate) fn every(languages: &'a [String]) -> impl Iterator<Item = Self> {
        let labels = [false, true];
        let of_kind = move |language: &'a str, kind: ProposalKind, register| {
            let labels = labels.into_iter().filter(move |&l| kind.applies_to(l));
            labels.map(move |seed_is_unsafe| Self {
                seed_text: "",
                seed_is_unsafe,
                categories: 0,
                language,
                kind,
                register,
            })
        };
        languages.iter().flat_map(move |language| {
            ProposalKind::ALL.into_iter().flat_map(move |kind| {
                let registers = match kind {
                    ProposalKind::Register => REGISTERS.len(),
                    _ => 1,
                };
                (0..registers).flat_map(move |register| of_kind(language, kind, register))
            })
        })
    }
}

impl ProposalKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 4] = [Self::Prompt, Self::Twin, Self::Response, Self::Register];

    /// Whether a seed of this label can have a proposal of this kind: only what is harmful has a
    /// harmless twin.
    pub(crate) fn applies_to(self, seed_is_unsafe: bool) -> bool {
        self != Self::Twin || seed_is_unsafe
    }

    /// The label of a proposal of this kind, given its seed's.
    pub(crate) fn is_unsafe(self, seed_is_unsafe: bool) -> bool {
        self != Self::Twin && seed_is_unsafe
    }

    /// Whether a proposal is about as long as its seed: an answer need not be.
    pub(crate) fn keeps_length(self) -> bool {
        self != Self::Response
    }

    /// For people to read.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Twin => "harmless twin",
            Self::Response => "response",
            Self::Register => "other register",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmful_seeds_have_twins_and_twins_are_harmless() {
        for kind in ProposalKind::ALL {
            assert!(kind.applies_to(true), "{kind:?}");
            assert_eq!(kind.applies_to(false), kind != ProposalKind::Twin);
            assert!(!kind.is_unsafe(false), "{kind:?}");
            assert_eq!(kind.is_unsafe(true), kind != ProposalKind::Twin);
        }
        let languages = ["de".to_owned(), "en".to_owned()];
        // Of each language: 2 prompts, 1 twin, 2 responses, 6 registers of 2 labels.
        assert_eq!(Wanted::every(&languages).count(), 2 * (2 + 1 + 2 + 12));
    }
}
