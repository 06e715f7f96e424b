use duoguard::{Change, ChangeKind, ScoredView, Span, ViewKind};

use super::*;

fn categories() -> Vec<String> {
    ["violent_crimes", "weapons", "hate", "privacy"]
        .map(str::to_owned)
        .to_vec()
}

fn verdict(category: Option<usize>, scores: &[f32]) -> Verdict {
    Verdict {
        flagged: category.is_some(),
        score: scores.iter().copied().fold(0.0, f32::max),
        category,
        scores: scores.to_vec(),
        language: "en".to_owned(),
        tokens: 12,
        tokens_scored: 12,
        windows: 1,
        span: Some(Span {
            prompt: 0..9,
            response: 0..0,
        }),
        views: vec![ScoredView {
            kind: ViewKind::Raw,
            score: 0.9,
            tokens: 12,
            tokens_scored: 12,
            windows: 1,
        }],
        changes: Vec::new(),
        changes_total: 0,
        allowed: false,
    }
}

fn text(verdict: &Verdict) -> String {
    let categories = categories();
    let mut out = Vec::new();
    Judgement::new(verdict, &categories, "native", 1.2345678)
        .write_text(&mut out)
        .unwrap();
    anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string()
}

#[test]
fn json_is_exactly_the_contract() {
    let categories = categories();
    let verdict = verdict(Some(1), &[0.01, 0.93, 0.5, 0.0]);
    let mut out = Vec::new();
    Judgement::new(&verdict, &categories, "native", 1.2345678)
        .write_json(&mut out)
        .unwrap();
    let expected = concat!(
        r#"{"flagged":true,"score":0.93,"category":"weapons","#,
        r#""scores":{"violent_crimes":0.01,"weapons":0.93,"hate":0.5,"privacy":0.0},"#,
        r#""language":"en","tokens":12,"tokens_scored":12,"windows":1,"engine":"native","elapsed_ms":1.235}"#,
        "\n"
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_safe_text_has_no_category() {
    let categories = categories();
    let verdict = verdict(None, &[0.01, 0.02, 0.0, 0.0]);
    let judgement = Judgement::new(&verdict, &categories, "native", 1.0);
    let value = serde_json::to_value(&judgement).unwrap();
    assert_eq!(value["flagged"], false);
    assert!(value["category"].is_null());
}

#[test]
fn a_line_for_people() {
    assert_eq!(
        text(&verdict(Some(0), &[0.93, 0.01, 0.0, 0.0])),
        "unsafe  violent_crimes 0.93  (en, 12 tokens, 1.2 ms)\n"
    );
    assert_eq!(
        text(&verdict(None, &[0.01, 0.02, 0.0, 0.0])),
        "safe    weapons 0.02  (en, 12 tokens, 1.2 ms)\n"
    );
}

#[test]
fn the_flagged_category_comes_first() {
    // With thresholds of their own, the flagged category need not have the largest score.
    assert_eq!(
        text(&verdict(Some(2), &[0.6, 0.01, 0.4, 0.2])),
        "unsafe  hate 0.40  violent_crimes 0.60  privacy 0.20  (en, 12 tokens, 1.2 ms)\n"
    );
}

#[test]
fn says_how_many_windows_a_long_text_took() {
    let mut long = verdict(None, &[0.01, 0.0, 0.0, 0.0]);
    (long.tokens, long.windows) = (700, 3);
    assert!(text(&long).contains("(en, 700 tokens in 3 windows, "));
}

#[test]
fn an_empty_text_has_no_scores_to_show() {
    let mut empty = verdict(None, &[0.0; 4]);
    (empty.tokens, empty.windows) = (0, 0);
    assert_eq!(text(&empty), "safe    (en, 0 tokens, 1.2 ms)\n");
}

#[test]
fn an_explanation_adds_its_keys() {
    let categories = categories();
    let mut verdict = verdict(Some(1), &[0.01, 0.93, 0.5, 0.0]);
    verdict.changes = vec![Change {
        kind: ChangeKind::Leet,
        span: Span {
            prompt: 2..6,
            response: 0..0,
        },
        count: 2,
    }];
    verdict.changes_total = 5;
    let judgement = Judgement::new(&verdict, &categories, "native", 1.0);
    let judgement = judgement.explained(Explanation::new(&verdict));
    let value = serde_json::to_value(&judgement).unwrap();
    let expected = serde_json::json!({
        "span": {"prompt": [0, 9], "response": [0, 0]}, "allowed": false, "changes_total": 5,
        "changes": [{"kind": "leet", "prompt": [2, 6], "response": [0, 0], "count": 2}],
    });
    for (key, expected) in expected.as_object().unwrap() {
        assert_eq!(&value[key], expected, "{key}");
    }
    assert_eq!(value["views"][0]["kind"], "raw");
    let mut out = Vec::new();
    judgement.write_text(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with(
        "\n    scored highest: prompt bytes 0 to 9\n    leet x 2 in prompt bytes 2 to 6\n    and 4 more changes\n"
    ));
}

#[test]
fn a_text_scored_in_part_says_so() {
    let mut verdict = verdict(None, &[0.01, 0.0, 0.0, 0.0]);
    verdict.tokens = 700;
    assert!(text(&verdict).contains("700 tokens, ONLY 12 OF THEM SCORED, "));
}
