//! Carving a validation set out of the seed data.

use std::collections::HashSet;
use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::data::rows::{Corpus, SeedRow};
use crate::error::TrainError;
use crate::files::write_atomically;
use crate::recipe::Recipe;

/// (training, validation). Translations of one text, and equal texts, fall on one side: a
/// row's side follows from a hash of its group, or of its text where it has none. A source that
/// the recipe holds out falls on the validation side whole, and takes the translations and
/// copies of its texts along. What is not in `data.seed_languages` is left out of the training
/// side, and validated on like the rest.
pub(crate) fn split(corpus: &Corpus, recipe: &Recipe) -> (Corpus, Corpus) {
    let is_held_out_source = |row: &SeedRow| {
        recipe
            .data
            .held_out_sources
            .contains(&corpus.sources[row.source])
    };
    let taken: HashSet<&str> = corpus
        .rows
        .iter()
        .filter(|row| is_held_out_source(row))
        .map(SeedRow::key)
        .collect();
    let is_taught = |row: &SeedRow| {
        let seed = recipe.data.seed_languages.as_ref();
        seed.is_none_or(|seed| seed.contains(&row.lang))
    };
    let part = |held_out: bool| Corpus {
        rows: corpus
            .rows
            .iter()
            .filter(|row| (taken.contains(row.key()) || falls_out(row.key(), recipe)) == held_out)
            .filter(|row| held_out || is_taught(row))
            .cloned()
            .collect(),
        sources: corpus.sources.clone(),
    };
    (part(false), part(true))
}

fn falls_out(key: &str, recipe: &Recipe) -> bool {
    let hash = Sha256::new()
        .chain_update(recipe.seed.to_le_bytes())
        .chain_update(key)
        .finalize();
    let value = u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]);
    (value as f64) < recipe.data.validation_fraction * u32::MAX as f64
}

/// Writes rows in the seed format, which `duoguard export --calibrate` reads.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write_rows(path: &Path, corpus: &Corpus) -> Result<(), TrainError> {
    let mut bytes = Vec::new();
    for row in &corpus.rows {
        let categories = row.category_names();
        let value = json!({
            "text": row.text, "lang": row.lang, "unsafe": u8::from(row.is_unsafe),
            "categories": categories, "source": corpus.sources[row.source], "group": row.group,
        });
        bytes.extend_from_slice(value.to_string().as_bytes());
        bytes.push(b'\n');
    }
    write_atomically(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_equal_texts_stay_together() {
        let mut recipe = Recipe::parse(
            Path::new("mini-linear.toml"),
            include_str!("../../../recipes/mini-linear.toml"),
        )
        .unwrap();
        recipe.data.validation_fraction = 0.3;
        let row = |text: String, group: Option<String>| SeedRow {
            text,
            lang: "en".into(),
            is_unsafe: false,
            categories: 0,
            source: 0,
            group,
        };
        let mut rows = Vec::new();
        for i in 0..300 {
            rows.push(row(format!("text {i}"), Some(format!("group {}", i % 100))));
            rows.push(row(format!("same {}", i % 100), None));
        }
        let corpus = Corpus {
            rows,
            sources: vec!["s".into()],
        };
        let (training, validation) = split(&corpus, &recipe);
        assert_eq!(training.rows.len() + validation.rows.len(), 600);
        assert!(
            (120..240).contains(&validation.rows.len()),
            "{}",
            validation.rows.len()
        );
        for held_out in &validation.rows {
            assert!(!training.rows.iter().any(
                |r| r.text == held_out.text || (r.group.is_some() && r.group == held_out.group)
            ));
        }
    }
    #[test]
    fn a_held_out_source_is_never_trained_on() {
        let mut recipe = Recipe::parse(
            Path::new("mini-linear.toml"),
            include_str!("../../../recipes/mini-linear.toml"),
        )
        .unwrap();
        recipe.data.held_out_sources = vec!["b".into()];
        let row = |i: usize, source: usize| SeedRow {
            text: format!("{source} {i}"),
            lang: "en".into(),
            is_unsafe: false,
            categories: 0,
            source,
            group: Some(format!("{}", i % 40)),
        };
        let rows = (0..100)
            .map(|i| row(i, 0))
            .chain((0..10).map(|i| row(i, 1)))
            .collect();
        let (training, _) = split(
            &Corpus {
                rows,
                sources: vec!["a".into(), "b".into()],
            },
            &recipe,
        );
        assert!(!training.rows.is_empty());
        // Neither the source's rows nor their translations elsewhere.
        assert!(
            training
                .rows
                .iter()
                .all(|r| r.source == 0
                    && r.group.as_deref().unwrap().parse::<usize>().unwrap() >= 10)
        );
    }
}
