//! What a verdict says.

use duoguard::{ErrorKind, Input, MAX_TEXT_BYTES, Session, SessionOptions, Verdict};

use crate::support::{Files, Graph, model, open};

fn session() -> Session {
    model().session(&SessionOptions::default()).unwrap()
}

fn check(text: &str) -> Verdict {
    session().check(&Input::prompt(text)).unwrap()
}

fn probability(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

#[test]
fn safe_text() {
    let verdict = check("good good");
    assert!(!verdict.flagged);
    assert_eq!(verdict.category, None);
    assert_eq!(verdict.scores, [-5.0, -6.0, -7.0].map(probability));
    assert_eq!(verdict.score, probability(-5.0));
    assert_eq!(
        (verdict.tokens, verdict.tokens_scored, verdict.windows),
        (2, 2, 1)
    );
}

#[test]
fn unsafe_text_names_the_category() {
    let verdict = check("stab");
    assert!(verdict.flagged);
    assert_eq!(verdict.category, Some(0));
    assert_eq!(verdict.score, probability(3.0));
    assert_eq!(check("stab scam").category, Some(1));
}

#[test]
fn empty_text_is_safe() {
    for text in ["", "  \n"] {
        let verdict = check(text);
        assert!(!verdict.flagged);
        assert_eq!(verdict.scores, [0.0; 3]);
        assert_eq!(
            (verdict.tokens, verdict.tokens_scored, verdict.windows),
            (0, 0, 0)
        );
        assert_eq!(
            (verdict.score, verdict.category, verdict.language.as_str()),
            (0.0, None, "und")
        );
    }
    let both = Input {
        response: Some(""),
        ..Input::prompt("")
    };
    assert_eq!(session().check(&both).unwrap().windows, 0);
}

#[test]
fn one_unsafe_word_is_found_anywhere_in_a_long_text() {
    let mut session = session();
    for length in 1..24 {
        for position in 0..length {
            let mut words = vec!["good"; length];
            words[position] = "stab";
            let verdict = session.check(&Input::prompt(&words.join(" "))).unwrap();
            assert_eq!(verdict.category, Some(0), "{position} of {length}");
            assert_eq!((verdict.tokens, verdict.tokens_scored), (length, length));
        }
    }
}

#[test]
fn windows_are_scored_alone_and_the_last_is_full() {
    let mut session = session();
    let rows = session
        .window_logits("stab good good good good scam")
        .unwrap();
    let (stab, scam) = ([3.0, -2.0, -1.0], [-3.0, 4.0, -2.0]);
    assert_eq!(rows, [stab, scam]);
    assert_eq!(session.window_logits("").unwrap(), [[0.0; 0]; 0]);
}

#[test]
fn a_response_is_scored_with_its_prompt() {
    let mut session = session();
    let input = Input {
        response: Some("stab"),
        ..Input::prompt("good")
    };
    let verdict = session.check(&input).unwrap();
    assert_eq!((verdict.tokens, verdict.category), (2, Some(0)));
}

#[test]
fn thresholds_are_per_language() {
    let mut session = session();
    let mut flagged = |language| {
        session
            .check(&Input {
                language: Some(language),
                ..Input::prompt("odd")
            })
            .unwrap()
            .flagged
    };
    assert!(flagged("en"));
    assert!(!flagged("fr"));
    assert!(!flagged("FR"));
    assert!(!flagged("fr-CA"));
    assert!(flagged("frr"));
}

#[test]
fn a_score_equal_to_the_threshold_is_not_flagged() {
    let mut files = Files::new();
    let threshold = probability(0.5);
    files.manifest["policy"]["default_thresholds"]["fraud"] = serde_json::json!(threshold);
    let mut session = open(files)
        .unwrap()
        .session(&SessionOptions::default())
        .unwrap();
    let verdict = session.check(&Input::prompt("odd")).unwrap();
    assert_eq!(verdict.scores[1], threshold);
    assert!(!verdict.flagged);
}

#[test]
fn the_language_is_the_callers_or_identified_or_undetermined() {
    let french =
        "Le temps est très agréable cette semaine et tout le monde va à la plage avec ses amis.";
    assert_eq!(check(french).language, "fr");
    assert_eq!(check("1 2").language, "und");
    let stated = |tag| {
        session().check(&Input {
            language: Some(tag),
            ..Input::prompt(french)
        })
    };
    for (tag, canonical) in [
        ("pt-BR", "pt-BR"),
        ("pt_br", "pt-BR"),
        ("de-DE-u-co-phonebk", "de-DE"),
        ("en-x-private", "en"),
    ] {
        assert_eq!(stated(tag).unwrap().language, canonical, "{tag}");
    }
    for wrong in ["mostly French", "", "en-u"] {
        let error = stated(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{wrong}");
        assert!(error.to_string().contains("BCP-47"), "{error}");
    }
}

#[test]
fn windows_of_tokens_are_checked() {
    let mut session = session();
    for tokens in [&[][..], &[5], &[u32::MAX], &[1; 17]] {
        assert_eq!(
            session.logits(tokens).unwrap_err().kind(),
            ErrorKind::InvalidArgument,
            "{tokens:?}"
        );
    }
    session.logits(&[1; 16]).unwrap();
}

#[test]
fn text_over_the_limit_is_an_error_and_not_a_verdict() {
    let text = "a".repeat(MAX_TEXT_BYTES + 1);
    let error = session().check(&Input::prompt(&text)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn logits_that_are_not_numbers_are_an_error_and_not_safe() {
    let mut files = Files::new();
    // The last word's: opening a session tries the first one.
    let embedding = Graph::default();
    let end = embedding.offset + embedding.length;
    files.weights[end - 4..end].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut session = open(files)
        .unwrap()
        .session(&SessionOptions::default())
        .unwrap();
    let error = session.check(&Input::prompt("odd")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Engine);
    assert!(error.to_string().contains("\"violence\" is NaN"), "{error}");
}

#[test]
fn a_tokenizer_that_drops_text_is_an_error_and_not_safe() {
    let mut files = Files::new();
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&files.tokenizer).unwrap();
    tokenizer["model"] = serde_json::json!({ "type": "BPE", "vocab": { "a": 0 }, "merges": [] });
    files.tokenizer = tokenizer.to_string().into_bytes();
    let mut session = open(files)
        .unwrap()
        .session(&SessionOptions::default())
        .unwrap();
    assert_eq!(
        session.check(&Input::prompt("xyz")).unwrap_err().kind(),
        ErrorKind::InvalidModel
    );
}

#[test]
fn the_tokenizer_file_cannot_cut_or_pad_the_text() {
    let mut files = Files::new();
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&files.tokenizer).unwrap();
    tokenizer["truncation"] = serde_json::json!({
        "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0
    });
    tokenizer["padding"] = serde_json::json!({
        "strategy": { "Fixed": 8 }, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[UNK]"
    });
    files.tokenizer = tokenizer.to_string().into_bytes();
    let model = open(files).unwrap();
    assert_eq!(model.tokenize("good good stab").unwrap(), [1, 1, 2]);
}

#[test]
fn control_tokens_in_the_text_are_text() {
    let mut files = Files::new();
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&files.tokenizer).unwrap();
    tokenizer["added_tokens"] = serde_json::json!([{
        "id": 4, "content": "odd", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true
    }]);
    files.tokenizer = tokenizer.to_string().into_bytes();
    assert_eq!(open(files).unwrap().tokenize("xoddx").unwrap(), [0]);
}
