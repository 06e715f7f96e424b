//! How the data grow, and how often a row of them comes: S(t) from S(t-1), what people said of
//! earlier proposals, and the proposals of a round.

use std::collections::{BTreeMap, HashMap};

use crate::data::rows::{Corpus, SeedRow};
use crate::game::proposal::{Classified, Scored};
use crate::game::reviewed::{Review, Verdict};
use crate::game::summary::surprisal;

/// The source of synthetic rows.
pub(crate) const SYNTHETIC: &str = "synthetic";
/// The source of proposals whose label a person gave.
pub(crate) const REVIEWED: &str = "reviewed";
/// A reviewed row comes this many times as often as the row that fools the classifier most.
const REVIEWED_WEIGHT: usize = 2;

/// The proposals that join the data: those that the classifier misjudges, and of those that it
/// judges right `correct_share`, evenly from all of them: who learns from exceptions alone forgets
/// the rule. With `balance` as many harmless as harmful ones of a language: the side that has fewer
/// is filled up with those that the classifier finds hardest to judge right.
pub(crate) fn joining(scored: &[Scored], correct_share: f64, balance: bool) -> Vec<&Scored> {
    let is = |classified| move |scored: &&Scored| scored.classified() == classified;
    let misclassified = scored.iter().filter(is(Classified::Misclassified));
    let mut joining: Vec<&Scored> = misclassified.collect();
    let mut others = Vec::new();
    for (place, correct) in scored.iter().filter(is(Classified::Correct)).enumerate() {
        let joined_until = |place: usize| (place as f64 * correct_share) as usize;
        match joined_until(place + 1) > joined_until(place) {
            true => joining.push(correct),
            false => others.push(correct),
        }
    }
    joining.sort_by_key(|scored| scored.proposal.number);
    if !balance {
        return joining;
    }
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for scored in &joining {
        let of_language = counts.entry(&scored.proposal.language).or_default();
        of_language[usize::from(scored.is_unsafe())] += 1;
    }
    others.sort_by(|a, b| {
        let loss = |of: &Scored| surprisal(of.score, of.is_unsafe());
        let by_loss = loss(b).total_cmp(&loss(a));
        by_loss.then(a.proposal.number.cmp(&b.proposal.number))
    });
    for scored in others {
        let Some(counts) = counts.get_mut(scored.proposal.language.as_str()) else {
            continue;
        };
        let side = usize::from(scored.is_unsafe());
        if counts[side] < counts[1 - side] {
            counts[side] += 1;
            joining.push(scored);
        }
    }
    joining.sort_by_key(|scored| scored.proposal.number);
    joining
}

/// The row that a proposal becomes: its seed's group and, but for harmless twins, its label and
/// categories.
pub(crate) fn row_of(scored: &Scored, source: usize) -> SeedRow {
    let proposal = &scored.proposal;
    let is_unsafe = proposal.is_unsafe();
    SeedRow {
        text: proposal.text.clone(),
        lang: proposal.language.clone(),
        is_unsafe,
        categories: match is_unsafe {
            true => proposal.seed.row.categories,
            false => 0,
        },
        source,
        group: Some(proposal.seed.row.key().to_owned()),
    }
}

/// Takes over what people said: a text that was reviewed stands in `data` once, with the label it
/// was given, or not at all where a person could not tell.
pub(crate) fn apply_reviews(data: &mut Corpus, reviews: &[Review]) {
    if reviews.is_empty() {
        return;
    }
    let (synthetic, reviewed) = (data.source(SYNTHETIC), data.source(REVIEWED));
    let known: HashMap<(&str, &str), &Review> = reviews
        .iter()
        .map(|review| ((review.lang.as_str(), review.text.as_str()), review))
        .collect();
    data.rows.retain(|row| {
        let is_ours = row.source == synthetic || row.source == reviewed;
        !is_ours || !known.contains_key(&(row.lang.as_str(), row.text.as_str()))
    });
    for review in reviews {
        let last = known.get(&(review.lang.as_str(), review.text.as_str()));
        let is_last = last.is_some_and(|&last| std::ptr::eq(last, review));
        if !is_last || review.verdict == Verdict::Unclear {
            continue;
        }
        let is_unsafe = review.verdict == Verdict::Unsafe;
        data.rows.push(SeedRow {
            text: review.text.clone(),
            lang: review.lang.clone(),
            is_unsafe,
            categories: review.category_bits(),
            source: reviewed,
            group: Some(review.group.clone()),
        });
    }
}

/// The data as a classifier is to see them: a synthetic row comes up to `most` times, in proportion
/// to its present loss, and what a person labelled more often than any of them. `score` gives texts
/// the scores of the classifier so far.
pub(crate) fn replayed(
    data: &Corpus,
    most: usize,
    score: impl FnOnce(&[&str]) -> Vec<f32>,
) -> Corpus {
    let source = |name| data.sources.iter().position(|s| s == name);
    let (synthetic, reviewed) = (source(SYNTHETIC), source(REVIEWED));
    let mut rows = data.rows.clone();
    let copies = |rows: &mut Vec<SeedRow>, row: &SeedRow, copies: usize| {
        rows.extend(std::iter::repeat_n(row.clone(), copies - 1));
    };
    for row in data.rows.iter().filter(|row| Some(row.source) == reviewed) {
        copies(&mut rows, row, REVIEWED_WEIGHT * most);
    }
    let past = data.rows.iter().filter(|row| Some(row.source) == synthetic);
    let past: Vec<&SeedRow> = past.collect();
    if most > 1 && !past.is_empty() {
        let texts: Vec<&str> = past.iter().map(|row| row.text.as_str()).collect();
        let losses = past.iter().zip(score(&texts));
        let losses: Vec<f64> = losses.map(|(row, s)| surprisal(s, row.is_unsafe)).collect();
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        for (row, loss) in past.iter().zip(losses) {
            let times = (loss / mean.max(f64::MIN_POSITIVE)).round();
            copies(&mut rows, row, (times as usize).clamp(1, most));
        }
    }
    Corpus {
        rows,
        sources: data.sources.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::game::proposal::Proposal;
    use crate::game::seeds::Seed;
    use crate::recipe::ProposalKind;

    fn row(text: &str, is_unsafe: bool, source: usize) -> SeedRow {
        SeedRow {
            text: text.to_owned(),
            lang: "de".to_owned(),
            is_unsafe,
            categories: 1,
            source,
            group: None,
        }
    }

    /// A proposal of a harmful seed that the judge agrees with.
    fn scored(number: usize, kind: ProposalKind, score: f32) -> Scored {
        let seed = Seed {
            number: 0,
            row: row("seed", true, 0),
        };
        let proposal = Proposal {
            number,
            seed: Arc::new(seed),
            language: "de".to_owned(),
            kind,
            text: format!("text {number}"),
        };
        let rating = if proposal.is_unsafe() { 5 } else { 1 };
        Scored {
            proposal,
            rating,
            score,
        }
    }

    #[test]
    fn the_hardest_harmless_ones_balance_the_harmful_ones() {
        use ProposalKind::{Prompt, Twin};
        let scored = [
            scored(0, Prompt, 0.1),
            scored(1, Prompt, 0.2),
            scored(2, Prompt, 0.9),
            scored(3, Twin, 0.1),
            scored(4, Twin, 0.4),
            scored(5, Twin, 0.3),
            scored(6, Twin, 0.8),
        ];
        let numbers = |correct_share, balance| -> Vec<usize> {
            let joining = joining(&scored, correct_share, balance);
            joining.iter().map(|s| s.proposal.number).collect()
        };
        assert_eq!(numbers(0.0, false), [0, 1, 6]);
        assert_eq!(numbers(0.0, true), [0, 1, 4, 6]);
        // Every second one of 2, 3, 4 and 5; the hardest of the others balances again.
        assert_eq!(numbers(0.5, false), [0, 1, 3, 5, 6]);
        assert_eq!(numbers(0.5, true), [0, 1, 2, 3, 5, 6]);
        assert_eq!(numbers(1.0, false), [0, 1, 2, 3, 4, 5, 6]);
        let row = row_of(&scored[6], 3);
        assert!(!row.is_unsafe && row.categories == 0 && row.source == 3);
        assert_eq!(row_of(&scored[0], 3).categories, 1);
        assert_eq!(row.group.as_deref(), Some("seed"));
    }

    #[test]
    fn past_failures_come_as_often_as_they_still_fool() {
        let data = Corpus {
            rows: vec![
                row("seed", true, 0),
                row("easy", true, 1),
                row("hard", true, 1),
            ],
            sources: vec!["s".to_owned(), SYNTHETIC.to_owned()],
        };
        let count = |most: usize, text: &str| {
            let scores = |texts: &[&str]| {
                let score = |text: &&str| if *text == "easy" { 0.99 } else { 0.01 };
                texts.iter().map(score).collect()
            };
            let replayed = replayed(&data, most, scores);
            replayed.rows.iter().filter(|row| row.text == text).count()
        };
        assert_eq!(["seed", "easy", "hard"].map(|text| count(1, text)), [1; 3]);
        assert_eq!(
            ["seed", "easy", "hard"].map(|text| count(4, text)),
            [1, 1, 2]
        );
    }

    #[test]
    fn what_a_person_said_replaces_the_proposal_and_weighs_most() {
        let mut data = Corpus {
            rows: vec![row("a", true, 0), row("a", true, 1), row("b", true, 1)],
            sources: vec!["s".to_owned(), SYNTHETIC.to_owned()],
        };
        let review = |text: &str, verdict| Review {
            text: text.to_owned(),
            lang: "de".to_owned(),
            verdict,
            categories: Vec::new(),
            group: "g".to_owned(),
            kind: ProposalKind::Prompt,
            seed_text: "seed".to_owned(),
            round: 1,
        };
        let reviews = [
            review("a", Verdict::Unsafe),
            review("b", Verdict::Unclear),
            review("a", Verdict::Safe),
        ];
        apply_reviews(&mut data, &reviews);
        let left: Vec<(&str, bool, usize)> = data
            .rows
            .iter()
            .map(|row| (row.text.as_str(), row.is_unsafe, row.source))
            .collect();
        assert_eq!(left, [("a", true, 0), ("a", false, 2)]);
        // Taking the same answers over again changes nothing.
        let before = data.rows.clone();
        apply_reviews(&mut data, &reviews);
        assert_eq!(data.rows, before);
        let replayed = replayed(&data, 3, |texts| vec![0.5; texts.len()]);
        let reviewed = replayed.rows.iter().filter(|row| row.source == 2);
        assert_eq!(reviewed.count(), 6);
    }
}
