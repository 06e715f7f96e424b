//! One error type for the whole trainer: what was being done, to which file, and why it failed.

use std::path::{Path, PathBuf};

/// Anything that stops a training run.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The recipe is wrong; the message names file, line and key.
    #[error(transparent)]
    Recipe(#[from] crate::recipe::RecipeError),
    /// The data is wrong; the message names file, line and field.
    #[error(transparent)]
    Data(#[from] crate::data::rows::DataError),
    /// A file could not be read or written.
    #[error("{}: cannot {doing}: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file of the run folder or a checkpoint does not hold what it must.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What was expected, what was found, what to do.
        reason: String,
    },
    /// The tokenizer could not be trained or used.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// The export of the trained checkpoint failed.
    #[error("export: {0}")]
    Export(#[from] duoguard_export::ExportError),
    /// The loss or the gradients stopped being numbers.
    #[error(
        "{stage}, step {step}: the loss is {loss} and the gradient norm {gradient_norm}; lower \
         the learning rate in the recipe"
    )]
    Diverged {
        /// Which stage.
        stage: &'static str,
        /// At which step.
        step: usize,
        /// The loss seen.
        loss: f64,
        /// The gradient norm seen.
        gradient_norm: f64,
    },
    /// A language that the language identifier does not know.
    #[error(
        "game.languages: {0:?} cannot be identified; expected a two-letter ISO 639-1 code of a \
         language that whatlang knows"
    )]
    Language(String),
    /// A judge that rates none of the rows it is calibrated on in a language.
    #[error(
        "game.calibration: the judge rates no row held out in {0:?}; expected labelled rows in every \
         one of game.languages, and a judge that rates them"
    )]
    Calibration(String),
    /// A stage that is to end early, and nothing to see when.
    #[error(
        "classifier.patience: no AUROC of data.held_out_sources; expected safe and unsafe rows of \
         these sources in the data"
    )]
    Patience,
    /// The benchmarks cannot be read, or the report not drawn.
    #[error("evaluation: {0}")]
    Evaluation(#[from] duoguard_eval::EvalError),
    /// A stage of a round gave nothing, or too little to go on with.
    #[error(
        "{}: {kept} of {all} proposals are left{}; dropped: {}{}. Mend the players, remove the \
         folder's drafts.jsonl and run again",
        folder.display(),
        least.map_or(String::new(), |share| format!(", less than the {share} of game.least_yield")),
        dropped.join(", "),
        example.as_ref().map_or(String::new(), |text| format!("; such as {text:?}")),
    )]
    Yield {
        /// The round's folder.
        folder: PathBuf,
        /// Proposals that were rated.
        kept: usize,
        /// Proposals that were asked for.
        all: usize,
        /// The share that the recipe wants, where that is what was missed.
        least: Option<f64>,
        /// Why the others were dropped, and how many.
        dropped: Vec<String>,
        /// One of them.
        example: Option<String>,
    },
    /// A game has used up its time or its disk.
    #[error(
        "{0}. What it has learned is kept: --resume with a larger value goes on, and ends as if it \
         had been there from the start"
    )]
    Budget(String),
    /// The guard that a student learns from fails on a text.
    #[error("distill.teacher: {0}")]
    Teacher(String),
    /// An endpoint cannot be used.
    #[error(transparent)]
    Endpoint(#[from] crate::endpoint::EndpointError),
    /// The processes of a run do not come together, or no longer agree.
    #[error("several processes: {0}")]
    Distributed(String),
    /// The device asked for is not there.
    #[error("device {device}: {reason}")]
    Device {
        /// Its name as given.
        device: String,
        /// Why not, and what to do.
        reason: String,
    },
}

impl TrainError {
    /// An I/O error of the file or folder at `path`.
    pub(crate) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }

    /// An invalid file.
    pub(crate) fn invalid(path: &Path, reason: impl Into<String>) -> Self {
        Self::Invalid {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
