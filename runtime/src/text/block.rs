//! Up to 64 bytes of a text as sets of bits, so that [`scan`](super::scan) asks a question of all
//! of them at once.
//!
//! A processor cannot foresee where words end, and a loop over characters mostly waits for that.
//! Sets have no such branches.
//!
//! Examples show a text and its sets byte by byte from the left, `x` for a byte that is in the set.

use super::bits::{SIZE, count, each};
use super::class::{self, CASED, Class, NUMBER};
use super::sentence::{WEIGHTS, is_stop};

/// Of a block with so many bytes outside ASCII all characters are read; of others, only those that
/// are not of ASCII.
const MOST: usize = 48;

const ALPHABETIC: u8 = 1;
const DIGIT: u8 = 1 << 1;
const SIGN: u8 = 1 << 2;
const SYMBOL: u8 = 1 << 3;
const STOP: u8 = 1 << 4;
const RARE: u8 = 1 << 5;
const OPENING: u8 = 1 << 6;

/// What a byte may be part of, and what it weighs as a letter.
static BYTES: [(u8, i8); 256] = {
    let mut bytes = [(0, 0); 256];
    let mut byte = 0;
    while byte < bytes.len() {
        let kind = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => ALPHABETIC,
            b'0'..=b'9' => DIGIT,
            b'+' => SIGN | SYMBOL,
            b'/' | b'-' | b'_' => SYMBOL,
            b'@' | b'$' => SIGN | OPENING,
            b'!' | b'|' => SIGN,
            b' ' | b'\t' | b'\r' | 0x0b | 0x0c => 0,
            stop if is_stop(stop) => STOP,
            b'%' | b'\\' | b'&' | 0..0x20 | 0x7f => RARE,
            _ => 0,
        };
        bytes[byte] = (kind, WEIGHTS[byte]);
        byte += 1;
    }
    bytes
};

/// Up to 64 bytes: whole characters.
pub(super) struct Block {
    /// Where it begins in the text.
    pub(super) start: usize,
    /// How many bytes there are.
    pub(super) len: usize,
    /// What the letters from A to Z weigh together: see [`WEIGHTS`].
    pub(super) weight: i64,
    /// Those bytes that begin a character.
    pub(super) starts: u64,
    pub(super) sets: Sets,
    /// The properties of the characters outside ASCII.
    pub(super) seen: u32,
}

/// Which bytes of a block are what, or part of what.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sets {
    /// From A to Z.
    pub(super) letters: u64,
    /// From 0 to 9.
    pub(super) digits: u64,
    /// Signs of ASCII that can stand for letters.
    pub(super) signs: u64,
    /// Those of them that can begin a word.
    pub(super) openings: u64,
    /// What encodings use besides letters and digits.
    pub(super) symbols: u64,
    /// What ends a sentence.
    pub(super) stops: u64,
    /// Control characters, and what escapes begin with.
    pub(super) rare: u64,
    /// Letters with case outside ASCII.
    pub(super) cased: u64,
    /// What else outside ASCII is part of words.
    pub(super) others: u64,
    /// Those of them that are letters or marks, of which one alone is no letter of a word that is
    /// spelt out.
    pub(super) uncased: u64,
    /// The one sign outside ASCII that can stand for a letter.
    pub(super) euros: u64,
}

/// The lowest bit of each of eight bytes.
const LOWEST: u64 = 0x0101_0101_0101_0101;

/// Something for each byte of a block, eight after the other from the lowest byte on.
type Bytes = [u64; SIZE / 8];

/// A text in blocks.
#[inline(always)]
pub(super) fn blocks(text: &str) -> impl Iterator<Item = Block> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let block = (at < text.len()).then(|| Block::of(text, at, |_, _, _| {}))?;
        at += block.len;
        Some(block)
    })
}

impl Block {
    /// The characters of a text from `start` on. Those outside ASCII, and where they are in the
    /// block, are shown to `also`.
    ///
    /// ```text
    /// text      Bake 2 é  + 1@ a   16 bytes: é has two
    /// starts    xxxxxxxx.xxxxxxx
    /// letters   xxxx...........x
    /// digits    .....x......x...
    /// signs     ..........x..x..
    /// openings  .............x..
    /// symbols   ..........x.....
    /// cased     .......xx.......
    /// cells     xxxx.x.xx...x..x
    /// ```
    #[inline(always)]
    pub(super) fn of(text: &str, start: usize, also: impl FnMut(usize, char, Class)) -> Self {
        let rest = &text.as_bytes()[start..];
        let mut room = [0; SIZE];
        let bytes = first_of(rest, &mut room);
        let eights = bytes.as_chunks::<8>().0;
        let mut kinds = [0; SIZE / 8];
        let mut weight = 0;
        for (kinds, bytes) in kinds.iter_mut().zip(eights) {
            for (index, byte) in bytes.iter().enumerate() {
                let (of_byte, weighs) = BYTES[usize::from(*byte)];
                *kinds |= u64::from(of_byte) << (index * 8);
                weight += i32::from(weighs);
            }
        }
        let bytes = bytes_of(bytes);
        let mut block = Self {
            start,
            len: rest.len().min(SIZE),
            weight: i64::from(weight),
            starts: u64::MAX,
            sets: Sets::of(&kinds),
            seen: 0,
        };
        let high = set_of(&bytes, 1 << 7);
        if high != 0 {
            block.add_foreign(text, high, set_of(&bytes, 1 << 6), also);
        }
        block
    }

    /// Adds the characters outside ASCII: `high` are their bytes, and `second` those bytes that
    /// have the second bit.
    fn add_foreign(
        &mut self,
        text: &str,
        high: u64,
        second: u64,
        mut also: impl FnMut(usize, char, Class),
    ) {
        while !text.is_char_boundary(self.start + self.len) {
            self.len -= 1;
        }
        self.starts = !(high & !second);
        let end = self.start + self.len;
        let leads = high & second & self.all();
        let mut add = |index: usize, c: char| {
            let class = class::of(c);
            self.seen |= class.flags();
            let bytes = ((1 << c.len_utf8()) - 1) << index;
            match () {
                () if class.is(CASED) => self.sets.cased |= bytes,
                () if class.is_cell() => {
                    self.sets.others |= bytes;
                    self.sets.uncased |= if class.is(NUMBER) { 0 } else { bytes };
                }
                () if c == '€' => self.sets.euros |= bytes,
                () => {}
            }
            also(index, c, class);
        };
        if count(high) >= MOST {
            let characters = text[self.start..end].char_indices();
            let foreign = characters.filter(|(_, c)| !c.is_ascii());
            foreign.for_each(|(index, c)| add(index, c));
        } else {
            each(leads, |index| {
                let c = text[self.start + index..end].chars().next();
                add(index, c.unwrap_or(' '));
            });
        }
    }

    /// Those bytes that are there.
    pub(super) fn all(&self) -> u64 {
        u64::MAX >> (SIZE - self.len)
    }

    /// How many characters of a set there are.
    #[inline(always)]
    pub(super) fn characters(&self, set: u64) -> usize {
        count(set & self.starts)
    }
}

impl Sets {
    #[inline(always)]
    fn of(kinds: &Bytes) -> Self {
        let any = kinds.iter().fold(0, |any, kinds| any | kinds);
        let any = any.to_le_bytes().iter().fold(0, |all, kinds| all | kinds);
        let mut sets = Self {
            letters: set_of(kinds, ALPHABETIC),
            ..Self::default()
        };
        if any & STOP != 0 {
            sets.stops = set_of(kinds, STOP);
        }
        if any & (DIGIT | SYMBOL | RARE) != 0 {
            sets.digits = set_of(kinds, DIGIT);
            sets.symbols = set_of(kinds, SYMBOL);
            sets.rare = set_of(kinds, RARE);
        }
        if any & SIGN != 0 {
            sets.signs = set_of(kinds, SIGN);
            sets.openings = set_of(kinds, OPENING);
        }
        sets
    }

    /// Letters, digits and marks: what words are made of.
    pub(super) fn cells(&self) -> u64 {
        self.letters | self.digits | self.cased | self.others
    }
}

/// Those bytes that have a bit.
///
/// ```text
/// text   é , 中  and 🙂      16 bytes: é has two, 中 three, 🙂 four
/// 1<<7   xx..xxx.....xxxx   every byte outside ASCII
/// 1<<6   x...x...xxx.x...   those of them that begin a character, and some of ASCII
/// ```
#[inline(always)]
fn set_of(bytes: &Bytes, bit: u8) -> u64 {
    #[cfg(target_arch = "x86_64")]
    return set_by_sixteen(bytes, bit);
    #[cfg(not(target_arch = "x86_64"))]
    return set_by_eight(bytes, bit);
}

/// Processors of this architecture gather the highest bits of 16 bytes at once.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn set_by_sixteen(bytes: &Bytes, bit: u8) -> u64 {
    use std::arch::x86_64::{_mm_movemask_epi8, _mm_set_epi64x};
    let mut set = 0;
    for (index, eights) in bytes.as_chunks::<2>().0.iter().enumerate() {
        let [low, high] = eights.map(|eight| (eight << bit.leading_zeros()).cast_signed());
        // SAFETY: this is SSE2, which they all have.
        let highest = unsafe { _mm_movemask_epi8(_mm_set_epi64x(high, low)) };
        set |= u64::from(highest.cast_unsigned()) << (index * 16);
    }
    set
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn set_by_eight(bytes: &Bytes, bit: u8) -> u64 {
    /// What brings the lowest bit of each of eight bytes together in the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let mut set = 0;
    for (index, eight) in bytes.iter().enumerate() {
        let bits = eight >> bit.trailing_zeros() & LOWEST;
        set |= (bits.wrapping_mul(GATHER) >> 56) << (index * 8);
    }
    set
}

/// Shows the characters of a text that are not plain, outside ASCII or control characters, in
/// order, with where they are. What lies between them is passed over 64 bytes at a time.
///
/// Of the 16 bytes `"of\u{8} café\t\u{7f} 中"` it shows `\u{8}` at 2, `é` at 7, `\t` at 9,
/// `\u{7f}` at 10 and `中` at 12.
#[inline(always)]
pub(super) fn each_odd(text: &str, mut show: impl FnMut(usize, char, Class)) {
    let mut start = 0;
    while start < text.len() {
        let mut room = [0; SIZE];
        let bytes = bytes_of(first_of(&text.as_bytes()[start..], &mut room));
        let [high, second, third] = [7, 6, 5].map(|bit| set_of(&bytes, 1 << bit));
        // The one control character that is not below the space has all bits but the highest.
        let deletes = set_of(
            &bytes.map(|eight| (eight & !(LOWEST << 7)) + LOWEST),
            1 << 7,
        );
        let controls = !high & (deletes | !second & !third);
        each(high & second | controls, |index| {
            let c = text[start + index..].chars().next().unwrap_or(' ');
            show(start + index, c, class::of(c));
        });
        start += SIZE;
    }
}

/// The first bytes of a text, in `room` with spaces after them if they are too few.
#[inline(always)]
fn first_of<'a>(text: &'a [u8], room: &'a mut [u8; SIZE]) -> &'a [u8; SIZE] {
    text.first_chunk::<SIZE>().unwrap_or_else(|| {
        room.fill(b' ');
        room[..text.len()].copy_from_slice(text);
        room
    })
}

#[inline(always)]
fn bytes_of(bytes: &[u8; SIZE]) -> Bytes {
    let eights = bytes.as_chunks::<8>().0;
    std::array::from_fn(|n| u64::from_le_bytes(eights[n]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::bits::shown;

    #[test]
    fn a_block_is_as_its_example_shows() {
        let block = Block::of("Bake 2 é + 1@ a", 0, |_, _, _| {});
        let sets = &block.sets;
        let all = block.all();
        assert_eq!((block.len, all), (16, shown("xxxxxxxxxxxxxxxx")));
        for (name, set, row) in [
            ("starts", block.starts & all, "xxxxxxxx.xxxxxxx"),
            ("letters", sets.letters, "xxxx...........x"),
            ("digits", sets.digits, ".....x......x..."),
            ("signs", sets.signs, "..........x..x.."),
            ("openings", sets.openings, ".............x.."),
            ("symbols", sets.symbols, "..........x....."),
            ("cased", sets.cased, ".......xx......."),
            ("cells", sets.cells(), "xxxx.x.xx...x..x"),
        ] {
            assert_eq!(set, shown(row), "{name}");
        }
    }

    #[test]
    fn bits_of_bytes_are_as_their_example_shows() {
        let mut room = [0; SIZE];
        let bytes = bytes_of(first_of("é, 中 and 🙂".as_bytes(), &mut room));
        let first = |set: u64| set & shown("xxxxxxxxxxxxxxxx");
        for gather in [set_of, set_by_eight] {
            assert_eq!(first(gather(&bytes, 1 << 7)), shown("xx..xxx.....xxxx"));
            assert_eq!(first(gather(&bytes, 1 << 6)), shown("x...x...xxx.x..."));
        }
        let mut odd = Vec::new();
        each_odd("of\u{8} café\t\u{7f} 中", |at, c, _| odd.push((at, c)));
        let expected = [
            (2, '\u{8}'),
            (7, 'é'),
            (9, '\t'),
            (10, '\u{7f}'),
            (12, '中'),
        ];
        assert_eq!(odd, expected);
    }

    /// A processor's own way of gathering bits gives what arithmetic gives.
    #[test]
    fn sets_are_gathered_alike() {
        let bytes = std::array::from_fn(|n| 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(n as u64 + 1));
        for bit in (0..8).map(|n| 1 << n) {
            let expected = (0..SIZE).filter(|n| bytes[n / 8] >> (n % 8 * 8) & u64::from(bit) != 0);
            let expected = expected.fold(0, |set, n| set | 1 << n);
            assert_eq!(set_by_eight(&bytes, bit), expected);
            assert_eq!(set_of(&bytes, bit), expected);
        }
    }

    proptest! {
        #[test]
        fn odd_characters_are_those_that_are_not_plain(
            text in "([ -~]{0,70}|[\\x00-\\x1f\x7f\u{80}é中🙂]){0,20}",
        ) {
            let mut found = Vec::new();
            each_odd(&text, |at, c, _| found.push((at, c)));
            let is_odd = |(_, c): &(usize, char)| !c.is_ascii() || c.is_ascii_control();
            let expected: Vec<_> = text.char_indices().filter(is_odd).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
