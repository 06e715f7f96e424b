//! Turns a checkpoint (a Hugging Face folder or a GGUF file) into a bundle that the `duoguard`
//! runtime opens.
//!
//! The ONNX graph is written directly, without Python. An export proves itself before it writes
//! anything at its destination: the fp32 graph must agree with a slow, readable forward pass
//! ([`reference`](mod@reference)) and with the logits the trainer left in the checkpoint; what
//! quantisation then changes is measured and recorded in the bundle's manifest.
//!
//! ```no_run
//! use std::path::Path;
//! use duoguard_export::{ExportOptions, export};
//!
//! let (checkpoint, bundle) = (Path::new("run/checkpoint"), Path::new("run/bundle"));
//! let report = export(checkpoint, bundle, &ExportOptions::default())?;
//! println!("{} bytes, fp32 parity {:e}", report.bundle_bytes, report.fp32_parity_max_error);
//! # Ok::<(), duoguard_export::ExportError>(())
//! ```

mod attention;
mod builder;
mod bundle;
mod calibrate;
mod certify;
pub mod checkpoint;
pub mod config;
mod embedding;
pub mod encoder;
mod error;
mod features;
mod fields;
mod gguf;
mod graph;
mod judge;
mod labels;
mod layered;
mod linear;
mod measure;
mod onnx;
mod outliers;
mod parallel;
mod probability;
mod quantize;
pub mod reference;
mod rope;
mod rows;
mod scheme;
mod shards;
mod small;
mod strays;
mod texts;
mod threshold;
mod tokenizer;
mod trial;
mod weights;
mod write;

mod export;

pub use bundle::STAGING_PREFIX;
pub use calibrate::{CalibrationReport, LanguageCalibration};
pub use certify::{Certificate, Change, Effect, LanguageEffect, Tolerance};
pub use error::ExportError;
pub use export::{ExportOptions, ExportReport, certify, export};
pub use measure::LogitError;
pub use rope::{Llama3Scaling, Rope};
pub use scheme::{Quantize, SCHEMES, Scheme};
pub use write::CATEGORIES;
