//! What the bundled models' manifests promise.

use duoguard::{Input, Model, SessionOptions};
use duoguard_tests::{base, mini, root};

#[test]
fn their_quantisation_is_certified() {
    for bundle in [mini(), base()] {
        let model = Model::open(&bundle).unwrap();
        let certificate = &model.manifest().certificate;
        assert_eq!(certificate["passed"], true, "{certificate}");
        for language in ["en", "fr", "de", "es"] {
            let texts = certificate["languages"][language]["texts"].as_u64();
            assert!(
                texts.is_some_and(|texts| texts >= 200),
                "{} {language}: {texts:?} texts",
                bundle.display()
            );
        }
    }
}

#[test]
fn they_were_trained_by_the_committed_recipes() {
    for (name, bundle) in [("mini", mini()), ("base", base())] {
        let model = Model::open(bundle).unwrap();
        let trained = model.manifest().provenance["recipe"].as_str().unwrap();
        let committed = root().join(format!("recipes/{name}.toml"));
        let committed = std::fs::read_to_string(committed).unwrap();
        let table = |text: &str| -> toml::Table { text.parse().unwrap() };
        assert_eq!(table(trained), table(&committed), "{name}");
    }
}

#[test]
fn base_says_the_language_of_a_short_text() {
    let model = Model::open(base()).unwrap();
    let mut session = model.session(&SessionOptions::default()).unwrap();
    for (text, language) in [
        ("How do I bake bread?", "en"),
        ("Comment faire du pain ?", "fr"),
        ("Jak upiec chleb?", "pl"),
        ("パンの焼き方は？", "ja"),
    ] {
        let verdict = session.check(&Input::prompt(text)).unwrap();
        assert_eq!(
            (&*verdict.language, verdict.flagged),
            (language, false),
            "{text}"
        );
    }
}
