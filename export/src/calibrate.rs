//! Thresholds: per language, the lowest whose false positive rate on labelled texts stays within a target.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;

use duoguard::{Input, Model, Policy};
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use crate::error::ExportError;
use crate::measure::in_parallel;

/// A language needs this many safe rows for a threshold of its own: at 10 % FPR its standard error is then about 2 points.
const MIN_SAFE_ROWS: usize = 200;
/// And this many unsafe ones, so that its recall means something.
const MIN_UNSAFE_ROWS: usize = 50;
/// The threshold of every category when nothing is known.
const UNCALIBRATED: f32 = 0.5;
/// A line longer than this is not a text.
const MAX_LINE_BYTES: u64 = 16 << 20;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What calibration found, as it stands in the manifest's `provenance.calibration`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CalibrationReport {
    /// The false positive rate that thresholds were to stay within.
    pub target_fpr: f64,
    /// The threshold of languages that have none of their own, and how it does on all rows, each language weighing the same.
    pub default: LanguageCalibration,
    /// Per language tag.
    pub languages: BTreeMap<String, LanguageCalibration>,
}

/// How one threshold does on the rows of one language.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LanguageCalibration {
    /// Rows labelled safe.
    pub safe_rows: usize,
    /// Rows labelled unsafe.
    pub unsafe_rows: usize,
    /// The threshold of every category in this language.
    pub threshold: f32,
    /// Whether the threshold was found on this language's own rows; too few rows take the default one.
    pub own_threshold: bool,
    /// The share of safe rows that it flags; absent without safe rows.
    pub fpr: Option<f64>,
    /// The share of unsafe rows that it flags; absent without unsafe rows.
    pub recall: Option<f64>,
}

/// A labelled text.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) text: String,
    lang: String,
    is_unsafe: bool,
    line: usize,
}

/// Reads labelled texts from JSONL, plain or gzipped. Blank lines are skipped, unknown fields ignored.
pub(crate) fn read(path: &Path) -> Result<Vec<Row>, ExportError> {
    let failed = |cause| ExportError::io("read", path)(cause);
    let mut file = File::open(path).map_err(failed)?;
    let mut magic = Vec::new();
    (&mut file)
        .take(GZIP_MAGIC.len() as u64)
        .read_to_end(&mut magic)
        .map_err(failed)?;
    file.rewind().map_err(failed)?;
    let mut reader: Box<dyn BufRead> = if magic == GZIP_MAGIC {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    };
    let mut rows = Vec::new();
    for line in 1.. {
        let refused = |message: String| ExportError::Calibration {
            path: path.to_owned(),
            line,
            message,
        };
        let mut bytes = Vec::new();
        let size = (&mut reader)
            .take(MAX_LINE_BYTES + 1)
            .read_until(b'\n', &mut bytes)
            .map_err(failed)?;
        if size == 0 {
            break;
        }
        if size as u64 > MAX_LINE_BYTES {
            return Err(refused(format!(
                "the line is longer than {MAX_LINE_BYTES} bytes"
            )));
        }
        if !bytes.trim_ascii().is_empty() {
            rows.push(parse(&bytes, line).map_err(refused)?);
        }
    }
    if rows.is_empty() {
        return Err(ExportError::Calibration {
            path: path.to_owned(),
            line: 1,
            message: "the file has no rows".to_owned(),
        });
    }
    Ok(rows)
}

fn parse(bytes: &[u8], line: usize) -> Result<Row, String> {
    #[derive(Deserialize)]
    struct Fields {
        text: String,
        lang: String,
        r#unsafe: u8,
    }
    let fields: Fields = serde_json::from_slice(bytes)
        .map_err(|cause| format!("not a row with the fields text, lang and unsafe: {cause}"))?;
    if fields.r#unsafe > 1 {
        return Err(format!("unsafe is {}; expected 0 or 1", fields.r#unsafe));
    }
    let lang = fields.lang.to_ascii_lowercase();
    let first = lang.split('-').next().unwrap_or_default();
    let subtags = |tag: &str| {
        tag.split('-')
            .all(|s| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    if !((2..=8).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_alphabetic())
        && subtags(&lang))
    {
        return Err(format!(
            "lang is {:?}; expected a BCP-47 tag such as \"en\"",
            fields.lang
        ));
    }
    Ok(Row {
        text: fields.text,
        lang,
        is_unsafe: fields.r#unsafe == 1,
        line,
    })
}

/// The policy of a model without calibration.
pub(crate) fn uncalibrated(categories: &[String]) -> Policy {
    policy(categories, UNCALIBRATED, BTreeMap::new())
}

/// Finds thresholds for a model on labelled texts.
pub(crate) fn calibrate(
    model: &Model,
    path: &Path,
    rows: &[Row],
    target_fpr: f64,
) -> Result<(Policy, CalibrationReport), ExportError> {
    let scores = in_parallel(&[model], rows, |sessions, row| {
        let input = Input {
            prompt: &row.text,
            response: None,
            language: Some(&row.lang),
        };
        let verdict = sessions[0]
            .check(&input)
            .map_err(|cause| ExportError::Calibration {
                path: path.to_owned(),
                line: row.line,
                message: cause.to_string(),
            })?;
        Ok(verdict.score)
    })?;
    let mut languages: BTreeMap<String, Scores> = BTreeMap::new();
    for (row, score) in rows.iter().zip(scores) {
        let scores = languages.entry(row.lang.clone()).or_default();
        let list = if row.is_unsafe {
            &mut scores.of_unsafe
        } else {
            &mut scores.of_safe
        };
        list.push(score);
    }
    let report = choose(&languages, target_fpr);
    let own = report
        .languages
        .iter()
        .filter(|(_, language)| language.own_threshold);
    let own = own
        .map(|(tag, language)| (tag.clone(), language.threshold))
        .collect();
    Ok((
        policy(model.categories(), report.default.threshold, own),
        report,
    ))
}

#[derive(Default)]
struct Scores {
    of_safe: Vec<f32>,
    of_unsafe: Vec<f32>,
}

impl Scores {
    fn is_enough(&self) -> bool {
        self.of_safe.len() >= MIN_SAFE_ROWS && self.of_unsafe.len() >= MIN_UNSAFE_ROWS
    }

    fn report(&self, threshold: f32, own_threshold: bool) -> LanguageCalibration {
        LanguageCalibration {
            safe_rows: self.of_safe.len(),
            unsafe_rows: self.of_unsafe.len(),
            threshold,
            own_threshold,
            fpr: flagged_share(&self.of_safe, threshold),
            recall: flagged_share(&self.of_unsafe, threshold),
        }
    }
}

fn choose(languages: &BTreeMap<String, Scores>, target_fpr: f64) -> CalibrationReport {
    let enough: Vec<_> = languages
        .values()
        .filter(|scores| scores.is_enough())
        .collect();
    // Languages with a handful of rows would weigh as much as the others, so they count only if there is nothing else.
    let pooled = if enough.is_empty() {
        languages.values().collect()
    } else {
        enough
    };
    let safe: Vec<&[f32]> = pooled.iter().map(|scores| &scores.of_safe[..]).collect();
    let count = |list: fn(&Scores) -> usize| pooled.iter().map(|scores| list(scores)).sum();
    let (safe_rows, unsafe_rows) = (count(|s| s.of_safe.len()), count(|s| s.of_unsafe.len()));
    let is_enough = safe_rows >= MIN_SAFE_ROWS && unsafe_rows >= MIN_UNSAFE_ROWS;
    let default = if is_enough {
        lowest_threshold(&safe, target_fpr)
    } else {
        UNCALIBRATED
    };
    let mean = |list: fn(&Scores) -> &[f32]| {
        let shares: Vec<_> = pooled
            .iter()
            .filter_map(|scores| flagged_share(list(scores), default))
            .collect();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    };
    let reports = languages.iter().map(|(tag, scores)| {
        let report = if scores.is_enough() {
            scores.report(lowest_threshold(&[&scores.of_safe], target_fpr), true)
        } else {
            scores.report(default, false)
        };
        (tag.clone(), report)
    });
    CalibrationReport {
        target_fpr,
        default: LanguageCalibration {
            safe_rows,
            unsafe_rows,
            threshold: default,
            own_threshold: is_enough,
            fpr: mean(|s| &s.of_safe),
            recall: mean(|s| &s.of_unsafe),
        },
        languages: reports.collect(),
    }
}

/// The lowest of the scores that, as a threshold, flags at most the target share of them. Every list weighs the same.
fn lowest_threshold(lists: &[&[f32]], target_fpr: f64) -> f32 {
    let mut scores: Vec<(f32, f64)> = lists
        .iter()
        .flat_map(|list| {
            list.iter()
                .map(|score| (*score, 1.0 / (list.len() * lists.len()) as f64))
        })
        .collect();
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    // A text is flagged when its score exceeds the threshold. Going down, the scores before a place are those a threshold there
    // would flag, unless they equal it.
    let mut flagged = 0.0;
    let mut threshold = 1.0;
    for group in scores.chunk_by(|a, b| a.0 == b.0) {
        // Weights are sums of fractions: forgive their rounding, or one row in ten would exceed 10 %.
        if flagged > target_fpr + 1e-9 {
            break;
        }
        threshold = group[0].0;
        flagged += group.iter().map(|(_, weight)| weight).sum::<f64>();
    }
    threshold.clamp(f32::MIN_POSITIVE, 1.0)
}

fn flagged_share(scores: &[f32], threshold: f32) -> Option<f64> {
    let flagged = scores.iter().filter(|score| **score > threshold).count();
    (!scores.is_empty()).then(|| flagged as f64 / scores.len() as f64)
}

fn policy(categories: &[String], default: f32, languages: BTreeMap<String, f32>) -> Policy {
    let all = |threshold: f32| {
        categories
            .iter()
            .map(|category| (category.clone(), threshold))
            .collect()
    };
    Policy {
        default_thresholds: all(default),
        language_thresholds: languages
            .into_iter()
            .map(|(tag, threshold)| (tag, all(threshold)))
            .collect(),
        ..Policy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(count: usize) -> Vec<f32> {
        (1..=count).map(|i| i as f32 / (count + 1) as f32).collect()
    }

    #[test]
    fn lowest_threshold_keeps_the_target_and_no_lower_one_does() {
        for (count, target) in [(10, 0.1), (200, 0.1), (333, 0.05), (7, 0.0), (1, 0.5)] {
            let scores = ramp(count);
            let threshold = lowest_threshold(&[&scores], target);
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
        assert_eq!(lowest_threshold(&[&scores], 0.1), 0.9);
        assert_eq!(lowest_threshold(&[&scores], 0.3), 0.1);
        assert_eq!(lowest_threshold(&[&[0.0; 4]], 0.1), f32::MIN_POSITIVE);
    }

    #[test]
    fn languages_with_few_rows_take_the_default_threshold() {
        let scores = |rows: usize, shift: f32| Scores {
            of_safe: ramp(rows).iter().map(|x| x * 0.5 + shift).collect(),
            of_unsafe: vec![0.9; rows / 2],
        };
        let languages = BTreeMap::from([
            ("en".to_owned(), scores(400, 0.0)),
            ("fr".to_owned(), scores(200, 0.3)),
            ("xx".to_owned(), scores(20, 0.4)),
        ]);
        let report = choose(&languages, 0.1);
        let own: Vec<_> = report
            .languages
            .values()
            .map(|language| language.own_threshold)
            .collect();
        assert_eq!(own, [true, true, false]);
        assert_eq!(report.languages["xx"].threshold, report.default.threshold);
        assert!(report.languages["en"].threshold < report.languages["fr"].threshold);
        assert!(report.languages["en"].fpr.unwrap() <= 0.1);
        assert!(report.default.fpr.unwrap() <= 0.1);
        assert_eq!(
            (report.default.safe_rows, report.default.unsafe_rows),
            (600, 300)
        );
    }

    #[test]
    fn rows_say_what_is_wrong_with_them() {
        let message = |json: &str| parse(json.as_bytes(), 1).unwrap_err();
        assert!(message(r#"{"text": "a", "lang": "en"}"#).contains("unsafe"));
        assert!(message(r#"{"text": "a", "lang": "en", "unsafe": 2}"#).contains("unsafe is 2"));
        assert!(
            message(r#"{"text": "a", "lang": "english language", "unsafe": 1}"#).contains("lang")
        );
        assert!(message("nonsense").contains("not a row"));
        let row = parse(
            br#"{"text": "a", "lang": "pt-BR", "unsafe": 1, "group": 5}"#,
            1,
        )
        .unwrap();
        assert_eq!((row.lang.as_str(), row.is_unsafe), ("pt-br", true));
    }
}
