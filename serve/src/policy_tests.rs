use duoguard::Model;

use super::*;

const MINI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/mini");

fn load(text: &str) -> Result<Policy, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, text).unwrap();
    let model = Model::open(MINI).unwrap();
    Policy::load(Some(&path), PolicyOverrides::default(), model.manifest())
        .map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_blocks_and_fails_closed() {
    let policy = load("").unwrap();
    assert!(!policy.audit && !policy.fail_open);
    assert_eq!(policy.prompts.action, Action::Block);
    assert_eq!(policy.responses.action, Action::Block);
    let model = Model::open(MINI).unwrap();
    let manifest = model.manifest();
    for language in ["en", "pt-BR", "und"] {
        let own = manifest.policy.thresholds(&manifest.categories, language);
        assert_eq!(policy.thresholds(language), own);
    }
}

#[test]
fn thresholds_of_a_language_go_before_those_of_all() {
    let policy = load("[thresholds]\nhate = 0.9\n[languages.pt_br]\nhate = 0.2\n").unwrap();
    let place = policy.categories.iter().position(|c| c == "hate").unwrap();
    assert_eq!(policy.thresholds("pt-BR")[place], 0.2);
    assert_eq!(policy.thresholds("pt")[place], 0.9);
    assert_eq!(policy.thresholds("bn")[place], 0.9);
    assert_eq!(policy.thresholds("und")[place], 0.9);
}

#[test]
fn every_field_is_taken() {
    let policy = load(
        "audit = true\nfail_open = true\nallow = [\"a text\"]\n\
         [prompts]\naction = \"flag\"\nmessages = \"all\"\ntools = true\nblocked_as = \"error\"\n\
         [responses]\naction = \"pass\"\nholdback_bytes = 9\nlook_bytes = 3\nwith_prompt = false\n",
    )
    .unwrap();
    assert!(policy.audit && policy.fail_open && policy.prompts.tools);
    assert!(policy.check.allowed.contains("a text"));
    assert_eq!(policy.prompts.action, Action::Flag);
    assert_eq!(policy.prompts.messages, Messages::All);
    assert_eq!(policy.prompts.blocked_as, BlockedAs::Error);
    assert_eq!(policy.responses.action, Action::Pass);
    assert_eq!(
        (policy.responses.holdback_bytes, policy.responses.look_bytes),
        (9, 3)
    );
    assert!(!policy.responses.with_prompt);
}

#[test]
fn what_is_wrong_is_named() {
    for (text, why) in [
        ("bogus = 1", "unknown field `bogus`"),
        ("[thresholds]\nbogus = 0.5", "thresholds names \"bogus\""),
        (
            "[thresholds]\nhate = 0",
            "thresholds.hate is 0; expected more than 0",
        ),
        ("[languages.en]\nhate = 2", "languages.en.hate is 2"),
        (
            "[languages.\"mostly English\"]\nhate = 0.5",
            "is not a BCP-47 tag",
        ),
        ("[prompts]\naction = \"stop\"", "unknown variant `stop`"),
        (
            "[responses]\nholdback_bytes = 100000",
            "expected at most 65536",
        ),
        ("[responses]\nlook_bytes = 100000", "expected at most 65536"),
        (
            "target_fpr = 0.000001",
            "the model has thresholds for the rates [",
        ),
    ] {
        let error = load(text).unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
        assert!(error.contains("policy.toml"), "{error}");
    }
}

#[test]
fn the_command_line_goes_before_the_file() {
    let model = Model::open(MINI).unwrap();
    let overrides = PolicyOverrides {
        holdback_bytes: Some(7),
        audit: true,
        fail_open: true,
    };
    let policy = Policy::load(None, overrides, model.manifest()).unwrap();
    assert_eq!(policy.responses.holdback_bytes, 7);
    assert!(policy.audit && policy.fail_open);
}
