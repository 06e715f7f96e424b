//! What the bundled model's manifest promises.

use duoguard::Model;
use duoguard_tests::{mini, root};

#[test]
fn its_quantisation_is_certified() {
    let model = Model::open(mini()).unwrap();
    let certificate = &model.manifest().certificate;
    assert_eq!(certificate["passed"], true, "{certificate}");
    for language in ["en", "fr", "de", "es"] {
        let texts = certificate["languages"][language]["texts"].as_u64();
        assert!(
            texts.is_some_and(|texts| texts >= 200),
            "{language}: {texts:?} texts"
        );
    }
}

/// The model's recipe listed the licences of its sources; the committed one refers to a file of
/// them. All else is the same, and so are the licences.
#[test]
fn it_was_trained_by_the_committed_recipe() {
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
