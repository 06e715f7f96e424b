//! Trains duoguard models: a byte-level tokenizer, language-model pre-training (stage 0), the
//! 12-category classifier (stage 1) and the two-player game (arXiv 2502.05163), from one TOML
//! recipe.
//!
//! What comes out of a round is a Hugging Face folder (`config.json`, `model.safetensors`,
//! `tokenizer.json`) and the bundle that `duoguard-export` makes of it.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use duoguard_trainer::{ProcessGroup, Recipe, RunOptions, device, run};
//!
//! let recipe = Recipe::load(Path::new("recipes/demo.toml"))?;
//! let options = RunOptions {
//!     data: "recipes".into(),
//!     runs: "runs".into(),
//!     resume: false,
//!     device: device("cpu")?,
//!     threads: None,
//!     group: ProcessGroup::alone(),
//! };
//! println!("{}", run(&recipe, &options)?.display());
//! # Ok::<(), duoguard_trainer::TrainError>(())
//! ```
#![warn(unreachable_pub)]
// These panic where nothing can be written; `diagnostics` says what is done instead.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod baseline;
mod data;
mod diagnostics;
mod distill;
mod distributed;
mod endpoint;
mod error;
mod export;
mod files;
mod game;
mod model;
mod recipe;
mod report;
mod review;
mod run;
mod setup;
mod threads;
mod train;

pub use baseline::LinearBaseline;
pub use data::rows::DataError;
pub use diagnostics::say;
pub use distributed::ProcessGroup;
pub use endpoint::EndpointError;
pub use error::TrainError;
pub use recipe::{ComputeRecipe, Precision, Recipe, RecipeError};
pub use review::review;
pub use run::{RunOptions, run};
pub use train::device::device;
pub use train::progress::StepMetrics;

/// One step of each kind of training on made-up tokens: what the checks of a device, and the
/// measurements of its speed, compute.
pub mod probe {
    pub use crate::recipe::ModelRecipe;
    pub use crate::train::probe::{
        LossAndGradients, Network, Probe, ProbeLoss, loss_and_gradients, mini, qwen_half_billion,
        tiny,
    };
    pub use crate::train::turns::{SamplingTurns, TrainingTurns, llama_135m};
}
