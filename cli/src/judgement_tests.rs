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
    }
}

fn text(verdict: &Verdict) -> String {
    let categories = categories();
    let mut out = Vec::new();
    Judgement::new(verdict, &categories, "rten", 1.2345678)
        .write_text(&mut out)
        .unwrap();
    anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string()
}

#[test]
fn json_is_exactly_the_contract() {
    let categories = categories();
    let verdict = verdict(Some(1), &[0.01, 0.93, 0.5, 0.0]);
    let mut out = Vec::new();
    Judgement::new(&verdict, &categories, "rten", 1.2345678)
        .write_json(&mut out)
        .unwrap();
    let expected = concat!(
        r#"{"flagged":true,"score":0.93,"category":"weapons","#,
        r#""scores":{"violent_crimes":0.01,"weapons":0.93,"hate":0.5,"privacy":0.0},"#,
        r#""language":"en","tokens":12,"tokens_scored":12,"windows":1,"engine":"rten","elapsed_ms":1.235}"#,
        "\n"
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_safe_text_has_no_category() {
    let categories = categories();
    let verdict = verdict(None, &[0.01, 0.02, 0.0, 0.0]);
    let judgement = Judgement::new(&verdict, &categories, "rten", 1.0);
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
