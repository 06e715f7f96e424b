//! Certificates of guards whose difference is known.

use super::*;
use crate::calibrate::uncalibrated;

/// `count` texts of a language, every other one unsafe; unsafe ones have the logit 2, safe ones -2.
fn guard(lang: &str, count: usize) -> (Vec<Text>, Vec<Vec<f32>>) {
    let text = |index: usize| {
        let label = index % 2;
        let json =
            serde_json::json!({ "text": "a", "lang": lang, "unsafe": label, "categories": ["a"] });
        serde_json::from_value(json).unwrap()
    };
    let logits = |index: usize| vec![if index % 2 == 1 { 2.0 } else { -2.0 }, -9.0];
    (
        (0..count).map(text).collect(),
        (0..count).map(logits).collect(),
    )
}

fn certify(texts: &[Text], fp32: &[Vec<f32>], quantized: &[Vec<f32>]) -> Certificate {
    let categories = ["a".to_owned(), "b".to_owned()];
    let comparison = Comparison {
        texts,
        fp32,
        quantized,
        categories: &categories,
        policy: &uncalibrated(&categories),
    };
    comparison.certify("int8-dynamic", "built-in", Tolerance::default())
}

#[test]
fn small_moves_that_change_no_verdict_pass() {
    let (texts, fp32) = guard("en", 300);
    let moved: Vec<Vec<f32>> = fp32
        .iter()
        .map(|row| row.iter().map(|x| x * 1.1).collect())
        .collect();
    let certificate = certify(&texts, &fp32, &moved);
    assert!(certificate.passed, "{:?}", certificate.violations);
    assert_eq!((certificate.all.flips, certificate.all.safe), (0, 150));
    let error = certificate.all.logit_error;
    assert!((error.max - 0.9).abs() < 1e-5 && (error.p50 - 0.2).abs() < 1e-5);
    let change = certificate.languages["en"].verdict.fpr.unwrap();
    assert_eq!((change.change, change.low, change.high), (0.0, 0.0, 0.0));
}

#[test]
fn one_language_beyond_the_tolerance_fails_it() {
    let (mut texts, mut fp32) = guard("en", 2000);
    let (more, logits) = guard("fr", 200);
    texts.extend(more);
    fp32.extend(logits);
    let mut quantized = fp32.clone();
    // Three of the hundred safe French texts are now flagged: little among all, too much among
    // them.
    for row in [2000, 2002, 2004] {
        quantized[row][0] = 0.1;
    }
    let certificate = certify(&texts, &fp32, &quantized);
    assert!(!certificate.passed);
    assert_eq!(
        certificate.violations.len(),
        2,
        "{:?}",
        certificate.violations
    );
    assert!(
        certificate.violations[0]
            .starts_with("fr: the false positive rate goes from 0.0 % to 3.0 %")
    );
    assert!(certificate.violations[1].starts_with("fr: 3 of 200 verdicts change"));
    let french = &certificate.languages["fr"];
    let change = french.verdict.fpr.unwrap();
    assert!((change.change - 0.03).abs() < 1e-9);
    assert!(change.low < 0.03 && 0.03 < change.high && change.low >= 0.0 && change.high < 0.10);
    assert_eq!(french.categories["a"].flips, 3);
    assert_eq!(french.categories["b"].flips, 0);
    assert!(french.categories["a"].auroc.is_some());
}

#[test]
fn a_guard_that_flags_everything_is_judged_by_category() {
    let (texts, mut fp32) = guard("en", 100);
    fp32.iter_mut().for_each(|row| row[1] = 5.0);
    let mut quantized = fp32.clone();
    for row in &mut quantized[..5] {
        row[0] = -row[0];
    }
    let certificate = certify(&texts, &fp32, &quantized);
    assert_eq!(certificate.all.flips, 0);
    assert_eq!(
        certificate.violations,
        ["en: 5 of 200 verdicts on single categories change, more than 1.0 %"]
    );
}

#[test]
fn one_text_may_change_and_two_may_not() {
    let (texts, fp32) = guard("de", 40);
    let mut quantized = fp32.clone();
    quantized[1][0] = -0.1;
    assert!(certify(&texts, &fp32, &quantized).passed);
    quantized[3][0] = -0.1;
    assert!(!certify(&texts, &fp32, &quantized).passed);
}

#[test]
fn texts_without_labels_have_flips_and_no_rates() {
    let texts = crate::texts::built_in();
    let fp32: Vec<_> = texts.iter().map(|_| vec![-1.0, -2.0]).collect();
    let mut quantized = fp32.clone();
    let certificate = certify(&texts, &fp32, &quantized);
    assert!(certificate.passed && certificate.all.fpr.is_none());
    quantized.iter_mut().for_each(|row| row[1] = 1.0);
    let certificate = certify(&texts, &fp32, &quantized);
    assert_eq!(certificate.all.flips, texts.len());
    assert!(!certificate.passed);
}

#[test]
fn it_reads_back_as_it_was_written() {
    let (texts, fp32) = guard("en", 20);
    let certificate = certify(&texts, &fp32, &fp32);
    let json = serde_json::to_value(&certificate).unwrap();
    assert_eq!(
        serde_json::from_value::<Certificate>(json).unwrap(),
        certificate
    );
}
