//! Trains duoguard models: a byte-level tokenizer, language-model pre-training
//! (stage 0) and the 12-category classifier (stage 1), from one TOML recipe.
//!
//! What comes out is a Hugging Face folder (`config.json`, `model.safetensors`,
//! `tokenizer.json`), which `duoguard-export` turns into a bundle.

pub mod data;
pub mod endpoint;
pub mod error;
pub mod game;
pub mod model;
pub mod recipe;
pub mod report;
pub mod run;
pub mod setup;
pub mod train;
