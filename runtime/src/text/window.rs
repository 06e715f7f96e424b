//! Windows: how a text that is longer than the network's window is covered.

use std::ops::Range;

use crate::manifest::Limits;

/// The windows over `tokens` tokens: full ones from the start, the last aligned to the end.
///
/// Their union is the whole text. Every window of a text longer than one is full, because networks are trained on full windows
/// and a short tail would be judged without its context.
pub(crate) fn windows(tokens: usize, limits: Limits) -> impl Iterator<Item = Range<usize>> {
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
        let start = (index * stride).min(tokens.saturating_sub(window_tokens));
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
}
