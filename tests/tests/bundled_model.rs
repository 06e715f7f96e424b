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
fn base_was_trained_by_the_committed_recipe() {
    let model = Model::open(base()).unwrap();
    let trained = model.manifest().provenance["recipe"].as_str().unwrap();
    let committed = std::fs::read_to_string(root().join("recipes/base.toml")).unwrap();
    let table = |text: &str| -> toml::Table { text.parse().unwrap() };
    assert_eq!(table(trained), table(&committed));
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

/// The model's recipe listed the licences of its sources; the committed one refers to a file of
/// them. All else is the same, and so are the licences.
#[test]
fn mini_was_trained_by_the_committed_recipe() {
    let model = Model::open(mini()).unwrap();
    let provenance = &model.manifest().provenance;
    let read = |name: &str| -> toml::Table {
        let text = std::fs::read_to_string(root().join("recipes").join(name)).unwrap();
        text.parse().unwrap()
    };
    let (mut committed, sources) = (read("mini.toml"), read("sources.toml"));
    let mut trained: toml::Table = provenance["recipe"].as_str().unwrap().parse().unwrap();
    let data = trained["data"].as_table_mut().unwrap();
    let licences = data.remove("licences").unwrap();
    let data = committed["data"].as_table_mut().unwrap();
    for key in ["sources", "pair_sources"] {
        data.remove(key).unwrap();
    }
    assert_eq!(trained, committed);
    for (source, licence) in licences.as_table().unwrap() {
        assert_eq!(sources[source]["licence"], *licence, "{source}");
    }
}
