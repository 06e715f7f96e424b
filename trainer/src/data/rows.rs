//! Reading labelled texts, parallel texts and sentence pairs.

use std::fs;
use std::path::{Path, PathBuf};

use duoguard_eval::{JsonLines, Label, LineError};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::recipe::DataRecipe;

/// The 12 categories, in the order of the classifier's outputs.
pub(crate) use duoguard_export::CATEGORIES;

/// Why data was refused.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A line is not what it must be.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong, expected and found.
        reason: String,
    },
    /// A file or folder cannot be read.
    #[error("{}: cannot read: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing to train on.
    #[error(
        "{what}: no rows are left in the languages {languages:?}; look at data.languages and \
         data.exclude_sources in the recipe"
    )]
    Empty {
        /// Which data set.
        what: &'static str,
        /// The recipe's languages.
        languages: Vec<String>,
    },
}

/// A labelled text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeedRow {
    /// The text.
    pub text: String,
    /// Language tag.
    pub lang: String,
    /// The label.
    pub is_unsafe: bool,
    /// Bit i is set when `CATEGORIES[i]` applies. An unsafe row with no bit is unsafe in an unknown
    /// category.
    pub categories: u16,
    /// Index in [`Corpus::sources`].
    pub source: usize,
    /// Shared by translations of one text.
    pub group: Option<String>,
}

impl SeedRow {
    /// What a row shares with its translations, or with its copies.
    pub(crate) fn key(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.text)
    }

    /// The names of the categories that apply.
    pub(crate) fn category_names(&self) -> Vec<&'static str> {
        (0..CATEGORIES.len())
            .filter(|bit| self.categories >> bit & 1 == 1)
            .map(|bit| CATEGORIES[bit])
            .collect()
    }
}

/// Labelled texts and the names of their sources.
#[derive(Clone, Debug, Default)]
pub(crate) struct Corpus {
    /// The texts.
    pub rows: Vec<SeedRow>,
    /// Source names, in the order of first appearance.
    pub sources: Vec<String>,
}

impl Corpus {
    /// The index of a source's name, which is added if it is new.
    pub(crate) fn source(&mut self, name: &str) -> usize {
        let index = self.sources.iter().position(|s| s == name);
        index.unwrap_or_else(|| {
            self.sources.push(name.to_owned());
            self.sources.len() - 1
        })
    }
}

/// A benign text with its translations' group.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ParallelRow {
    /// Shared by translations.
    pub group: String,
    /// Language tag.
    pub lang: String,
    /// The text.
    pub text: String,
    /// Where it is from.
    pub source: String,
}

/// A sentence and its translation.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    /// The English sentence.
    pub english: String,
    /// The other language's tag.
    pub lang: String,
    /// The translation.
    pub text: String,
}

#[derive(Deserialize)]
struct RawSeedRow {
    text: String,
    lang: String,
    #[serde(rename = "unsafe")]
    is_unsafe: Label,
    categories: Vec<String>,
    source: String,
    #[serde(default)]
    group: Option<String>,
}

/// Reads the recipe's seed files from `data`, in the order of their names.
///
/// # Errors
/// Names file, line and field.
pub(crate) fn load_seed(data: &Path, recipe: &DataRecipe) -> Result<Corpus, DataError> {
    let mut corpus = Corpus::default();
    for path in files(data, &recipe.seed)? {
        append_rows(&path, &mut corpus, |language, source| {
            let excluded = recipe.exclude_sources.iter().any(|s| s == source);
            !excluded && recipe.languages.iter().any(|l| l == language)
        })?;
    }
    if corpus.rows.is_empty() {
        return Err(DataError::Empty {
            what: "seed data",
            languages: recipe.languages.clone(),
        });
    }
    Ok(corpus)
}

/// Reads the rows of one file of labelled texts whose language and source are wanted.
///
/// # Errors
/// Names file, line and field.
pub(crate) fn append_rows(
    path: &Path,
    corpus: &mut Corpus,
    wanted: impl Fn(&str, &str) -> bool,
) -> Result<(), DataError> {
    read_lines(path, |line, raw: RawSeedRow| {
        let Label(label) = raw.is_unsafe;
        if label > 1 {
            let reason = format!("field unsafe is {label}, expected 0 or 1");
            return Err(refuse(path, line, reason));
        }
        if !wanted(&raw.lang, &raw.source) {
            return Ok(());
        }
        let mut categories = 0;
        for name in &raw.categories {
            let Some(bit) = CATEGORIES.iter().position(|c| c == name) else {
                let known = CATEGORIES.join(", ");
                let reason = format!("field categories has {name:?}, expected one of {known}");
                return Err(refuse(path, line, reason));
            };
            categories |= 1 << bit;
        }
        let source = corpus.source(&raw.source);
        corpus.rows.push(SeedRow {
            text: raw.text,
            lang: raw.lang,
            is_unsafe: label == 1,
            categories,
            source,
            group: raw.group,
        });
        Ok(())
    })
}

/// Reads the recipe's parallel files, without sources that the recipe holds out.
///
/// # Errors
/// Names file, line and field.
pub(crate) fn load_parallel(
    data: &Path,
    recipe: &DataRecipe,
) -> Result<Vec<ParallelRow>, DataError> {
    let mut rows = Vec::new();
    for path in files(data, &recipe.parallel)? {
        read_lines(&path, |_, row: ParallelRow| {
            let is_held_out = recipe.held_out_sources.contains(&row.source);
            if recipe.languages.contains(&row.lang) && !is_held_out {
                rows.push(row);
            }
            Ok(())
        })?;
    }
    Ok(rows)
}

/// Reads the recipe's sentence pairs: `{"en": .., "<lang>": ..}`.
///
/// # Errors
/// Names file, line and field.
pub(crate) fn load_pairs(data: &Path, recipe: &DataRecipe) -> Result<Vec<Pair>, DataError> {
    let mut pairs = Vec::new();
    for path in files(data, &recipe.pairs)? {
        read_lines(
            &path,
            |line, mut row: std::collections::BTreeMap<String, String>| {
                let english = row
                    .remove("en")
                    .ok_or_else(|| refuse(&path, line, "lacks the field \"en\"".into()))?;
                for (lang, text) in row {
                    if recipe.languages.contains(&lang) {
                        pairs.push(Pair {
                            english: english.clone(),
                            lang,
                            text,
                        });
                    }
                }
                Ok(())
            },
        )?;
    }
    Ok(pairs)
}

fn refuse(path: &Path, line: usize, reason: String) -> DataError {
    DataError::Line {
        path: path.to_owned(),
        line,
        reason,
    }
}

/// The files that the recipe's paths mean, sorted by name within a folder.
fn files(data: &Path, paths: &[PathBuf]) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    for path in paths {
        let path = data.join(path);
        let io = |source| DataError::Io {
            path: path.clone(),
            source,
        };
        if fs::metadata(&path).map_err(io)?.is_file() {
            found.push(path);
            continue;
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(&path).map_err(io)? {
            let file = entry.map_err(io)?.path();
            let name = file.to_string_lossy();
            if name.ends_with(".jsonl") || name.ends_with(".jsonl.gz") {
                inside.push(file);
            }
        }
        inside.sort();
        found.extend(inside);
    }
    Ok(found)
}

/// Calls `each` with every row's line and value.
fn read_lines<T: DeserializeOwned>(
    path: &Path,
    mut each: impl FnMut(usize, T) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let io = |source| DataError::Io {
        path: path.to_owned(),
        source,
    };
    let mut lines = JsonLines::open(path).map_err(io)?;
    while let Some(row) = lines.next_row() {
        let (line, row) = row.map_err(|error| match error {
            LineError::Read(cause) => io(cause),
            LineError::Line { line, message } => refuse(path, line, message),
        })?;
        each(line, row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> DataRecipe {
        let mut recipe = crate::recipe::Recipe::parse(
            Path::new("mini-linear.toml"),
            include_str!("../../../recipes/mini-linear.toml"),
        )
        .unwrap()
        .data;
        recipe.seed = vec!["seed.jsonl".into()];
        recipe
    }

    fn load(lines: &str) -> Result<Corpus, DataError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("seed.jsonl"), lines).unwrap();
        load_seed(folder.path(), &recipe())
    }

    const GOOD: &str = concat!(
        r#"{"text":"t","lang":"en","unsafe":1,"categories":["hate","jailbreak"],"#,
        r#""source":"s","group":null}"#,
    );

    #[test]
    fn a_row_is_read() {
        let corpus = load(GOOD).unwrap();
        assert_eq!(corpus.rows[0].categories, 1 << 8 | 1 << 11);
        assert_eq!(corpus.sources, ["s"]);
    }

    #[test]
    fn errors_name_file_line_and_field() {
        for (bad, mention) in [
            ("not json", "expected"),
            (
                r#"{"text":"t","lang":"en","categories":[],"source":"s"}"#,
                "unsafe",
            ),
            (
                r#"{"text":"t","lang":"en","unsafe":2,"categories":[],"source":"s"}"#,
                "0 or 1",
            ),
            (
                r#"{"text":"t","lang":"en","unsafe":1,"categories":["rude"],"source":"s"}"#,
                "rude",
            ),
        ] {
            let error = load(&format!("{GOOD}\n{bad}\n")).unwrap_err().to_string();
            assert!(
                error.contains("seed.jsonl:2: ") && error.contains(mention),
                "{error}"
            );
        }
        assert!(load("").unwrap_err().to_string().contains("no rows"));
    }
}
