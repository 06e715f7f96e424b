//! duoguard over HTTP: checks in the shapes that existing clients speak, and a proxy that guards a
//! model's prompts and responses.
//!
//! ```no_run
//! use duoguard::{Model, SessionOptions};
//! use duoguard_serve::{ServeOptions, serve};
//!
//! let model = Model::open("models/mini")?;
//! serve(&model, &SessionOptions::default(), &ServeOptions::default())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **No verdict is not a safe verdict**: what could not be checked does not pass, unless the policy
//! says `fail_open`.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod app;
mod body;
mod classify;
mod connections;
mod error;
mod guardrail;
mod info;
mod keys;
mod listen;
mod metrics;
mod moderation;
mod openai_categories;
mod options;
mod policy;
mod proxy;
mod server;
mod worker;

pub use options::{Limits, Listen, ServeError, ServeOptions, Tls, UpstreamOptions};
pub use policy::PolicyOverrides;
pub use server::{Server, serve};
