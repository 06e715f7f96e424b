//! Probabilities: how the logits of a network become the chances that they claim to be, fitted on
//! labelled texts.
//!
//! First a line per category, on the texts of which the category is known, where every category has
//! enough of them: a verdict's score is the largest, and lines of some categories alone would move
//! these against the others. Then a line per language, for all categories alike, on the largest of
//! them, so that a verdict's score is the chance that the text is unsafe where as many texts are
//! unsafe as are safe. How many are in the texts at hand says nothing about those to come.

use std::collections::BTreeMap;

use duoguard::Calibration;

use crate::rows::Row;

/// A line is fitted on at least this many texts of either label.
const MIN_TEXTS: usize = 50;
/// How many texts' worth of doubt there is that a line is the one it starts from: keeps those of
/// few texts near it.
const DOUBT: f64 = 5.0;
/// Newton's method on two parameters; it takes about six steps.
const MAX_STEPS: usize = 50;
/// A line that rises less says nothing.
const MIN_SCALE: f64 = 0.01;

/// A labelled text with the largest logit that each category has in it.
#[derive(Clone, Debug)]
pub(crate) struct Judged<'a> {
    pub(crate) row: &'a Row,
    pub(crate) logits: Vec<f32>,
}

/// One line per category, for each language and for those that have none of their own.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Probabilities {
    pub(crate) default: Vec<Calibration>,
    pub(crate) languages: BTreeMap<String, Vec<Calibration>>,
}

/// A logit, whether what it speaks for is so, and how much that counts.
#[derive(Clone, Copy)]
struct Point {
    logit: f64,
    label: bool,
    weight: f64,
}

impl Probabilities {
    /// Fits all lines. Whatever has too few texts keeps what it starts from: the categories, if one
    /// of them has, the logits as they are, a language the line of all languages.
    pub(crate) fn fit(judged: &[Judged<'_>], categories: &[String]) -> Self {
        let own: Option<Vec<Calibration>> = (0..categories.len())
            .map(|index| category(judged, index, &categories[index]))
            .collect();
        let of_categories = own.unwrap_or_else(|| vec![Calibration::IDENTITY; categories.len()]);
        let mut languages: BTreeMap<&str, Vec<Point>> = BTreeMap::new();
        for one in judged {
            let point = Point {
                logit: largest(&one.logits, &of_categories),
                label: one.row.is_unsafe,
                weight: 1.0,
            };
            languages.entry(&one.row.lang).or_default().push(point);
        }
        languages.retain(|_, points| is_enough(points));
        let texts: usize = languages.values().map(Vec::len).sum();
        languages.values_mut().for_each(|points| balance(points));
        // Every language weighs the same, and all together as much as there are texts.
        let pooled: Vec<Point> = languages
            .values()
            .flat_map(|points| {
                let share = texts as f64 / (languages.len() * points.len()) as f64;
                points.iter().map(move |point| Point {
                    weight: share * point.weight,
                    ..*point
                })
            })
            .collect();
        let start = line(&pooled);
        let default = of_categories.iter().map(|own| after(start, *own));
        let default: Vec<Calibration> = default.collect();
        let own = languages.into_iter().map(|(tag, mut points)| {
            for point in &mut points {
                point.logit = applied(start, point.logit);
            }
            let own = line(&points);
            let lines = default.iter().map(|default| after(own, *default));
            (tag.to_owned(), lines.collect())
        });
        Self {
            languages: own.collect(),
            default,
        }
    }

    /// The score of a text: the largest probability of any category, as a verdict has it.
    pub(crate) fn score(&self, language: &str, logits: &[f32]) -> f32 {
        let lines = self.languages.get(language).unwrap_or(&self.default);
        let probabilities = lines.iter().zip(logits).map(|(l, z)| l.probability(*z));
        probabilities.fold(0.0, f32::max)
    }
}

/// The line of a category; none if it has too few texts.
fn category(judged: &[Judged<'_>], index: usize, name: &str) -> Option<Calibration> {
    let points: Vec<Point> = judged
        .iter()
        // An unsafe text of unknown categories says nothing about any of them.
        .filter(|one| !one.row.is_unsafe || !one.row.categories.is_empty())
        .map(|one| Point {
            logit: f64::from(one.logits[index]),
            label: one.row.categories.contains(name),
            weight: 1.0,
        })
        .collect();
    is_enough(&points).then(|| line(&points))
}

/// Gives both labels the same weight, and all points together that of their number.
fn balance(points: &mut [Point]) {
    let texts = points.len() as f64;
    let positives = points.iter().filter(|point| point.label).count() as f64;
    for point in points {
        let count = if point.label {
            positives
        } else {
            texts - positives
        };
        point.weight = texts / (2.0 * count);
    }
}

fn is_enough(points: &[Point]) -> bool {
    let positives = points.iter().filter(|point| point.label).count();
    positives >= MIN_TEXTS && points.len() - positives >= MIN_TEXTS
}

fn largest(logits: &[f32], lines: &[Calibration]) -> f64 {
    let values = logits
        .iter()
        .zip(lines)
        .map(|(z, l)| applied(*l, f64::from(*z)));
    values.fold(f64::NEG_INFINITY, f64::max)
}

fn applied(line: Calibration, logit: f64) -> f64 {
    f64::from(line.scale) * logit + f64::from(line.offset)
}

/// `outer` of what `inner` gives, as one line.
fn after(outer: Calibration, inner: Calibration) -> Calibration {
    Calibration {
        scale: outer.scale * inner.scale,
        offset: outer.scale * inner.offset + outer.offset,
    }
}

/// The likeliest line (Platt's method), near the identity if there is little to go by.
fn line(points: &[Point]) -> Calibration {
    let loss = |scale: f64, offset: f64| -> f64 {
        let doubt = DOUBT * ((scale - 1.0).powi(2) + offset.powi(2)) / 2.0;
        let surprise = points.iter().map(|point| {
            let z = scale * point.logit + offset;
            let z = if point.label { -z } else { z };
            // ln(1 + e^z), without overflow.
            point.weight * (z.max(0.0) + (-z.abs()).exp().ln_1p())
        });
        doubt + surprise.sum::<f64>()
    };
    let (mut scale, mut offset) = (1.0, 0.0);
    let mut current = loss(scale, offset);
    for _ in 0..MAX_STEPS {
        let mut gradient = [DOUBT * (scale - 1.0), DOUBT * offset];
        let (mut aa, mut ab, mut bb) = (DOUBT, 0.0, DOUBT);
        for point in points {
            let p = 1.0 / (1.0 + (-(scale * point.logit + offset)).exp());
            let error = point.weight * (p - f64::from(u8::from(point.label)));
            let curvature = point.weight * p * (1.0 - p);
            gradient[0] += error * point.logit;
            gradient[1] += error;
            aa += curvature * point.logit * point.logit;
            ab += curvature * point.logit;
            bb += curvature;
        }
        let determinant = aa * bb - ab * ab;
        let step = [
            (bb * gradient[0] - ab * gradient[1]) / determinant,
            (aa * gradient[1] - ab * gradient[0]) / determinant,
        ];
        // A whole step may go too far where the curve is flat: halve it until it helps.
        let tries = (0..30).map(|n| 0.5_f64.powi(n));
        let better = tries
            .map(|size| (scale - size * step[0], offset - size * step[1]))
            .map(|(scale, offset)| (scale, offset, loss(scale, offset)))
            .find(|(.., loss)| *loss < current);
        match better {
            Some(next) => (scale, offset, current) = next,
            None => break,
        }
    }
    match scale >= MIN_SCALE {
        true => Calibration {
            scale: scale as f32,
            offset: offset as f32,
        },
        // The logits do not tell what they should; turning them round would be absurd.
        false => Calibration::IDENTITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Texts of which, at every logit from -3 to 3, the share is unsafe that a line says.
    fn rows(lang: &str, truth: Calibration, each: usize) -> Vec<(Row, Vec<f32>)> {
        let mut rows = Vec::new();
        for step in -6..=6 {
            let logit = step as f32 / 2.0;
            let share = truth.probability(logit);
            for n in 0..each {
                let is_unsafe = (n as f32 + 0.5) / (each as f32) < share;
                let row = Row {
                    text: String::new(),
                    lang: lang.to_owned(),
                    is_unsafe,
                    categories: BTreeSet::new(),
                    line: 1,
                };
                rows.push((row, vec![logit, -9.0]));
            }
        }
        rows
    }

    fn fit(rows: &[(Row, Vec<f32>)]) -> Probabilities {
        let judged: Vec<_> = rows
            .iter()
            .map(|(row, logits)| Judged {
                row,
                logits: logits.clone(),
            })
            .collect();
        Probabilities::fit(&judged, &["a".to_owned(), "b".to_owned()])
    }

    fn is_near(found: Calibration, scale: f32, offset: f32) -> bool {
        (found.scale - scale).abs() < 0.1 && (found.offset - offset).abs() < 0.1
    }

    #[test]
    fn lines_are_found_again() {
        let line = |scale, offset| Calibration { scale, offset };
        let mut all = rows("en", line(0.5, 0.3), 400);
        all.extend(rows("fr", line(2.0, -1.0), 400));
        let found = fit(&all);
        // As if there were as many unsafe texts as safe ones.
        let shift = |lang: &str| {
            let of = all.iter().filter(|(row, _)| row.lang == lang);
            let labels: Vec<bool> = of.map(|(row, _)| row.is_unsafe).collect();
            let positives = labels.iter().filter(|label| **label).count() as f32;
            (positives / (labels.len() as f32 - positives)).ln()
        };
        let (en, fr) = (0.3 - shift("en"), -1.0 - shift("fr"));
        assert!(is_near(found.languages["en"][0], 0.5, en), "{found:?}");
        assert!(is_near(found.languages["fr"][0], 2.0, fr), "{found:?}");
        let score = found.score("fr", &[1.0, -9.0]);
        assert!((score - line(2.0, fr).probability(1.0)).abs() < 0.02);
        // Other languages have what is between.
        let default = found.score("de", &[1.0, -9.0]);
        assert_ne!(default, score);
    }

    #[test]
    fn what_has_few_texts_keeps_what_it_starts_from() {
        let truth = Calibration {
            scale: 0.5,
            offset: 0.3,
        };
        let found = fit(&rows("en", truth, 5));
        assert_eq!(found.default, [Calibration::IDENTITY; 2]);
        assert!(found.languages.is_empty());
        // And so does a network that is wrong the more, the surer it is.
        let wrong = Calibration {
            scale: -1.0,
            offset: 0.0,
        };
        assert_eq!(
            fit(&rows("en", wrong, 50)).default[0],
            Calibration::IDENTITY
        );
    }

    #[test]
    fn a_category_is_fitted_on_texts_of_known_categories() {
        let truth = Calibration {
            scale: 2.0,
            offset: -1.0,
        };
        let mut all = rows("en", truth, 200);
        for (row, _) in all.iter_mut().filter(|(row, _)| row.is_unsafe) {
            row.categories.insert("a".to_owned());
        }
        let judged: Vec<_> = all
            .iter()
            .map(|(row, logits)| Judged {
                row,
                logits: logits.clone(),
            })
            .collect();
        assert!(is_near(category(&judged, 0, "a").unwrap(), 2.0, -1.0));
        assert_eq!(category(&judged, 1, "b"), None);
        // A line for one of them alone would move it against the other.
        let found = fit(&all);
        assert_eq!(found.default[0], found.default[1]);
    }
}
