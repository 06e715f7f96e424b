//! A bundle's certificate, for people: what quantising changed, in a table.

use std::fmt::Write as _;

use duoguard_eval::page::Table;
use duoguard_export::{Certificate, Change, Effect};
use serde_json::Value;

use crate::section;

/// Adds the certificate of a manifest.
pub(crate) fn describe(text: &mut String, value: &Value) {
    if value.is_null() {
        text.push_str(
            "certificate: none; what quantising changed is not known, or nothing is quantised\n",
        );
        return;
    }
    // What another version wrote is shown as it is.
    let Ok(certificate) = serde_json::from_value::<Certificate>(value.clone()) else {
        section::describe(text, "certificate", value);
        return;
    };
    table(text, &certificate);
}

/// The certificate of a manifest in one line.
pub(crate) fn sentence(value: &Value) -> String {
    if value.is_null() {
        return "none".to_owned();
    }
    let Ok(certificate) = serde_json::from_value::<Certificate>(value.clone()) else {
        return "of another version: --verbose".to_owned();
    };
    let Certificate { passed, all, .. } = &certificate;
    let verdict = if *passed { "passed" } else { "FAILED" };
    let change = |name: &str, change: Option<Change>| {
        let points = change.map(|change| 100.0 * change.change);
        points.map_or(String::new(), |points| {
            format!(", {name} {points:+.2} points")
        })
    };
    format!(
        "{verdict}: quantising changed {} of {} verdicts{}{}",
        all.flips,
        all.texts,
        change("FPR", all.fpr),
        change("recall", all.recall),
    )
}

/// The certificate of a manifest as a sentence and a table; `None` where there is none that can be
/// read.
pub(crate) fn for_page(value: &Value) -> Option<(String, Table)> {
    let certificate = serde_json::from_value::<Certificate>(value.clone()).ok()?;
    let sentence = format!(
        "Certificate {}: {}{} against 32-bit floats on {} texts. Changes with their 95 % intervals, in points.",
        if certificate.passed {
            "passed"
        } else {
            "FAILED"
        },
        certificate.scheme,
        on(&certificate.engine),
        certificate.all.texts,
    );
    let mut table = Table::new([
        "Language",
        "texts",
        "flips",
        "logit p50",
        "logit p95",
        "FPR",
        "recall",
        "F1",
        "AUROC",
    ]);
    let languages = certificate.languages.iter();
    let rows = languages.map(|(tag, language)| (tag.as_str(), &language.verdict));
    for (tag, effect) in rows.chain([("all", &certificate.all)]) {
        let mut cells = vec![
            tag.to_owned(),
            effect.texts.to_string(),
            effect.flips.to_string(),
            format!("{:.4}", effect.logit_error.p50),
            format!("{:.4}", effect.logit_error.p95),
        ];
        cells.extend([effect.fpr, effect.recall, effect.f1, effect.auroc].map(points));
        table.rows.push(cells);
    }
    Some((sentence, table))
}

fn table(text: &mut String, certificate: &Certificate) {
    let Certificate {
        passed,
        scheme,
        engine,
        texts,
        tolerance,
        violations,
        all,
        languages,
    } = certificate;
    let verdict = if *passed { "passed" } else { "FAILED" };
    let _ = writeln!(
        text,
        "certificate: {verdict}; {scheme}{} against 32-bit floats on {} texts ({texts})\n  \
         allowed in any language: {:.1} points of false positive rate and of recall, {:.1} % of verdicts",
        on(engine),
        all.texts,
        100.0 * tolerance.fpr.max(tolerance.recall),
        100.0 * tolerance.flips,
    );
    for violation in violations {
        let _ = writeln!(text, "  beyond that: {violation}");
    }
    let _ = writeln!(
        text,
        "  {:9} {:>6} {:>6} {:>9} {:>9}  {:>21}  {:>21}  {:>21}  {:>21}",
        "language",
        "texts",
        "flips",
        "logit p50",
        "p95",
        "FPR, points",
        "recall, points",
        "F1, points",
        "AUROC, points"
    );
    let rows = languages
        .iter()
        .map(|(tag, language)| (tag.as_str(), &language.verdict));
    for (tag, effect) in rows.chain([("all", all)]) {
        row(text, tag, effect);
    }
    let moved = languages.iter().flat_map(|(tag, language)| {
        let categories = language.categories.iter();
        categories.map(move |(category, effect)| (tag, category, effect))
    });
    let worst = moved.max_by(|a, b| {
        let key = |effect: &Effect| {
            (
                effect.flips as f64 / effect.texts.max(1) as f64,
                effect.logit_error.p95,
            )
        };
        let (a, b) = (key(a.2), key(b.2));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    if let Some((tag, category, effect)) = worst {
        let _ = writeln!(
            text,
            "  most moved category: {category} in {tag}, {} of {} verdicts, logits by {:.3} at the 95th percentile",
            effect.flips, effect.texts, effect.logit_error.p95
        );
    }
}

/// The engine that judged, where it is known.
fn on(engine: &Option<String>) -> String {
    engine
        .as_ref()
        .map_or(String::new(), |engine| format!(" on {engine}"))
}

fn row(text: &mut String, tag: &str, effect: &Effect) {
    let _ = write!(
        text,
        "  {tag:9} {:>6} {:>6} {:>9.4} {:>9.4}",
        effect.texts, effect.flips, effect.logit_error.p50, effect.logit_error.p95
    );
    for change in [effect.fpr, effect.recall, effect.f1, effect.auroc] {
        let _ = write!(text, "  {:>21}", points(change));
    }
    text.push('\n');
}

/// The change with its 95 % interval.
fn points(change: Option<Change>) -> String {
    change.map_or("-".to_owned(), |c| {
        let [change, low, high] = [c.change, c.low, c.high].map(|x| 100.0 * x);
        format!("{change:+.2} [{low:+.2}, {high:+.2}]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn described(value: &Value) -> String {
        let mut text = String::new();
        describe(&mut text, value);
        text
    }

    #[test]
    fn a_failed_certificate_says_so_and_shows_every_language() {
        let error = json!({ "mean": 0.1, "p50": 0.1, "p95": 0.2, "max": 0.3 });
        let fpr =
            json!({ "fp32": 0.1, "quantized": 0.15, "change": 0.05, "low": 0.01, "high": 0.09 });
        let effect = json!({ "texts": 50, "safe": 25, "unsafe": 25, "logit_error": error, "flips": 4, "fpr": fpr });
        let mut language = effect.clone();
        language["categories"] = json!({ "hate": effect });
        let value = json!({
            "passed": false, "scheme": "int8-dynamic", "engine": "native", "texts": "validation.jsonl",
            "tolerance": { "fpr": 0.01, "recall": 0.01, "flips": 0.01 },
            "violations": ["fr: too much"], "all": effect, "languages": { "fr": language },
        });
        let text = described(&value);
        assert_eq!(
            sentence(&value),
            "FAILED: quantising changed 4 of 50 verdicts, FPR +5.00 points"
        );
        for part in [
            "certificate: FAILED; int8-dynamic on native against",
            "beyond that: fr: too much",
            "+5.00 [+1.00, +9.00]",
            "most moved category: hate in fr, 4 of 50",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn what_it_cannot_read_is_shown_as_it_is() {
        assert!(described(&json!({ "newer": 5 })).contains("\"newer\": 5"));
        assert!(described(&Value::Null).contains("none"));
        assert_eq!(sentence(&Value::Null), "none");
        assert_eq!(
            sentence(&json!({ "newer": 5 })),
            "of another version: --verbose"
        );
    }
}
