//! Long runs of characters that encodings use.

use super::hints::MIN_ENCODED;
use crate::text::bits::{SIZE, run_from, runs_of};
use crate::text::block::Block;

/// The current run of characters that encodings use.
#[derive(Default)]
pub(super) struct Run {
    start: u32,
    length: usize,
}

impl Run {
    /// Adds a block. A run that reaches its end goes on in the next one.
    ///
    /// ```text
    /// text   aG93IHRvIGJha2Uh
    /// set    xxxxxxxxxxxxxxxx
    /// long   x...............   where a run of 16 begins
    /// ```
    ///
    /// This block is one run of 16 bytes, which [`end`](Self::end) reports at 0.
    #[inline(always)]
    pub(super) fn add(&mut self, block: &Block, set: u64, runs: &mut Vec<u32>) {
        let first = run_from(set, 0);
        if self.length == 0 {
            self.start = block.start as u32;
        }
        self.length += first;
        if first == block.len {
            return;
        }
        self.end(runs);
        let mut long = long_runs(set & u64::MAX << first);
        while long != 0 {
            let start = long.trailing_zeros() as usize;
            let end = start + run_from(set, start);
            if end == block.len {
                break;
            }
            runs.push((block.start + start) as u32);
            long &= u64::MAX << end;
        }
        self.length = (set << (SIZE - block.len)).leading_ones() as usize;
        self.start = (block.start + block.len - self.length) as u32;
    }

    /// Ends the current run.
    pub(super) fn end(&mut self, runs: &mut Vec<u32>) {
        if self.length >= MIN_ENCODED {
            runs.push(self.start);
        }
        self.length = 0;
    }
}

/// Those of a set from which on [`MIN_ENCODED`] of it follow each other.
#[inline(always)]
fn long_runs(set: u64) -> u64 {
    const { assert!(MIN_ENCODED.is_power_of_two()) };
    runs_of(set, MIN_ENCODED.ilog2())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::bits::shown;
    use crate::text::block::blocks;

    #[test]
    fn a_run_is_as_its_example_shows() {
        let block = blocks("aG93IHRvIGJha2Uh").next().unwrap();
        let set = block.sets.letters | block.sets.digits | block.sets.symbols;
        assert_eq!(set, shown("xxxxxxxxxxxxxxxx"));
        assert_eq!(long_runs(set), shown("x..............."));
        let (mut run, mut runs) = (Run::default(), Vec::new());
        run.add(&block, set, &mut runs);
        assert!(runs.is_empty());
        run.end(&mut runs);
        assert_eq!(runs, [0]);
    }
}
