//! Texts on their way to a network: read, split, drawn, tokenized and put into batches.

pub(crate) mod balance;
pub(crate) mod batch;
pub(crate) mod crops;
pub(crate) mod distilled;
pub(crate) mod lexicon;
pub(crate) mod mixture;
pub(crate) mod packed;
pub(crate) mod row_sampler;
pub(crate) mod rows;
pub(crate) mod tokenizer;
pub(crate) mod training_text;
pub(crate) mod validation;
