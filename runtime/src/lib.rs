//! An embedded, offline guardrail: is this prompt, or this response to that prompt, unsafe?
//!
//! A [`Bundle`] is the folder that ships. A [`Model`] is a bundle opened: immutable and shared
//! between threads. A [`Session`] is a model on an [`Engine`]: one thread at a time. It turns an
//! [`Input`] into a [`Verdict`].
//!
//! ```no_run
//! use duoguard::{Input, Model, SessionOptions};
//!
//! let model = Model::open("models/mini")?;
//! let mut session = model.session(&SessionOptions::default())?;
//! let verdict = session.check(&Input::prompt("How do I bake bread?"))?;
//! if let Some(category) = verdict.category {
//!     println!("unsafe: {}", model.categories()[category]);
//! }
//! # Ok::<(), duoguard::Error>(())
//! ```
//!
//! **No verdict is not a safe verdict**: a call that fails says nothing about the text.

mod bundle;
mod byte_order_mark;
mod check;
mod clock;
mod engine;
mod error;
mod graph;
mod input;
mod language_head;
mod language_tag;
mod model;
mod network;
mod options;
mod policy;
mod reading;
mod session;
mod signature;
mod stream;
mod stream_graph;
mod tally;
mod text;
mod verdict;

pub use bundle::{
    Architecture, BUNDLE_FILES, Bundle, FORMAT_VERSION, Limits, MAX_CATEGORIES, MAX_GRAPH_BYTES,
    MAX_MANIFEST_BYTES, MAX_READ_WEIGHTS_BYTES, MAX_TOKENIZER_BYTES, MAX_WEIGHTS_HEADER_BYTES,
    MAX_WINDOW_TOKENS, Manifest, OPTIONAL_BUNDLE_FILES, Pooling, Weights,
};
pub use byte_order_mark::{strip_byte_order_mark, without_byte_order_mark};
pub use engine::{
    AutoEngine, Engine, EngineChoice, EngineInfo, LayerSession, MAX_THREADS, NetworkLayer,
    TokenBatch, TokenRows, engine_info, engine_names, engines, open_engine,
};
#[cfg(feature = "wgpu")]
pub use engine::{ForwardCost, GpuAdapter, gpu_adapters};
pub use error::{Error, ErrorKind, Result};
pub use graph::Graph;
pub use input::{Input, Span};
pub use language_tag::{MAX_LANGUAGE_TAG_BYTES, parse_language_tag};
pub use model::Model;
pub use options::{CheckOptions, Coverage, Join, ModelOptions};
pub use policy::{Calibration, OperatingPoint, Policy};
pub use session::{Session, SessionOptions};
pub use signature::PublicKey;
pub use stream::{Stream, StreamOptions, StreamWork};
pub use text::MAX_TEXT_BYTES;
pub use text::tokenizer_check::check_tokenizer_json;
pub use verdict::{Change, ChangeKind, MAX_CHANGES, ScoredView, Verdict, ViewKind};
