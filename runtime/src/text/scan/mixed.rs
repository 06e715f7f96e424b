//! Words with digits or signs among their letters.

use super::hints::Leet;
use crate::text::bits::{SIZE, count, each, ends_of_runs_with};
use crate::text::block::{Block, Sets};

/// Where there are more places than one in so many bytes, looking at all words is quicker.
const BYTES_PER_PLACE: usize = 32;

/// What the current word, signs that stand for letters included, has in it.
#[derive(Default)]
pub(super) struct Mixed {
    /// Whether it is one.
    is_word: bool,
    has_cell: bool,
    has_sign: bool,
    /// Whether the last character was a digit, or a sign that can stand for a letter.
    sign_before: bool,
}

impl Mixed {
    /// Adds a block. `cell_before` tells whether the last character before it is a cell.
    ///
    /// ```text
    /// text     b4ke @bout 7! 4x
    /// letters  x.xx..xxxx.....x
    /// stands   .x...x.....xx.x.   digits, and signs where they can stand for letters
    /// after    ..x...x.....xx.x   the bytes behind them
    /// places   ..x...x........x   letters behind them: one in each word that may be leet
    /// ```
    #[inline(always)]
    pub(super) fn add(&mut self, block: &Block, sets: &Sets, cell_before: bool, leet: &mut Leet) {
        let last = block.len - 1;
        let letters = sets.letters | sets.cased;
        let (signs, openings) = (sets.signs, sets.openings);
        let word = sets.cells() | signs | sets.euros;
        let begins = word & !(word << 1 | u64::from(self.is_word));
        leet.lettered += count(begins & letters);
        self.is_word = word >> last & 1 != 0;
        if sets.digits | signs | sets.euros == 0 && !self.sign_before && !self.has_sign {
            self.has_cell = self.is_word;
            return;
        }
        let stands = standing(sets, cell_before | self.sign_before);
        let after = stands << 1 | u64::from(self.sign_before);
        self.sign_before = stands >> last & 1 != 0;
        leet.seen += count(after & letters);
        let places = after & (letters | sets.others) | sets.euros & block.starts;
        if places != 0
            && let Some(found) = &mut leet.places
        {
            each(places, |index| found.push((block.start + index) as u32));
            if found.len() > SIZE + block.start / BYTES_PER_PLACE {
                leet.places = None;
            }
        }
        if word & 1 == 0 {
            self.end(leet);
        }
        let ends = |set: u64, has: &mut bool| {
            let ends = ends_of_runs_with(word, set | u64::from(*has));
            *has = ends >> block.len & 1 != 0;
            ends as u64 & block.all()
        };
        let inside = signs & stands & (word >> 1 | 1 << last);
        let signed = ends(
            sets.digits | openings | sets.euros | inside,
            &mut self.has_sign,
        );
        let of_cells = ends(letters | sets.others, &mut self.has_cell);
        leet.mixed += count(of_cells & signed);
    }

    /// Ends the current word.
    pub(super) fn end(&mut self, leet: &mut Leet) {
        leet.mixed += usize::from(self.has_cell && self.has_sign);
        (self.has_cell, self.has_sign) = (false, false);
    }
}

/// Digits, and those signs that can stand for letters where they are: a sign that may as well end
/// or begin a sentence does so only behind others. `before` tells whether one is before the block.
#[inline(always)]
fn standing(sets: &Sets, before: bool) -> u64 {
    let (signs, openings) = (sets.signs, sets.openings);
    let behind = sets.cells() << 1 | u64::from(before);
    let mut stands = sets.digits | openings | signs & (behind | openings << 1);
    while signs & stands << 1 & !stands != 0 {
        stands |= signs & stands << 1;
    }
    stands
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::bits::shown;
    use crate::text::block::blocks;

    #[test]
    fn words_in_leet_are_as_their_example_shows() {
        let block = blocks("b4ke @bout 7! 4x").next().unwrap();
        let sets = &block.sets;
        assert_eq!(sets.letters, shown("x.xx..xxxx.....x"));
        assert_eq!(standing(sets, false), shown(".x...x.....xx.x."));
        let mut leet = Leet {
            places: Some(Vec::new()),
            ..Leet::default()
        };
        let mut mixed = Mixed::default();
        mixed.add(&block, sets, false, &mut leet);
        mixed.end(&mut leet);
        assert_eq!(leet.places, Some(vec![2, 6, 15]));
        assert_eq!((leet.seen, leet.mixed), (3, 3));
    }
}
