//! Texts as the field has them: identifiers, wrapped and padded prompts, exact encodings.

use duoguard::{CheckOptions, Input, Model, Session, SessionOptions, Verdict};
use duoguard_eval::{Disguise, HarmlessKind, HarmlessTexts, Identifier, Part, Wrapper};
use duoguard_tests::{mini, root};

const SEED: u64 = 29;

fn session() -> Session {
    let model = Model::open(mini()).unwrap();
    model.session(&SessionOptions::default()).unwrap()
}

fn data() -> toml::Table {
    let path = root().join("tests/data/field.toml");
    std::fs::read_to_string(path).unwrap().parse().unwrap()
}

fn check(session: &mut Session, text: &str) -> Verdict {
    session.check(&Input::prompt(text)).unwrap()
}

/// Texts in several languages, some of them rude.
fn texts() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("tests/data/texts.tsv")).unwrap();
    let texts = text.lines().filter_map(|line| line.split_once('\t'));
    texts.map(|(_, text)| text.to_owned()).collect()
}

#[test]
fn what_only_looks_disguised_is_left_alone() {
    let model = Model::open(mini()).unwrap();
    for text in data()["plain"].as_array().unwrap() {
        let text = text.as_str().unwrap();
        assert_eq!(model.views(text).unwrap(), [], "{text}");
    }
}

#[test]
fn no_identifier_is_flagged_by_a_disguise_that_is_not_there() {
    let mut session = session();
    let literal = CheckOptions {
        normalize: false,
        ..CheckOptions::default()
    };
    let kinds = Identifier::ALL.map(HarmlessKind::Identifier);
    let (mut undone, mut flagged) = (Vec::new(), Vec::new());
    for identifier in HarmlessTexts::of_kinds(kinds, Part::Measuring, SEED).take(2000) {
        let input = Input::prompt(&identifier.text);
        let verdict = session.check(&input).unwrap();
        if verdict.changes_total == 0 {
            continue;
        }
        if verdict.flagged && !session.check_with(&input, &literal).unwrap().flagged {
            flagged.push(identifier.text.clone());
        }
        undone.push(identifier.text);
    }
    assert!(flagged.is_empty(), "{flagged:#?}");
    assert!(undone.len() <= 4, "{undone:#?}");
}

#[test]
fn what_a_wrapper_holds_is_what_counts() {
    let mut session = session();
    for case in data()["wrapped"].as_array().unwrap() {
        let field = |name: &str| case[name].as_str().unwrap();
        let views = session.model().views(field("text")).unwrap();
        assert_eq!(views[0].1, field("says"), "{}", field("text"));
        let (found, expected) = (
            check(&mut session, field("text")),
            check(&mut session, field("says")),
        );
        assert_eq!(found.flagged, expected.flagged, "{}", field("text"));
        assert!(found.score >= expected.score, "{}", field("text"));
    }
}

#[test]
fn every_text_has_its_verdict_in_every_wrapper() {
    let mut session = session();
    // Those that add no text of their own.
    let silent = Wrapper::ALL
        .into_iter()
        .filter(|wrapper| !matches!(wrapper, Wrapper::ChatMl | Wrapper::Llama2System));
    for wrapper in silent {
        for text in texts() {
            let expected = check(&mut session, &text);
            let found = check(&mut session, &wrapper.wrap(&text));
            assert_eq!(found.scores, expected.scores, "{} {text}", wrapper.name());
            assert_eq!(found.flagged, expected.flagged);
            assert_eq!(found.language, expected.language);
        }
    }
}

#[test]
fn blanks_at_the_edges_are_no_part_of_a_text() {
    let mut session = session();
    for text in texts() {
        let expected = check(&mut session, &text);
        for (before, behind) in [
            ("\n", ""),
            ("\u{feff}", "\r\n"),
            (" \t ", "\u{a0}\u{3000}"),
            (&*"\n".repeat(5000), &*"\n".repeat(50)),
        ] {
            let padded = format!("{before}{text}{behind}");
            let found = check(&mut session, &padded);
            assert_eq!(found.scores, expected.scores, "{padded:?}");
            let span = found.span.unwrap().prompt;
            assert_eq!(span, before.len()..before.len() + text.len());
            let response = session.check(&Input::response(&padded)).unwrap();
            assert_eq!(response.scores, expected.scores);
            let options = CheckOptions {
                allowed: [padded.clone()].into(),
                ..CheckOptions::default()
            };
            let input = Input::prompt(&padded);
            assert!(session.check_with(&input, &options).unwrap().allowed);
        }
    }
    assert_eq!(check(&mut session, " \n\u{feff}").windows, 0);
}

/// Every character that shows nothing is as harmless between letters as any other.
#[test]
fn invisible_characters_after_every_letter_change_nothing() {
    let mut session = session();
    let noise = [
        '\u{fe00}',
        '\u{fe01}',
        '\u{fe0f}',
        '\u{e0100}',
        '\u{200b}',
        '\u{ad}',
        '\u{2062}',
        '\u{2060}',
        '\u{e0041}',
        '\u{200e}',
        '\u{2069}',
        '\u{34f}',
        '\u{180e}',
        '\u{1160}',
    ];
    let asian = [
        "图书馆早上九点开门，你可以借十本书。",
        "図書館は朝九時に開きます。",
    ];
    for text in texts().iter().map(String::as_str).chain(asian) {
        let expected = check(&mut session, text);
        for character in noise {
            let add = |c: char| [Some(c), c.is_alphabetic().then_some(character)];
            let noisy: String = text.chars().flat_map(add).flatten().collect();
            let found = check(&mut session, &noisy);
            assert!(
                found.score >= expected.score,
                "{character:?} {text}: {} < {}",
                found.score,
                expected.score
            );
        }
    }
}

#[test]
fn an_exact_encoding_does_not_count_by_itself() {
    let mut session = session();
    // A few letters, and signs alone, are not read as a text that was encoded.
    let is_written = |text: &String| text.chars().filter(|c| c.is_alphabetic()).count() >= 12;
    for text in texts().into_iter().filter(is_written) {
        for disguise in [Disguise::Base64, Disguise::Hex, Disguise::Percent] {
            let encoded = disguise.apply(&text).unwrap();
            let (found, expected) = (check(&mut session, &encoded), check(&mut session, &text));
            assert_eq!(found.scores, expected.scores, "{} {text}", disguise.name());
        }
    }
}
