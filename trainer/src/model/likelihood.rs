//! How likely a decoder finds given texts.

use std::ops::Range;

use tch::{Kind, Tensor};

use crate::model::decoder::Decoder;
use crate::model::head::{SampledVocabulary, log_probabilities};
use crate::model::tensors::host;

/// What one more pass costs, in padded tokens.
const PASS_TOKENS: usize = 64;

/// A prompt and the text after it, in tokens.
pub(crate) type PromptAndText = (Vec<i32>, Vec<i32>);

/// Sum of log p(target | prompt) over the tokens of each target and the end token after it, `[B]`
/// in 32 bits.
///
/// `rows` are (prompt, target) pairs; gradients flow into the decoder.
pub(crate) fn log_likelihood(decoder: &Decoder, rows: &[(&[i32], &[i32])], end: i32) -> Tensor {
    let length = |row: usize| rows[row].0.len() + rows[row].1.len();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| length(row));
    let lengths: Vec<usize> = order.iter().map(|&row| length(row)).collect();
    let mut parts = Vec::new();
    for group in groups(&lengths) {
        let members: Vec<_> = order[group].iter().map(|&row| rows[row]).collect();
        parts.push(padded(decoder, &members, end));
    }
    // Back into the order that was asked for.
    let mut places = vec![0i64; rows.len()];
    for (place, &row) in order.iter().enumerate() {
        places[row] = place as i64;
    }
    Tensor::cat(&parts, 0).index_select(0, &decoder.indices(&places))
}

/// Cuts rows sorted by length into the groups that cost least: a group costs its padded tokens and
/// a pass.
fn groups(lengths: &[usize]) -> Vec<Range<usize>> {
    // best[end]: (cost, start of the last group) of the rows before `end`.
    let mut best = vec![(0, 0)];
    for end in 1..=lengths.len() {
        let with = |start: usize| best[start].0 + (end - start) * lengths[end - 1] + PASS_TOKENS;
        let start = (0..end).min_by_key(|&start| with(start)).unwrap_or(0);
        best.push((with(start), start));
    }
    let mut groups = Vec::new();
    let mut end = lengths.len();
    while end > 0 {
        groups.push(best[end].1..end);
        end = best[end].1;
    }
    groups.reverse();
    groups
}

/// [`log_likelihood`] of rows that are padded to the longest.
fn padded(decoder: &Decoder, rows: &[(&[i32], &[i32])], end: i32) -> Tensor {
    let lengths = rows.iter().map(|(p, t)| p.len() + t.len());
    let tokens = lengths.fold(0, usize::max);
    let mut ids = Vec::with_capacity(rows.len() * tokens);
    // Places that predict a target token, and what they predict.
    let (mut places, mut targets) = (Vec::new(), Vec::new());
    let mut counts = Vec::new();
    for (row, (prompt, target)) in rows.iter().enumerate() {
        let start = row * tokens;
        ids.extend_from_slice(prompt);
        ids.extend_from_slice(target);
        ids.resize(start + tokens, end);
        counts.push(target.len() as i64 + 1);
        for (offset, &token) in target.iter().chain([&end]).enumerate() {
            places.push((start + prompt.len() - 1 + offset) as i64);
            targets.push(token);
        }
    }
    let hidden = decoder.hidden(&ids, [rows.len(), tokens], Some(&places));
    let each = log_probabilities(decoder, &hidden, &SampledVocabulary::all(targets));
    let texts = each.split_with_sizes(counts.as_slice(), 0);
    let sums: Vec<Tensor> = texts.iter().map(|text| text.sum(Kind::Float)).collect();
    Tensor::stack(&sums, 0)
}

/// p(text | first prompt) / (p(text | first prompt) + p(text | second prompt)) of each pair, in
/// [0, 1]: Bayes' rule for two prompts that are equally likely.
pub(crate) fn share_of_first(
    decoder: &Decoder,
    pairs: &[(PromptAndText, PromptAndText)],
    end: i32,
) -> Vec<f32> {
    let first = pairs.iter().map(|(first, _)| first);
    let second = pairs.iter().map(|(_, second)| second);
    let rows: Vec<(&[i32], &[i32])> = first.chain(second).map(|(p, t)| (&p[..], &t[..])).collect();
    let both = log_likelihood(decoder, &rows, end);
    let count = pairs.len() as i64;
    let ratio = both.narrow(0, 0, count) - both.narrow(0, count, count);
    host(&ratio.sigmoid())
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn rows_of_like_length_are_padded_together() {
        // A pass costs as much as 64 padded tokens.
        let one_group = |end: usize| Vec::from_iter(std::iter::once(0..end));
        assert_eq!(groups(&[10, 11, 12]), one_group(3));
        assert_eq!(groups(&[10, 10, 100, 101]), [0..2, 2..4]);
        assert_eq!(groups(&[7]), one_group(1));
        assert!(groups(&[]).is_empty());
    }
}
