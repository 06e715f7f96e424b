//! Thresholds: per language, the lowest that stays within a false positive rate.

use std::collections::BTreeMap;

/// A language needs this many safe texts for a threshold of its own: at 10 % FPR its standard error
/// is then about 2 points.
const MIN_SAFE_TEXTS: usize = 200;
/// And this many unsafe ones, so that its recall means something.
const MIN_UNSAFE_TEXTS: usize = 50;
/// Or this many harmless ones, which can only raise it.
const MIN_BENIGN_TEXTS: usize = 100;
/// The threshold of every category when nothing is known.
pub(crate) const UNCALIBRATED: f32 = 0.5;

/// The scores of a language's texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scores {
    /// Of texts labelled safe, which resemble unsafe ones more than most texts do.
    pub(crate) of_safe: Vec<f32>,
    pub(crate) of_unsafe: Vec<f32>,
    /// Of everyday texts.
    pub(crate) of_benign: Vec<f32>,
}

/// The false positive rates that thresholds stay within.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    /// On texts labelled safe.
    pub(crate) safe: f64,
    /// On everyday texts.
    pub(crate) benign: f64,
}

/// The threshold of every category, by language.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Thresholds {
    pub(crate) default: f32,
    /// Whether there were texts to find the default one on.
    pub(crate) is_found: bool,
    /// Those of languages that have enough texts of their own.
    pub(crate) languages: BTreeMap<String, f32>,
}

impl Scores {
    fn has_labelled(&self) -> bool {
        self.of_safe.len() >= MIN_SAFE_TEXTS && self.of_unsafe.len() >= MIN_UNSAFE_TEXTS
    }

    fn has_benign(&self) -> bool {
        self.of_benign.len() >= MIN_BENIGN_TEXTS
    }
}

impl Thresholds {
    pub(crate) fn choose(languages: &BTreeMap<String, Scores>, rates: Rates) -> Self {
        let pooled = pool(languages);
        let count = |list: fn(&Scores) -> usize| pooled.iter().map(|s| list(s)).sum::<usize>();
        let has_labelled = count(|s| s.of_safe.len()) >= MIN_SAFE_TEXTS
            && count(|s| s.of_unsafe.len()) >= MIN_UNSAFE_TEXTS;
        let safe: Vec<&[f32]> = pooled.iter().map(|s| &s.of_safe[..]).collect();
        let labelled = match has_labelled {
            true => lowest(&safe, rates.safe),
            false => UNCALIBRATED,
        };
        let benign: Vec<&[f32]> = known(languages)
            .into_iter()
            .filter(|scores| scores.has_benign())
            .map(|scores| &scores.of_benign[..])
            .collect();
        let default = labelled.max(lowest(&benign, rates.benign));
        let own = languages.iter().filter_map(|(tag, scores)| {
            let threshold = match (scores.has_labelled(), scores.has_benign()) {
                (false, false) => return None,
                (true, false) => lowest(&[&scores.of_safe], rates.safe),
                // Without labels, harmless texts tell only what is too low.
                (false, true) => labelled.max(lowest(&[&scores.of_benign], rates.benign)),
                (true, true) => lowest(&[&scores.of_safe], rates.safe)
                    .max(lowest(&[&scores.of_benign], rates.benign)),
            };
            Some((tag.clone(), threshold))
        });
        Self {
            default,
            is_found: has_labelled || !benign.is_empty(),
            languages: own.collect(),
        }
    }

    pub(crate) fn of(&self, language: &str) -> f32 {
        *self.languages.get(language).unwrap_or(&self.default)
    }
}

/// The languages that the model was made for, as far as one can tell: those with labelled texts;
/// all, if none has any. Unidentified texts are mostly short ones of theirs.
pub(crate) fn known(languages: &BTreeMap<String, Scores>) -> Vec<&Scores> {
    let is_known = |scores: &&Scores| !(scores.of_safe.is_empty() && scores.of_unsafe.is_empty());
    let known: Vec<_> = languages.values().filter(is_known).collect();
    match known.is_empty() {
        true => languages.values().collect(),
        false => known,
    }
}

/// Those of which the default threshold takes the labelled texts. Those with a handful of labelled
/// texts would weigh as much as the others, so they count only if there is nothing else.
pub(crate) fn pool(languages: &BTreeMap<String, Scores>) -> Vec<&Scores> {
    let enough: Vec<_> = languages.values().filter(|s| s.has_labelled()).collect();
    match enough.is_empty() {
        true => languages.values().collect(),
        false => enough,
    }
}

/// The lowest of the scores that, as a threshold, flags at most the target share of them. Every
/// list that is not empty weighs the same.
fn lowest(lists: &[&[f32]], target_fpr: f64) -> f32 {
    let count = lists.iter().filter(|list| !list.is_empty()).count();
    let weighted = |list: &&[f32]| {
        let weight = 1.0 / (list.len() * count) as f64;
        list.iter().map(|s| (*s, weight)).collect::<Vec<_>>()
    };
    let mut scores: Vec<(f32, f64)> = lists.iter().flat_map(weighted).collect();
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    // A text is flagged when its score exceeds the threshold. Going down, the scores before a place
    // are those a threshold there would flag, unless they equal it.
    let mut flagged = 0.0;
    let mut threshold = if scores.is_empty() { 0.0 } else { 1.0 };
    for group in scores.chunk_by(|a, b| a.0 == b.0) {
        // Weights are sums of fractions: forgive their rounding, or one row in ten would exceed 10
        // %.
        if flagged > target_fpr + 1e-9 {
            break;
        }
        threshold = group[0].0;
        flagged += group.iter().map(|(_, weight)| weight).sum::<f64>();
    }
    threshold.clamp(f32::MIN_POSITIVE, 1.0)
}

/// The share of the scores that a threshold flags; `None` of none.
pub(crate) fn flagged_share(scores: &[f32], threshold: f32) -> Option<f64> {
    let flagged = scores.iter().filter(|score| **score > threshold).count();
    (!scores.is_empty()).then(|| flagged as f64 / scores.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(count: usize) -> Vec<f32> {
        (1..=count).map(|i| i as f32 / (count + 1) as f32).collect()
    }

    #[test]
    fn the_lowest_keeps_the_target_and_no_lower_one_does() {
        for (count, target) in [(10, 0.1), (200, 0.1), (333, 0.05), (7, 0.0), (1, 0.5)] {
            let scores = ramp(count);
            let threshold = lowest(&[&scores], target);
            assert!(flagged_share(&scores, threshold).unwrap() <= target);
            if let Some(lower) = scores.iter().rev().find(|score| **score < threshold) {
                assert!(
                    flagged_share(&scores, *lower).unwrap() > target,
                    "{count} rows, {target}"
                );
            }
        }
    }

    #[test]
    fn ties_do_not_break_the_target() {
        let scores = [0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1];
        assert_eq!(lowest(&[&scores], 0.1), 0.9);
        assert_eq!(lowest(&[&scores], 0.3), 0.1);
        assert_eq!(lowest(&[&[0.0; 4]], 0.1), f32::MIN_POSITIVE);
    }

    fn scores(rows: usize, shift: f32) -> Scores {
        Scores {
            of_safe: ramp(rows).iter().map(|x| x * 0.5 + shift).collect(),
            of_unsafe: vec![0.9; rows / 2],
            of_benign: Vec::new(),
        }
    }

    const RATES: Rates = Rates {
        safe: 0.1,
        benign: 0.02,
    };

    #[test]
    fn languages_with_few_texts_take_the_default_threshold() {
        let languages = BTreeMap::from([
            ("en".to_owned(), scores(400, 0.0)),
            ("fr".to_owned(), scores(200, 0.3)),
            ("xx".to_owned(), scores(20, 0.4)),
        ]);
        let found = Thresholds::choose(&languages, RATES);
        assert_eq!(Vec::from_iter(found.languages.keys()), ["en", "fr"]);
        assert!(found.is_found && found.of("en") < found.of("fr"));
        assert_eq!(found.of("xx"), found.default);
        assert!(flagged_share(&languages["en"].of_safe, found.of("en")).unwrap() <= 0.1);
    }

    #[test]
    fn harmless_texts_raise_thresholds_and_never_lower_them() {
        let mut languages = BTreeMap::from([("en".to_owned(), scores(400, 0.0))]);
        let before = Thresholds::choose(&languages, RATES);
        let benign = |scores: Vec<f32>| Scores {
            of_benign: scores,
            ..Scores::default()
        };
        languages.insert("de".to_owned(), benign(ramp(200)));
        languages.insert("sv".to_owned(), benign(vec![0.01; 200]));
        languages.get_mut("en").unwrap().of_benign = ramp(200).iter().map(|x| x * 0.6).collect();
        let found = Thresholds::choose(&languages, RATES);
        assert!(found.of("en") > before.of("en"), "{found:?}");
        assert_eq!(found.of("sv"), before.default);
        assert!(found.of("de") > 0.97, "{found:?}");
        assert!(flagged_share(&languages["de"].of_benign, found.of("de")).unwrap() <= 0.02);
        // Texts of no known language go by the languages that have labels.
        assert_eq!(found.default, found.of("en"));
    }

    #[test]
    fn without_texts_nothing_is_known() {
        let found = Thresholds::choose(&BTreeMap::new(), RATES);
        assert_eq!((found.default, found.is_found), (UNCALIBRATED, false));
    }
}
