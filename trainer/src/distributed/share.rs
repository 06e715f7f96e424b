//! Which rows of a batch a process computes.

use std::iter::StepBy;
use std::ops::Range;

use tch::Tensor;

/// The part of a batch that a process computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// The whole batch.
    All,
    /// Nothing: another process computes all of it.
    Nothing,
    /// Every `of`-th row, from row `rank` on: rows sorted by length are dealt out evenly.
    Part {
        /// The first row.
        rank: usize,
        /// Between one row and the next.
        of: usize,
    },
}

impl Share {
    /// The share of process `rank` of `size` in micro-batch `index` of the `batches` that make a
    /// step. Whole batches are dealt out where they come out even; otherwise each is cut.
    pub(crate) fn of_batch([rank, size]: [usize; 2], index: usize, batches: usize) -> Self {
        match (size, batches.is_multiple_of(size)) {
            (1, _) => Self::All,
            (_, true) if index % size == rank => Self::All,
            (_, true) => Self::Nothing,
            (_, false) => Self::Part { rank, of: size },
        }
    }

    /// The rows of `count` that belong to it.
    pub(crate) fn rows(self, count: usize) -> StepBy<Range<usize>> {
        match self {
            Self::All => (0..count).step_by(1),
            Self::Nothing => (0..0).step_by(1),
            Self::Part { rank, of } => (rank.min(count)..count).step_by(of),
        }
    }

    /// What a mean over `own` things adds to the mean over `all` of them.
    pub(crate) fn of_mean(self, mean: Tensor, own: usize, all: usize) -> Tensor {
        match self {
            Self::Part { .. } => mean * (own as f64 / all as f64),
            Self::All | Self::Nothing => mean,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_every_batch_belongs_to_one_process() {
        for size in 1..5 {
            for batches in 1..5 {
                for batch in 0..batches {
                    let mut rows: Vec<usize> = (0..size)
                        .flat_map(|rank| Share::of_batch([rank, size], batch, batches).rows(7))
                        .collect();
                    rows.sort_unstable();
                    assert_eq!(rows, Vec::from_iter(0..7), "{size} {batches} {batch}");
                }
            }
        }
    }

    #[test]
    fn shares_of_a_mean_add_up_to_it() {
        let values = [3.0f32, 1.0, 4.0, 1.5, 9.0];
        let sum: f64 = (0..2)
            .map(|rank| {
                let share = Share::Part { rank, of: 2 };
                let own: Vec<f32> = share.rows(5).map(|row| values[row]).collect();
                let mean = Tensor::from_slice(&own).mean(tch::Kind::Float);
                share.of_mean(mean, own.len(), 5).double_value(&[])
            })
            .sum();
        assert!((sum - 3.7).abs() < 1e-6, "{sum}");
    }
}
