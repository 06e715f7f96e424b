//! The sentences a newcomer might try are a table that can be measured with.

use std::collections::BTreeMap;
use std::path::Path;

use duoguard_eval::read_sentences;

const LANGUAGES: [&str; 8] = ["de", "en", "es", "fr", "it", "pl", "pt", "zh"];

#[test]
fn five_sets_of_ten_sentences_in_eight_languages_half_of_them_harmful() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/first-impressions.tsv");
    let sentences = read_sentences(&path).unwrap();
    let mut counts: BTreeMap<(&str, &str), [usize; 2]> = BTreeMap::new();
    for sentence in &sentences {
        let key = (sentence.set.as_str(), sentence.language.as_str());
        counts.entry(key).or_default()[usize::from(sentence.is_unsafe)] += 1;
    }
    assert_eq!(counts.len(), 5 * LANGUAGES.len());
    for ((set, language), count) in counts {
        assert_eq!(count, [5, 5], "{set} {language}");
        assert!(LANGUAGES.contains(&language), "{language}");
    }
    let mut texts: Vec<&str> = sentences.iter().map(|s| s.text.as_str()).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), sentences.len());
}
