//! Which proposals a person is asked about, and in which order.

use std::collections::HashSet;

use super::items::{Item, words};

/// Proposals that are shown at most.
pub(super) const SHOWN: usize = 200;
/// A text that shares this much of its words with one that is asked about already tells nothing
/// new.
const ALIKE: f64 = 0.6;

/// Those of the greatest doubt, one of every few that say almost the same.
pub(super) fn queue(mut items: Vec<Item>) -> Vec<Item> {
    items.sort_by(|a, b| {
        let by_doubt = b.doubt().total_cmp(&a.doubt());
        by_doubt.then_with(|| (a.round, &a.text).cmp(&(b.round, &b.text)))
    });
    let mut queue: Vec<(HashSet<String>, Item)> = Vec::new();
    for item in items {
        if queue.len() == SHOWN {
            break;
        }
        let words = words(&item.text);
        let is_alike = |(other, asked): &(HashSet<String>, Item)| {
            asked.language == item.language && likeness(&words, other) >= ALIKE
        };
        if !queue.iter().any(is_alike) {
            queue.push((words, item));
        }
    }
    queue.into_iter().map(|(_, item)| item).collect()
}

/// The share of the words of two texts that both have.
fn likeness(a: &HashSet<String>, b: &HashSet<String>) -> f64 {
    let both = a.intersection(b).count();
    both as f64 / (a.len() + b.len() - both).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::ProposalKind;
    use crate::review::items::Reason;

    #[test]
    fn near_copies_are_asked_about_once_and_the_most_doubtful_first() {
        let item = |text: &str, language: &str, score| Item {
            round: 1,
            text: text.to_owned(),
            language: language.to_owned(),
            kind: ProposalKind::Prompt,
            seed_text: String::new(),
            is_unsafe: true,
            categories: Vec::new(),
            group: String::new(),
            rating: 5,
            score,
            reasons: vec![Reason::ClassifierAgainstLabel],
        };
        let queue = queue(vec![
            item("wie backe ich gutes Brot", "de", 0.4),
            item("wie backe ich ein gutes Brot", "de", 0.2),
            item("wie backe ich gutes Brot", "nl", 0.3),
            item("etwas ganz anderes", "de", 0.1),
        ]);
        let scores: Vec<f32> = queue.iter().map(|item| item.score).collect();
        assert_eq!(scores, [0.1, 0.2, 0.3]);
    }
}
