//! Carving a validation set out of the seed data.

use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::checkpoint::write_atomically;
use crate::data::{CATEGORIES, Corpus};
use crate::error::TrainError;
use crate::recipe::Recipe;

/// (training, validation). Translations of one text, and equal texts, fall on one side: a
/// row's side follows from a hash of its group, or of its text where it has none.
pub fn split(corpus: &Corpus, recipe: &Recipe) -> (Corpus, Corpus) {
    let part = |held_out: bool| Corpus {
        rows: corpus
            .rows
            .iter()
            .filter(|row| is_held_out(&row.group, &row.text, recipe) == held_out)
            .cloned()
            .collect(),
        sources: corpus.sources.clone(),
    };
    (part(false), part(true))
}

fn is_held_out(group: &Option<String>, text: &str, recipe: &Recipe) -> bool {
    let key = group.as_deref().unwrap_or(text);
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
pub fn write_validation(path: &Path, corpus: &Corpus) -> Result<(), TrainError> {
    let mut bytes = Vec::new();
    for row in &corpus.rows {
        let categories: Vec<_> = (0..CATEGORIES.len())
            .filter(|bit| row.categories >> bit & 1 == 1)
            .map(|bit| CATEGORIES[bit])
            .collect();
        let value = json!({
            "text": row.text, "lang": row.lang, "unsafe": u8::from(row.is_unsafe), "categories": categories,
            "source": corpus.sources[row.source], "group": row.group,
        });
        bytes.extend_from_slice(value.to_string().as_bytes());
        bytes.push(b'\n');
    }
    write_atomically(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SeedRow;

    #[test]
    fn groups_and_equal_texts_stay_together() {
        let mut recipe = Recipe::parse(
            Path::new("mini.toml"),
            include_str!("../../recipes/mini.toml"),
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
}
