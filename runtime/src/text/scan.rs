//! One quick look at a text: which disguises it could hold at all, and where. Most text holds none,
//! and nothing else is done to it.

mod hints;
mod mixed;
#[cfg(test)]
mod reference;
mod runs;
mod words;

pub(super) use self::hints::{Hints, Leet, MIN_HEX_PAIRS, MIN_SPELT};
use self::mixed::Mixed;
use self::runs::Run;
use self::words::Words;
use super::bits::each;
use super::block::blocks;
use super::class;
use super::part::{found_again, parts};
use super::rewrite::Edits;
use super::rotated::Sentences;

impl Leet {
    /// What the text that was edited may hold.
    pub(super) fn after(&self, text: &str, edits: &Edits) -> Self {
        let Some(parts) = parts(text, edits) else {
            return scan(edits.text()).leet;
        };
        let mut leet = Self {
            places: None,
            ..*self
        };
        let mut are_many = false;
        let places = self.places.as_deref().unwrap_or_default();
        let places = found_again(places, &parts, |part, places| {
            let before = scan(&text[part.before.clone()]).leet;
            let now = scan(&edits.text()[part.after.clone()]).leet;
            leet.seen = leet.seen + now.seen - before.seen;
            leet.lettered = leet.lettered + now.lettered - before.lettered;
            // There are no fewer than there are counted, but there may be.
            leet.mixed += now.mixed;
            match now.places {
                Some(now) => places.extend(now),
                None => are_many = true,
            }
        });
        leet.places = Some(places).filter(|_| self.places.is_some() && !are_many);
        leet
    }
}

/// Looks at every character once.
pub(super) fn scan(text: &str) -> Hints {
    let mut hints = Hints {
        leet: Leet {
            places: Some(Vec::new()),
            ..Leet::default()
        },
        ..Hints::default()
    };
    let (mut words, mut mixed) = (Words::default(), Mixed::default());
    let (mut run, mut sentences) = (Run::default(), Sentences::default());
    for block in blocks(text) {
        let sets = block.sets;
        hints.seen |= block.seen;
        hints.ascii_letters |= sets.letters != 0;
        mixed.add(&block, &sets, words.cells > 0, &mut hints.leet);
        words.add(text, &block, &sets, &mut hints);
        run.add(
            &block,
            sets.letters | sets.digits | sets.symbols,
            &mut hints.runs,
        );
        sentences.add(text, &block);
        each(sets.rare, |index| {
            let rare = &text.as_bytes()[block.start + index..];
            hints.escaped |= starts_escape(rare);
            hints.seen |= class::of(char::from(rare[0])).flags();
        });
    }
    mixed.end(&mut hints.leet);
    words.end_word(text, text.len(), &mut hints);
    run.end(&mut hints.runs);
    hints.rotated = sentences.finish(text);
    hints
}

/// Whether an escape of a character may begin here.
pub(super) fn starts_escape(bytes: &[u8]) -> bool {
    match bytes {
        [b'%', a, b, ..] => a.is_ascii_hexdigit() && b.is_ascii_hexdigit(),
        [b'\\', b'x' | b'u' | b'U', ..] | [b'&', b'#', ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::bits::SIZE;
    use super::super::rotated::{Rotated, rotated};
    use super::*;

    /// No hint; the counts of words and letters, and where one may be in leet if any is, are no
    /// hints by themselves.
    fn none(hints: &Hints) -> Hints {
        Hints {
            leet: Leet {
                seen: 0,
                ..hints.leet.clone()
            },
            rotated: Rotated {
                starts: Vec::new(),
                all: hints.rotated.all,
            },
            ..Hints::default()
        }
    }

    #[test]
    fn ordinary_text_gives_no_hints() {
        for text in [
            "How do I bake bread at home? I have flour, water and salt!",
            "In 1945 there were 12 of them; see page 34.",
            "Mr. J. R. Smith",
            "Wow!!! Really?",
            "items.map(|item| !item + offset) || !x",
        ] {
            let hints = scan(text);
            let expected = Hints {
                ascii_letters: true,
                ..none(&hints)
            };
            assert_eq!(hints, expected, "{text}");
            assert!(!hints.any(), "{text}");
        }
        assert_eq!(scan(""), none(&scan("")));
    }

    #[test]
    fn each_hint_is_given() {
        assert!(scan("b a k e").spelt);
        assert!(scan("b.a.k.e.").spelt);
        assert!(scan("х л е б").spelt);
        for word in ["b4ke", "br3ad", "p@stry", "@bout", "b!!l", "k|d"] {
            assert_eq!(scan(word).leet.seen, 1, "{word}");
        }
        assert_eq!(scan("is aG93IHRvIGJha2Uh").runs, [3]);
        assert!(scan("62 61 6b 65 62 61").hex_pairs);
        assert!(scan("b%61ke").escaped && scan("&#98;").escaped && scan("\\x62").escaped);
        assert!(scan("Ubj qb V onxr oernq ng ubzr").rotated.any());
        assert!(scan("Jve onpxra Oebg").rotated.any());
        let is_rotated = |text| rotated(text).any();
        assert!(is_rotated("I bake. Ubj qb V onxr oernq") && !is_rotated("I bake bread at home."));
        assert!(scan("b\u{200b}ake").seen & class::INVISIBLE != 0);
        assert!(scan("b\u{8}ake").seen & class::INVISIBLE != 0);
    }

    proptest! {
        #[test]
        fn characters_are_seen_alike_by_the_block_and_one_by_one(
            text in "([a-e0-9 .!|@$+/é中т½\u{200b}\u{301}€%&#\\\\x\n-]|[a-e]{2,9}|\
                     [a-f0-9]{2}[ :,]|[a-z] |gur |\\PC){0,150}",
        ) {
            let mut hints = scan(&text);
            prop_assert_eq!(&rotated(&text), &hints.rotated);
            let mut expected = reference::scan(&text);
            // Places are told only where they are few, and mixed words are counted by blocks alone.
            if hints.leet.places.is_none() {
                let places = expected.leet.places.take();
                prop_assert!(places.is_some_and(|places| places.len() > SIZE));
            }
            hints.leet.mixed = 0;
            prop_assert_eq!(hints, expected);
        }
    }
}
