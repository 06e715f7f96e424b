//! The file of sources that recipes refer to: under which licence each source of data is.
//!
//! ```toml
//! [davidson]
//! licence = "MIT"
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::RecipeError;

/// Sources of data and their licences.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    path: PathBuf,
    sources: BTreeMap<String, Source>,
}

/// What is known of a source.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    licence: String,
}

impl Sources {
    /// Reads a file of sources.
    ///
    /// # Errors
    /// Unreadable file, broken TOML, a source without a licence or with an unknown key.
    pub(super) fn load(path: &Path) -> Result<Self, RecipeError> {
        let text = fs::read_to_string(path).map_err(|e| {
            let reason = format!("cannot read the sources that data.sources names: {e}");
            RecipeError::new(path, None, reason)
        })?;
        let sources: BTreeMap<String, Source> =
            toml::from_str(duoguard::strip_byte_order_mark(&text)).map_err(|e| {
                let line = e
                    .span()
                    .map(|span| text[..span.start].matches('\n').count() + 1);
                RecipeError::new(path, line, e.message())
            })?;
        let empty = sources.iter().find(|(_, source)| source.licence.is_empty());
        if let Some((name, _)) = empty {
            let reason = format!("{name}.licence is empty, expected the licence of the source");
            return Err(RecipeError::new(path, None, reason));
        }
        Ok(Self {
            path: path.to_owned(),
            sources,
        })
    }

    /// The licence of each of `names`.
    ///
    /// # Errors
    /// A source that the file does not have; the message names it.
    pub(crate) fn licences<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<BTreeMap<String, String>, RecipeError> {
        names
            .into_iter()
            .map(|name| match self.sources.get(name) {
                Some(source) => Ok((name.to_owned(), source.licence.clone())),
                None => Err(RecipeError::new(
                    &self.path,
                    None,
                    format!(
                        "has no licence of the source {name:?}, which the data hold; add a table \
                         [{name}] with the key licence, or leave the source out with \
                         data.exclude_sources"
                    ),
                )),
            })
            .collect()
    }
}
