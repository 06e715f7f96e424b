//! A recipe: one TOML file that says everything about a training run.
//!
//! It is validated once, when it is read. Errors name the file, the line, the key, what was
//! found and what is expected.
//!
//! One file here is one table of a recipe; [`mod@file`] puts them together.

mod classifier;
mod compute;
mod data;
mod distill;
mod error;
mod file;
mod game;
mod model;
mod optimizer;
mod players;
mod pretrain;
mod range;
mod sources;

pub(crate) use classifier::{
    ClassifierLoss, ClassifierRecipe, LanguageHeadRecipe, SamplingRecipe, TeacherRecipe,
};
pub use compute::{ComputeRecipe, Precision};
pub(crate) use data::DataRecipe;
pub(crate) use distill::DistillRecipe;
pub use error::RecipeError;
pub use file::Recipe;
pub(crate) use game::{
    CalibrationRecipe, ClassifierStart, GameRecipe, PreferenceRecipe, ProposalKind,
};
pub use model::ModelRecipe;
pub(crate) use model::{BalanceRecipe, EncoderRecipe, Start, TokenizerRecipe};
pub(crate) use optimizer::OptimizerRecipe;
pub(crate) use players::{
    EndpointRecipe, EnsembleRecipe, JudgeRecipe, LocalGeneratorRecipe, PlayersRecipe,
    TranslationRecipe,
};
pub(crate) use pretrain::PretrainRecipe;
