//! Words by their length: single letters in a row, and pairs of hexadecimal digits.

use super::hints::{Hints, MAX_GAP, MIN_HEX_PAIRS, MIN_SPELT};
use crate::text::bits::{SIZE, count, run_from, runs_of, some_from};
use crate::text::block::{Block, Sets};

/// The words of a block by their length, as sets.
struct Lengths {
    /// The bytes after words.
    ends: u64,
    /// The third and later cells of words. Outside ASCII, where cells have up to four bytes, those
    /// that surely are.
    long: u64,
    /// What has a cell of one byte two places before it.
    before_that: u64,
    /// The ends of words of one or two cells.
    short: u64,
}

impl Lengths {
    /// Those of a block whose first word has `carried` cells in the blocks before it.
    #[inline(always)]
    fn of(block: &Block, sets: &Sets, carried: usize) -> Self {
        let cells = sets.cells();
        let [one, two, three] = [1, 2, 3].map(|count| u64::from(carried >= count));
        let narrow = sets.letters | sets.digits;
        let (before, before_that) = (narrow << 1 | one, narrow << 2 | one << 1 | two);
        let mut long = narrow & before & before_that;
        if narrow != cells {
            // Nine bytes are three characters at least.
            let eight = runs_of(cells, 3);
            long |= (eight & eight >> 1) << 8;
        }
        let ends = block.all() & !cells & (cells << 1 | one);
        Self {
            ends,
            long,
            before_that,
            short: ends & !(long << 1 | three),
        }
    }
}

/// What has been seen of the current one, and of those like it before.
#[derive(Default)]
pub(super) struct Words {
    /// Letters and digits since the last gap.
    pub(super) cells: usize,
    /// Characters since the last word.
    gap: usize,
    /// Words of one letter, just now.
    singles: usize,
    /// Words of two hexadecimal digits, just now.
    pairs: usize,
}

impl Words {
    /// Adds a block. Most blocks of prose have longer words only, and nothing is done for each
    /// word of them.
    ///
    /// ```text
    /// text    b a k e, cake 62
    /// cells   x.x.x.x..xxxx.xx
    /// ends    .x.x.x.x.....x..   the bytes after words
    /// long    ...........xx...   the third and later cells of words
    /// short   .x.x.x.x........   the ends of words of one or two
    /// ```
    ///
    /// Four short words may spell one: the words are read one after the other. With fewer, only
    /// what comes after the last of `long` would be, here from the `e` of `cake` on.
    #[inline(always)]
    pub(super) fn add(&mut self, text: &str, block: &Block, sets: &Sets, hints: &mut Hints) {
        let cells = sets.cells();
        let mut start = 0;
        let Lengths {
            ends,
            long,
            before_that,
            short,
        } = Lengths::of(block, sets, self.cells);
        if hints.spelt && ends != 0 && self.pairs == 0 && ends & before_that == 0 {
            // Single letters are found, and there is no pair.
            start = SIZE - ends.leading_zeros() as usize;
            *self = Self::default();
        } else if long != 0 && self.singles.max(self.pairs) + count(short) < MIN_SPELT {
            // Only what comes after the last longer word matters.
            start = SIZE - long.leading_zeros() as usize;
            *self = Self {
                cells: 3,
                ..Self::default()
            };
        }
        while start < block.len {
            let run = run_from(cells, start);
            if run > 0 {
                if self.gap > MAX_GAP {
                    self.singles = 0;
                }
                self.gap = 0;
                let run_cells = some_from(cells, start, run);
                self.cells += block.characters(run_cells);
                if sets.uncased != 0 {
                    self.cells += block.characters(run_cells & sets.uncased);
                }
                start += run;
                continue;
            }
            self.end_word(text, block.start + start, hints);
            let run = run_from(!cells, start).min(block.len - start);
            self.gap += block.characters(some_from(!cells, start, run));
            start += run;
        }
    }

    #[inline(always)]
    pub(super) fn end_word(&mut self, text: &str, end: usize, hints: &mut Hints) {
        match self.cells {
            0 => {}
            1 => {
                self.singles += 1;
                self.pairs = 0;
                hints.spelt |= self.singles >= MIN_SPELT;
            }
            2 => {
                self.singles = 0;
                let pair = &text.as_bytes()[end - 2..end];
                let is_hex = pair.iter().all(u8::is_ascii_hexdigit);
                self.pairs = if is_hex { self.pairs + 1 } else { 0 };
                hints.hex_pairs |= self.pairs >= MIN_HEX_PAIRS;
            }
            _ => (self.singles, self.pairs) = (0, 0),
        }
        self.cells = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::bits::shown;
    use crate::text::block::blocks;

    #[test]
    fn words_are_as_their_example_shows() {
        let text = "b a k e, cake 62";
        let block = blocks(text).next().unwrap();
        let found = Lengths::of(&block, &block.sets, 0);
        for (name, set, row) in [
            ("cells", block.sets.cells(), "x.x.x.x..xxxx.xx"),
            ("ends", found.ends, ".x.x.x.x.....x.."),
            ("long", found.long, "...........xx..."),
            ("short", found.short, ".x.x.x.x........"),
        ] {
            assert_eq!(set, shown(row), "{name}");
        }
        let (mut words, mut hints) = (Words::default(), Hints::default());
        words.add(text, &block, &block.sets, &mut hints);
        assert!(hints.spelt);
        assert_eq!((words.cells, words.gap, words.singles), (2, 0, 0));
    }
}
