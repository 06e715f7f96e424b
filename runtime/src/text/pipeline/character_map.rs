//! SentencePiece's map of characters (`precompiled_charsmap`): what each becomes before the text is
//! split.

use data_encoding::BASE64;
use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation;

use super::aligned::Changed;

const IS_VALUE: u32 = 1 << 31;
const HAS_VALUE: u32 = 1 << 8;
/// Characters that stand together and have as many bytes are looked up one by one.
const MAX_CLUSTER_BYTES: usize = 6;

/// A tree of the bytes of characters, and the texts that they become.
///
/// The tree is a double array, as Darts-clone writes it. A unit that is no value has bit 31 unset;
/// its offset, in bits 10 to 30, is counted in 256 where bit 9 is set. The units of its children
/// are at its own place, exclusive-or the offset and the child's byte. Where bit 8 is set, the one
/// at the byte 0 is a value: the place of a text, which ends before a byte 0.
pub(in super::super) struct CharacterMap {
    units: Vec<u32>,
    texts: String,
}

impl CharacterMap {
    /// The map in a normalizer's JSON; `None` if it is another normalizer.
    pub(in super::super) fn read(normalizer: &Value) -> Option<Result<Self, String>> {
        let map = normalizer.as_object()?;
        let read = || {
            let encoded = map.get("precompiled_charsmap").and_then(Value::as_str);
            let bytes = BASE64.decode(encoded.unwrap_or_default().as_bytes());
            let bytes = bytes.map_err(|cause| format!("its precompiled_charsmap: {cause}"))?;
            Self::of(&bytes)
                .ok_or_else(|| "its precompiled_charsmap leads outside of itself".to_owned())
        };
        (map.get("type")? == "Precompiled").then(read)
    }

    /// The number of bytes of the tree, the tree, and behind it the texts, in UTF-8; `None` if any
    /// text would lead outside of it.
    fn of(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk()?;
        let size = u32::from_le_bytes(*size) as usize;
        let (tree, texts) = rest.split_at_checked(size / 4 * 4)?;
        let texts = std::str::from_utf8(texts).ok()?.to_owned();
        let (units, _) = tree.as_chunks();
        let units: Vec<u32> = units.iter().copied().map(u32::from_le_bytes).collect();
        let is_within = |(place, unit): (usize, &u32)| {
            let children = place ^ offset(*unit);
            let has_text = || units[children] & !IS_VALUE;
            unit & IS_VALUE != 0
                || (children | 0xff) < units.len()
                    && (unit & HAS_VALUE == 0 || texts.is_char_boundary(has_text() as usize))
        };
        let is_whole = units.first().is_some_and(|root| root & IS_VALUE == 0)
            && units.iter().enumerate().all(is_within);
        is_whole.then_some(Self { units, texts })
    }

    /// The text that characters become: that of the shortest of their beginnings that has one.
    fn find(&self, characters: &str) -> Option<&str> {
        let mut place = offset(self.units[0]);
        for byte in characters.bytes().take_while(|byte| *byte != 0) {
            place ^= usize::from(byte);
            let unit = self.units[place];
            if unit & (IS_VALUE | 0xff) != u32::from(byte) {
                return None;
            }
            place ^= offset(unit);
            if unit & HAS_VALUE != 0 {
                let text = &self.texts[(self.units[place] & !IS_VALUE) as usize..];
                return text.split('\0').next();
            }
        }
        None
    }

    /// What becomes of a text; `None` if it stays as it is.
    ///
    /// Characters that stand together are one where the map has them so, as SentencePiece's own
    /// tools do it.
    pub(super) fn apply(&self, text: &str) -> Option<Vec<Changed>> {
        let mut characters = Characters(Vec::with_capacity(text.len()));
        let mut is_changed = false;
        for cluster in text.graphemes(true) {
            let whole = (cluster.len() < MAX_CLUSTER_BYTES).then(|| self.find(cluster));
            if let Some(other) = whole.flatten() {
                is_changed = true;
                characters.replace(cluster, other);
                continue;
            }
            for (at, c) in cluster.char_indices() {
                let character = &cluster[at..at + c.len_utf8()];
                match self.find(character) {
                    Some(other) => {
                        is_changed = true;
                        characters.replace(character, other);
                    }
                    None => characters.0.push((c, 0)),
                }
            }
        }
        is_changed.then_some(characters.0)
    }
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}

struct Characters(Vec<Changed>);

impl Characters {
    /// As the crate `tokenizers` counts it: what goes is counted at the character before, and
    /// nowhere if there is none, so that places behind it are those of the characters before.
    fn replace(&mut self, part: &str, other: &str) {
        let (old, new) = (part.chars().count(), other.chars().count());
        let kept = other.chars().take(old).map(|c| (c, 0));
        let added = other.chars().skip(old).map(|c| (c, 1));
        self.0.extend(kept.chain(added));
        if let Some((_, change)) = self.0.last_mut() {
            *change -= old.saturating_sub(new) as isize;
        }
    }
}

#[cfg(test)]
pub(in crate::text) mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use tokenizers::normalizer::Range as Offsets;
    use tokenizers::normalizers::Precompiled;
    use tokenizers::{NormalizedString, Normalizer as _};

    use super::super::aligned::Aligned;
    use super::*;
    use crate::text::bundled;

    /// A map with these first units of 256, behind which are no texts but "é".
    pub(in crate::text) fn map(units: &[u32]) -> Vec<u8> {
        let mut all = vec![0_u32; 256];
        all[..units.len()].copy_from_slice(units);
        let mut bytes = 1024_u32.to_le_bytes().to_vec();
        bytes.extend(all.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend("é\0".as_bytes());
        bytes
    }

    /// "a" (97) becomes the text at `place`: its unit says so, and its children begin at
    /// 97 ^ 96 = 1.
    fn map_of_a(place: u32) -> Vec<u8> {
        let mut units = [0; 98];
        (units[97], units[1]) = (97 | 96 << 10 | HAS_VALUE, IS_VALUE | place);
        map(&units)
    }

    #[test]
    fn characters_are_replaced() {
        let made = CharacterMap::of(&map_of_a(0)).unwrap();
        assert_eq!(made.apply("ab").unwrap(), [('é', 0), ('b', 0)]);
        assert_eq!(made.apply("b"), None);
    }

    #[test]
    fn a_map_that_leads_outside_is_refused() {
        let is_whole = |bytes: &[u8]| CharacterMap::of(bytes).is_some();
        assert!(is_whole(&map(&[])) && is_whole(&map_of_a(0)) && is_whole(&map_of_a(3)));
        // Inside "é", and behind all texts.
        assert!(!is_whole(&map_of_a(1)) && !is_whole(&map_of_a(4)));
        // Children at 256; a value in place of the first unit; fewer units than children.
        for bytes in [
            map(&[256 << 10]),
            map(&[IS_VALUE]),
            map(&[])[..804].to_vec(),
        ] {
            assert!(!is_whole(&bytes));
        }
        let short = [&800_u32.to_le_bytes(), &map(&[])[4..]].concat();
        for bytes in [&[][..], &[1, 0], &[0; 4], &short] {
            assert!(!is_whole(bytes), "{bytes:?}");
        }
    }

    /// The map of the base model, ours and the crate's.
    static OF_BASE: LazyLock<(CharacterMap, Precompiled)> = LazyLock::new(|| {
        let file: Value = serde_json::from_slice(&bundled("base")).unwrap();
        let normalizer = &file["normalizer"]["normalizers"][0];
        let expected = serde_json::from_str(&normalizer.to_string()).unwrap();
        (CharacterMap::read(normalizer).unwrap().unwrap(), expected)
    });

    fn agree(found: &CharacterMap, expected: &Precompiled, text: &str) {
        let mut made = Aligned::new(text);
        if let Some(characters) = found.apply(text) {
            made.change(characters);
        }
        let mut whole = NormalizedString::from(text);
        expected.normalize(&mut whole).unwrap();
        assert_eq!(made.text(), whole.get(), "{text:?}");
        for (at, c) in made.text().char_indices() {
            let bytes = at..at + c.len_utf8();
            let place = whole.convert_offsets(Offsets::Normalized(bytes.clone()));
            assert_eq!(Some(made.place(bytes)), place, "{at} of {text:?}");
        }
    }

    #[test]
    fn every_character_becomes_what_the_crate_makes_of_it() {
        let (found, expected) = &*OF_BASE;
        for c in '\0'..=char::MAX {
            agree(found, expected, &format!("{c}a{c}\u{301}{c}{c}e\u{301}"));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_text_becomes_what_the_crate_makes_of_it(
            text in "([a\r\n\u{1}\u{7f}\u{200b}\u{200d}\u{301}\u{3099}™ﬁｶﾞ①ﷺ가각👨👩🇩🇪]|\\PC){0,20}",
        ) {
            agree(&OF_BASE.0, &OF_BASE.1, &text);
        }
    }
}
