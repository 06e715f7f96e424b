//! Trains duoguard models: a byte-level tokenizer, language-model pre-training
//! (stage 0) and the 12-category classifier (stage 1), from one TOML recipe.
//!
//! What comes out is a Hugging Face folder (`config.json`, `model.safetensors`,
//! `tokenizer.json`), which `duoguard-export` turns into a bundle.

pub mod author;
pub mod batch;
pub mod checkpoint;
pub mod classifier;
pub mod data;
pub mod decoder;
pub mod device;
pub mod draw;
pub mod endpoint;
pub mod error;
pub mod game;
pub mod generator;
pub mod ground;
pub mod import;
pub mod instructions;
pub mod judge;
pub mod lexicon;
pub mod linear;
pub mod loss;
pub mod measure;
pub mod optimizer;
pub mod players;
pub mod preference;
pub mod pretrain;
pub mod probe;
pub mod progress;
pub mod proposal;
pub mod recipe;
pub mod recompute;
pub mod report;
pub mod run;
pub mod sample;
pub mod sampling;
pub mod stage;
pub mod teacher;
pub mod theory;
pub mod tokenizer;
pub mod validation;
pub mod voice;
