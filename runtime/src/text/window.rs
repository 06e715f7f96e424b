//! Windows: how a text that is longer than the network's window is covered.

use std::ops::Range;

use crate::bundle::Limits;

/// Where the last window of a text begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastWindow {
    /// So that it is full, as networks are trained on full windows and a short tail would be judged
    /// without its context: it moves with every token that the text grows by.
    Full,
    /// A stride after the one before, so that it stays where it is while the text grows. It has at
    /// least the overlap as context.
    Growing,
}

/// The windows over `tokens` tokens: full ones from the start, a stride apart, and the last, which
/// ends where the text does.
///
/// Their union is the whole text.
pub(crate) fn windows(
    tokens: usize,
    limits: Limits,
    last: LastWindow,
) -> impl Iterator<Item = Range<usize>> {
    let Limits {
        window_tokens,
        overlap_tokens,
    } = limits;
    let stride = window_tokens.saturating_sub(overlap_tokens).max(1);
    let count = match tokens {
        0 => 0,
        _ => 1 + tokens.saturating_sub(window_tokens).div_ceil(stride),
    };
    (0..count).map(move |index| {
        let start = match last {
            LastWindow::Full => (index * stride).min(tokens.saturating_sub(window_tokens)),
            LastWindow::Growing => index * stride,
        };
        start..(start + window_tokens).min(tokens)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(tokens: usize, window_tokens: usize, overlap_tokens: usize) -> Vec<Range<usize>> {
        windows(
            tokens,
            Limits {
                window_tokens,
                overlap_tokens,
            },
            LastWindow::Full,
        )
        .collect()
    }

    #[test]
    fn known_cases() {
        let pairs = |tokens, window, overlap| {
            let ranges = ranges(tokens, window, overlap);
            ranges
                .into_iter()
                .map(|range| (range.start, range.end))
                .collect::<Vec<_>>()
        };
        assert_eq!(pairs(0, 4, 1), []);
        assert_eq!(pairs(1, 4, 1), [(0, 1)]);
        assert_eq!(pairs(4, 4, 1), [(0, 4)]);
        assert_eq!(pairs(5, 4, 1), [(0, 4), (1, 5)]);
        assert_eq!(pairs(7, 4, 1), [(0, 4), (3, 7)]);
        assert_eq!(pairs(8, 4, 1), [(0, 4), (3, 7), (4, 8)]);
        assert_eq!(pairs(9, 4, 0), [(0, 4), (4, 8), (5, 9)]);
    }

    #[test]
    fn windows_cover_every_token_and_overlap_as_asked() {
        for window in 1..8 {
            for overlap in 0..window {
                for tokens in 1..40 {
                    let found = ranges(tokens, window, overlap);
                    assert_eq!(found[0].start, 0);
                    assert_eq!(found[found.len() - 1].end, tokens);
                    assert!(found.iter().all(|range| range.len() == window.min(tokens)));
                    assert!(found.windows(2).all(|pair| pair[0].start < pair[1].start));
                    assert!(
                        found
                            .windows(2)
                            .all(|pair| pair[1].start + overlap <= pair[0].end)
                    );
                }
            }
        }
    }

    #[test]
    fn a_growing_window_stays_where_it_is_until_the_next_begins() {
        for (window_tokens, overlap_tokens) in [(1, 0), (4, 0), (4, 1), (5, 4), (8, 3)] {
            let limits = Limits {
                window_tokens,
                overlap_tokens,
            };
            let stride = window_tokens - overlap_tokens;
            let at = |tokens, last| windows(tokens, limits, last).collect::<Vec<_>>();
            for tokens in 1..40 {
                let growing = at(tokens, LastWindow::Growing);
                let full = at(tokens, LastWindow::Full);
                assert_eq!(growing.len(), full.len());
                let (last, before) = growing.split_last().unwrap();
                assert_eq!(before, &full[..before.len()]);
                assert_eq!((last.start % stride, last.end), (0, tokens));
                assert!(last.len() > overlap_tokens || before.is_empty());
                let next = at(tokens + 1, LastWindow::Growing);
                let grown = next[growing.len() - 1].clone();
                assert_eq!(grown.start, last.start);
                assert!(grown.end == tokens + 1 || grown.end == tokens);
            }
        }
    }
}
