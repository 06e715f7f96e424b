//! Disguised text, and text that only looks so.

use duoguard::{
    Change, ChangeKind, CheckOptions, Input, Join, Session, SessionOptions, Span, Verdict, ViewKind,
};
use proptest::prelude::*;

use crate::support::model;

fn session() -> Session {
    model().session(&SessionOptions::default()).unwrap()
}

fn check(text: &str) -> Verdict {
    session().check(&Input::prompt(text)).unwrap()
}

#[test]
fn a_disguised_word_is_found_and_the_verdict_says_how() {
    let verdict = check("good s\u{200b}t\u{200b}ab");
    assert_eq!(verdict.category, Some(0));
    assert_eq!(
        verdict.changes,
        [Change {
            kind: ChangeKind::Invisible,
            span: Span {
                prompt: 6..13,
                response: 0..0
            },
            count: 2
        }]
    );
    let kinds: Vec<_> = verdict.views.iter().map(|view| view.kind).collect();
    assert_eq!(kinds, [ViewKind::Raw, ViewKind::Normalized]);
    assert!(verdict.views[0].score < 0.5 && verdict.views[1].score > 0.9);
    let literal = CheckOptions {
        normalize: false,
        ..CheckOptions::default()
    };
    let input = Input::prompt("good s\u{200b}t\u{200b}ab");
    let verdict = session().check_with(&input, &literal).unwrap();
    assert!(!verdict.flagged && verdict.changes.is_empty() && verdict.views.len() == 1);
}

#[test]
fn every_disguise_is_seen_through() {
    let tags: String = "stab"
        .chars()
        .map(|c| char::from_u32(0xe0000 + c as u32).unwrap())
        .collect();
    for (text, kind) in [
        ("s\u{ad}tab", ChangeKind::Invisible),
        ("s\u{fe01}tab", ChangeKind::VariationSelector),
        ("\u{202e}bats", ChangeKind::BidiControl),
        ("s\u{2066}tab", ChangeKind::BidiControl),
        ("ｓｔａｂ", ChangeKind::Compatibility),
        ("ѕtаb", ChangeKind::Confusable),
        (
            "s\u{336}t\u{336}a\u{336}b\u{336}",
            ChangeKind::CombiningMarks,
        ),
        ("s t a b", ChangeKind::SpacedLetters),
        ("s🙂t🙂a🙂b", ChangeKind::SpacedLetters),
        ("s%74%61%62", ChangeKind::Escape),
        ("good c3RhYiBzdGFiIHN0YWI=", ChangeKind::Base64),
        ("73 74 61 62 20 73 74 61 62", ChangeKind::Hex),
        (&tags, ChangeKind::Tag),
    ] {
        let verdict = check(text);
        assert_eq!(verdict.category, Some(0), "{text:?}");
        assert!(
            verdict.changes.iter().any(|change| change.kind == kind),
            "{text:?}: {:?}",
            verdict.changes
        );
    }
}

#[test]
fn disguises_inside_encodings_are_seen_through() {
    // "s<zero width space>tab stab" in base64.
    assert_eq!(check("c+KAi3RhYiBz4oCLdGFi").category, Some(0));
}

#[test]
fn ordinary_text_of_many_scripts_is_scored_once() {
    for text in [
        "Wie backt man zu Hause ein gutes Brot? Äpfel, Öl und Süßes!",
        "L'été dernier, j'ai goûté un pâté à Noël : c'était très bon…",
        "¿Cómo hago pan en casa? ¡Mañana será otro día!",
        "می\u{200c}خواهم در خانه نان بپزم",
        "मैं घर पर रोटी कैसे बनाऊँ? क्\u{200d}या",
        "كيف أَخْبِزُ الخُبْزَ في المَنْزِل؟",
        "איך אופים לֶחֶם בבית? \u{200f}(hello)",
        "👨\u{200d}👩\u{200d}👧\u{200d}👦 ❤\u{fe0f} 👍🏽 \
         🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f} 🇫🇷",
        "Как испечь хлеб дома? Wi-Fi и iPhone 15",
        "Πώς φτιάχνω ψωμί στο σπίτι;",
        "家でパンを焼くにはどうすればいいですか？　ｱｲｽ",
        "집에서 빵 을 굽 는 법 ㅋㅋㅋ",
        "ทำขนมปังที่บ้านได้อย่างไร",
        "Làm thế nào để nướng bánh mì tại nhà?",
        "Evde ekmek nasıl yapılır? Işık",
        "Báwo ni mo ṣe lè ṣe búrẹ́dì nílé?",
        "The 4th of May 1945, at 5pm; 3D, mp3, 50% off, U.S.A.",
        "See https://example.org/news/2024-05/bread_and-butter?id=17&lang=en and mail \
         ann.b@example.org",
    ] {
        let verdict = check(text);
        assert_eq!(verdict.views.len(), 1, "{text}: {:?}", verdict.changes);
        assert_eq!(verdict.changes_total, 0, "{text}");
    }
}

#[test]
fn places_are_told_in_the_string_they_are_in() {
    let input = Input::exchange("gőod", "ok s\u{200b}tab");
    let verdict = session().check(&input).unwrap();
    assert_eq!(
        verdict.changes[0].span,
        Span {
            prompt: 0..0,
            response: 4..7
        }
    );
    assert_eq!(
        verdict.span,
        Some(Span {
            prompt: 0..5,
            response: 0..10
        })
    );
    let apart = CheckOptions {
        join: Join::Separate,
        ..CheckOptions::default()
    };
    let verdict = session().check_with(&input, &apart).unwrap();
    assert_eq!(
        verdict.span,
        Some(Span {
            prompt: 0..0,
            response: 0..10
        })
    );
    assert_eq!((verdict.tokens, verdict.windows), (3, 2));
}

#[test]
fn the_list_of_changes_is_bounded() {
    let text = "s\u{200b}tab good good good good good ".repeat(1000);
    let verdict = check(&text);
    assert_eq!(verdict.changes.len(), duoguard::MAX_CHANGES);
    assert_eq!(verdict.changes_total, 1000);
}

#[test]
fn escapes_do_not_hide_what_an_override_shows_backwards() {
    // Read by its rules, the text says "bats" backwards from the override on; as written, "stab".
    let text = "\u{202e}%73%74%73%74\u{b}stab";
    let verdict = check(text);
    assert_eq!(verdict.views[0].kind, ViewKind::Raw);
    assert!(verdict.flagged);
}

/// Texts made of what the rules look for.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "stab",
            "good",
            "s t a b ",
            "b4d",
            "%73%74",
            "&#115;",
            "\\x73",
            "\\u{",
            "c3RhYiBzdGFi",
            "737461622073",
            "\u{200b}",
            "\u{202e}",
            "\u{202c}",
            "\u{fe0f}",
            "\u{e0073}",
            "\u{e007f}",
            "🏴",
            "🙂",
            "\u{301}",
            "\u{336}",
            "ѕtаb",
            "ｓ",
            "\n",
            " ",
            ".",
            "क्\u{200d}ष",
            "می\u{200c}خ",
            "\0",
            "1",
            "@",
            "rira gubhtu lbh",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(512)
    })]

    #[test]
    fn spans_lie_between_characters(prompt in hostile(), response in hostile()) {
        let verdict = session().check(&Input::exchange(&prompt, &response)).unwrap();
        let spans = verdict.changes.iter().map(|change| &change.span).chain(&verdict.span);
        for span in spans {
            prop_assert!(prompt.get(span.prompt.clone()).is_some());
            prop_assert!(response.get(span.response.clone()).is_some());
        }
        prop_assert_eq!(verdict.tokens, verdict.tokens_scored);
    }

    #[test]
    fn disguises_can_only_raise_scores(text in hostile()) {
        let mut session = session();
        let literal = CheckOptions { normalize: false, ..CheckOptions::default() };
        let full = session.check(&Input::prompt(&text)).unwrap();
        let literal = session.check_with(&Input::prompt(&text), &literal).unwrap();
        for (full, literal) in full.scores.iter().zip(&literal.scores) {
            prop_assert!(full >= literal);
        }
    }
}
