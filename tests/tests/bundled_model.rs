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

#[test]
fn it_was_trained_by_the_committed_recipe() {
    let model = Model::open(mini()).unwrap();
    let recipe = std::fs::read_to_string(root().join("recipes/mini.toml")).unwrap();
    assert_eq!(model.manifest().provenance["recipe"], recipe.as_str());
}
