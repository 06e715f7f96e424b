//! Texts on their way to a network: read, split, drawn, tokenized and put into batches.

pub mod batch;
pub mod lexicon;
pub mod mixture;
pub mod row_sampler;
pub mod rows;
pub mod tokenizer;
pub mod validation;
