//! The caller's structs as the runtime's options and input.

use std::num::NonZeroUsize;

use runtime::{EngineChoice, Input, ModelOptions, SessionOptions, StreamOptions};

use super::arguments::{array, language, optional_text, text};
use super::arguments::{string, utf8};
use super::sized::known;
use crate::choices;
use crate::failure::Failure;
use crate::session::SessionHandle;
use crate::structs::{CCheckOptions, CInput, CModelOptions, COptions, CStreamOptions};

/// # Safety
/// `options` is NULL or has the size that it says, and its key is NULL or ends in NUL.
pub(super) unsafe fn model_options(options: *const CModelOptions) -> Result<ModelOptions, Failure> {
    // SAFETY: the caller's promise.
    let (given, key) = unsafe {
        let given = known(options)?;
        (given, string(given.public_key))
    };
    choices::reserved("model_options.reserved", given.reserved)?;
    let field = "model_options.public_key";
    let key = key.map(|key| utf8(key.to_bytes(), field)).transpose()?;
    Ok(ModelOptions {
        public_key: key.map(str::parse).transpose()?,
        ..ModelOptions::default()
    })
}

/// # Safety
/// `options` is NULL or has the size that it says, and its engine is NULL or ends in NUL.
pub(super) unsafe fn session_options(options: *const COptions) -> Result<SessionOptions, Failure> {
    // SAFETY: the caller's promise.
    let (given, engine) = unsafe {
        let given = known(options)?;
        (given, string(given.engine))
    };
    let engine = match engine {
        None => EngineChoice::Auto,
        Some(name) => match utf8(name.to_bytes(), "options.engine")?.parse() {
            Ok(choice) => choice,
            Err(never) => match never {},
        },
    };
    let defaults = SessionOptions::default();
    Ok(SessionOptions {
        engine,
        threads: NonZeroUsize::new(given.threads as usize).unwrap_or(defaults.threads),
    })
}

/// # Safety
/// `input` has the size that it says; its texts are NULL or readable for their sizes, its language
/// is NULL or ends in NUL, and all of them stay as they are while the result is used.
pub(super) unsafe fn text_input<'a>(input: *const CInput) -> Result<Input<'a>, Failure> {
    // SAFETY: the caller's promise.
    unsafe {
        let given = known(input)?;
        choices::reserved("input.reserved", given.reserved)?;
        Ok(Input {
            prompt: text(given.prompt, given.prompt_size, "prompt")?,
            response: optional_text(given.response, given.response_size, "response")?,
            language: language(given.language, "language")?,
        })
    }
}

/// # Safety
/// `options` is NULL or has the size that it says, and its thresholds are NULL or as many as it
/// says.
pub(super) unsafe fn check_options(
    options: *const CCheckOptions,
    session: &SessionHandle,
) -> Result<runtime::CheckOptions, Failure> {
    // SAFETY: the caller's promise.
    let (given, thresholds) = unsafe {
        let given = known(options)?;
        let field = "check_options.thresholds";
        (
            given,
            array(given.thresholds, given.threshold_count, field)?,
        )
    };
    choices::check_options(&given, thresholds, session.categories())
}

/// # Safety
/// `options` is NULL or has the size that it says; its prompt is NULL or readable for its size, its
/// language is NULL or ends in NUL, and its check is as `check_options` asks.
pub(super) unsafe fn stream_options(
    options: *const CStreamOptions,
    session: &SessionHandle,
) -> Result<StreamOptions, Failure> {
    // SAFETY: the caller's promise.
    unsafe {
        let given = known(options)?;
        let prompt = optional_text(given.prompt, given.prompt_size, "stream_options.prompt")?;
        let language = language(given.language, "stream_options.language")?;
        let defaults = StreamOptions::default();
        Ok(StreamOptions {
            check: check_options(given.check, session)?,
            prompt: prompt.map(str::to_owned),
            language: language.map(str::to_owned),
            debounce_bytes: match given.debounce_bytes {
                0 => defaults.debounce_bytes,
                bytes => bytes,
            },
            cache: choices::cache(given.cache)?.unwrap_or(defaults.cache),
        })
    }
}
