//! The structs of `include/duoguard.h`, byte for byte.
//!
//! To grow one, append fields at or after its present `sizeof`, padding included, and their ends to
//! its `ENDS`. None has padding: what its fields say is all that it holds.

use std::ffi::{c_char, c_void};
use std::mem::{offset_of, size_of};
use std::ops::Range;
use std::ptr;

use runtime::{MAX_LANGUAGE_TAG_BYTES, ScoredView, Span, Verdict};

use crate::failure::Failure;
use crate::message;
use crate::status::Status;

/// The bytes that a verdict has for a language, a NUL at the end included.
pub(crate) const LANGUAGE_SIZE: usize = 40;
const _: () = assert!(MAX_LANGUAGE_TAG_BYTES < LANGUAGE_SIZE);

/// `duoguard_error`.
#[repr(C)]
pub struct CError {
    pub(crate) message: [c_char; message::MESSAGE_SIZE],
}

#[cfg(test)]
impl CError {
    pub(crate) fn empty() -> Self {
        let message = [0; message::MESSAGE_SIZE];
        Self { message }
    }
}

/// `duoguard_file`.
#[repr(C)]
pub struct CFile {
    pub(crate) name: *const c_char,
    pub(crate) data: *const c_void,
    pub(crate) size: usize,
}

/// A struct of the caller's that is read, and can grow. All its fields are numbers and pointers, so
/// that whatever bytes the caller has there are a value.
pub(crate) trait Growable: Copy {
    /// Its name in the header, after `duoguard_`.
    const NAME: &str;
    /// What the fields are that an older caller does not have: the defaults, which are zeros.
    const UNSET: Self;
    /// Where each field ends that a caller may or may not have; the first end all must have.
    const ENDS: &[usize];
}

/// `duoguard_model_options`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CModelOptions {
    pub(crate) struct_size: u32,
    pub(crate) reserved: u32,
    pub(crate) public_key: *const c_char,
}

impl Growable for CModelOptions {
    const NAME: &str = "model_options";
    const UNSET: Self = Self {
        struct_size: 0,
        reserved: 0,
        public_key: ptr::null(),
    };
    const ENDS: &[usize] = &[offset_of!(Self, public_key), size_of::<Self>()];
}

/// `duoguard_options`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct COptions {
    pub(crate) struct_size: u32,
    pub(crate) threads: u32,
    pub(crate) engine: *const c_char,
}

impl Growable for COptions {
    const NAME: &str = "options";
    const UNSET: Self = Self {
        struct_size: 0,
        threads: 0,
        engine: ptr::null(),
    };
    const ENDS: &[usize] = &[offset_of!(Self, engine), size_of::<Self>()];
}

/// `duoguard_input`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CInput {
    pub(crate) struct_size: u32,
    pub(crate) reserved: u32,
    pub(crate) prompt: *const c_char,
    pub(crate) prompt_size: usize,
    pub(crate) response: *const c_char,
    pub(crate) response_size: usize,
    pub(crate) language: *const c_char,
}

impl Growable for CInput {
    const NAME: &str = "input";
    const UNSET: Self = Self {
        struct_size: 0,
        reserved: 0,
        prompt: ptr::null(),
        prompt_size: 0,
        response: ptr::null(),
        response_size: 0,
        language: ptr::null(),
    };
    const ENDS: &[usize] = &[
        offset_of!(Self, response),
        offset_of!(Self, language),
        size_of::<Self>(),
    ];
}

/// `duoguard_check_options`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CCheckOptions {
    pub(crate) struct_size: u32,
    pub(crate) join: u32,
    pub(crate) max_tokens: u64,
    pub(crate) target_fpr: f32,
    pub(crate) literal: u32,
    pub(crate) thresholds: *const f32,
    pub(crate) threshold_count: usize,
}

impl Growable for CCheckOptions {
    const NAME: &str = "check_options";
    const UNSET: Self = Self {
        struct_size: 0,
        join: 0,
        max_tokens: 0,
        target_fpr: 0.0,
        literal: 0,
        thresholds: ptr::null(),
        threshold_count: 0,
    };
    const ENDS: &[usize] = &[
        offset_of!(Self, max_tokens),
        offset_of!(Self, target_fpr),
        offset_of!(Self, literal),
        offset_of!(Self, thresholds),
        size_of::<Self>(),
    ];
}

/// `duoguard_stream_options`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CStreamOptions {
    pub(crate) struct_size: u32,
    pub(crate) cache: u32,
    pub(crate) prompt: *const c_char,
    pub(crate) prompt_size: usize,
    pub(crate) language: *const c_char,
    pub(crate) check: *const CCheckOptions,
    pub(crate) debounce_bytes: usize,
}

impl Growable for CStreamOptions {
    const NAME: &str = "stream_options";
    const UNSET: Self = Self {
        struct_size: 0,
        cache: 0,
        prompt: ptr::null(),
        prompt_size: 0,
        language: ptr::null(),
        check: ptr::null(),
        debounce_bytes: 0,
    };
    const ENDS: &[usize] = &[
        offset_of!(Self, prompt),
        offset_of!(Self, language),
        offset_of!(Self, check),
        offset_of!(Self, debounce_bytes),
        size_of::<Self>(),
    ];
}

/// `duoguard_verdict`.
#[repr(C)]
pub struct CVerdict {
    pub(crate) struct_size: u32,
    pub(crate) flagged: u32,
    pub(crate) top_category: i32,
    pub(crate) top_score: f32,
    pub(crate) tokens: u64,
    pub(crate) tokens_scored: u64,
    pub(crate) windows: u32,
    pub(crate) language: [u8; LANGUAGE_SIZE],
    pub(crate) span_in_response: u32,
    pub(crate) span_begin: u64,
    pub(crate) span_end: u64,
    pub(crate) coverage_partial: u32,
    pub(crate) reserved: u32,
}

impl CVerdict {
    /// Where each field ends that a caller may or may not have.
    pub(crate) const ENDS: [usize; 9] = [
        offset_of!(Self, tokens),
        offset_of!(Self, tokens_scored),
        offset_of!(Self, windows),
        offset_of!(Self, language),
        offset_of!(Self, span_in_response),
        offset_of!(Self, span_begin),
        offset_of!(Self, span_end),
        offset_of!(Self, coverage_partial),
        size_of::<Self>(),
    ];

    pub(crate) fn new(found: &Verdict) -> Result<Self, Failure> {
        let unfit = |what: &str| {
            Failure::new(
                Status::Engine,
                format!("the verdict's {what} has no room in duoguard_verdict"),
            )
        };
        let mut language = [0; LANGUAGE_SIZE];
        let tag = found.language.as_bytes();
        language[..LANGUAGE_SIZE - 1]
            .get_mut(..tag.len())
            .ok_or_else(|| unfit("language"))?
            .copy_from_slice(tag);
        let category = found.category.map(i32::try_from).transpose();
        let (span_in_response, span) = one_side(found.span.as_ref());
        Ok(Self {
            struct_size: 0,
            flagged: found.flagged.into(),
            top_category: category.map_err(|_| unfit("category"))?.unwrap_or(-1),
            top_score: found.score,
            tokens: found.tokens as u64,
            tokens_scored: found.tokens_scored as u64,
            windows: u32::try_from(found.windows).map_err(|_| unfit("number of windows"))?,
            language,
            span_in_response: span_in_response.into(),
            span_begin: span.start as u64,
            span_end: span.end as u64,
            coverage_partial: is_partial(found).into(),
            reserved: 0,
        })
    }
}

/// The part of a span in the response, and `true`, or in the prompt: whichever is longer.
fn one_side(span: Option<&Span>) -> (bool, Range<usize>) {
    match span {
        None => (false, 0..0),
        Some(span) if span.response.len() > span.prompt.len() => (true, span.response.clone()),
        Some(span) => (false, span.prompt.clone()),
    }
}

/// Whether some of the text, or of what it reads as, was not scored.
fn is_partial(found: &Verdict) -> bool {
    let cut = |view: &ScoredView| view.tokens_scored < view.tokens;
    found.tokens_scored < found.tokens || found.views.iter().any(cut)
}

/// Where the last field ends that lies within `size`.
pub(crate) fn whole_fields(ends: &[usize], size: usize) -> usize {
    ends.iter()
        .copied()
        .filter(|end| *end <= size)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
impl CVerdict {
    pub(crate) fn empty() -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            flagged: 0,
            top_category: -1,
            top_score: 0.0,
            tokens: 0,
            tokens_scored: 0,
            windows: 0,
            language: [0; LANGUAGE_SIZE],
            span_in_response: 0,
            span_begin: 0,
            span_end: 0,
            coverage_partial: 0,
            reserved: 0,
        }
    }
}
