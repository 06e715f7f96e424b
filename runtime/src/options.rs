//! What a caller may choose about a model and about a check.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::signature::PublicKey;

/// How [`Model::open_with`](crate::Model::open_with) opens a bundle; the default is what
/// [`Model::open`](crate::Model::open) does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelOptions {
    /// Whose signature the bundle must have: `manifest.json.minisig`, which `minisign -Sm
    /// manifest.json` writes beside the manifest. One without it, with that of another key, or with
    /// any other byte in any file is refused. `None` asks for none.
    ///
    /// A signature says who made a bundle, and not that it is the newest of theirs.
    pub public_key: Option<PublicKey>,
    /// Whether `weights.data` is memory-mapped, whatever its size: processes that map one file
    /// share its memory. Where the file system has no maps, it is read.
    ///
    /// While the bundle, or a model or session made from it, is alive, the file must not be changed
    /// in place or truncated: verdicts would silently be others, or the process be killed by
    /// SIGBUS. Replacing it by renaming another file over it is safe.
    pub map_weights: bool,
}

/// What [`Session::check_with`](crate::Session::check_with) does; the default is what
/// [`Session::check`](crate::Session::check) does.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckOptions {
    /// How much of a text is scored.
    pub coverage: Coverage,
    /// How a prompt and its response become one text, or stay two.
    pub join: Join,
    /// Whether the text is also scored with its disguises taken off. Without, only what is
    /// literally written is scored.
    pub normalize: bool,
    /// Thresholds by category, in (0, 1], that replace the model's in every language. Naming an
    /// unknown category is an error.
    pub thresholds: BTreeMap<String, f32>,
    /// Asks for thresholds at which at most this share of safe texts is flagged, in (0, 1): the
    /// model's operating point with the largest rate that does not exceed it. An error if the model
    /// has none so low.
    pub target_fpr: Option<f32>,
    /// Texts that are never flagged. One matches if it equals the whole text that is checked,
    /// joined as [`Join`] says, byte by byte. Its scores are still computed.
    pub allowed: BTreeSet<String>,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            coverage: Coverage::Full,
            join: Join::Space,
            normalize: true,
            thresholds: BTreeMap::new(),
            target_fpr: None,
            allowed: BTreeSet::new(),
        }
    }
}

/// How much of a text is scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coverage {
    /// Every token.
    #[default]
    Full,
    /// The first tokens of every view of the text, and no more. The verdict then says nothing about
    /// the rest; [`Verdict::tokens_scored`](crate::Verdict::tokens_scored) tells how much was
    /// scored.
    Partial {
        /// The most tokens to score; at least 1.
        max_tokens: usize,
    },
}

impl Coverage {
    /// The same, if it scores anything.
    pub(crate) fn checked(self) -> Result<Self> {
        match self {
            Self::Partial { max_tokens: 0 } => Err(Error::argument(
                "coverage of at most 0 tokens; expected at least 1: a text of which nothing is \
                 scored gets no verdict",
            )),
            coverage => Ok(coverage),
        }
    }

    /// How many of a text's tokens are scored.
    pub(crate) fn of(self, tokens: usize) -> usize {
        match self {
            Self::Full => tokens,
            Self::Partial { max_tokens } => tokens.min(max_tokens),
        }
    }
}

/// How a prompt and its response become one text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Join {
    /// The prompt, a space and the response: the rule of the benchmarks.
    #[default]
    Space,
    /// The prompt, a line break and the response.
    Newline,
    /// Two texts, scored one by one. A response is then judged without knowing what it answers.
    Separate,
}

impl Join {
    /// What stands between a prompt and its response; `None` where they are two texts.
    pub(crate) fn separator(self) -> Option<&'static str> {
        match self {
            Self::Space => Some(" "),
            Self::Newline => Some("\n"),
            Self::Separate => None,
        }
    }
}
