//! The structs of `include/duoguard.h`, byte for byte.
//!
//! To grow one, append fields at or after its present `sizeof`, padding included, and their ends to
//! its `ENDS`.

use std::ffi::{c_char, c_void};
use std::mem::{offset_of, size_of};

use runtime::Verdict;

use crate::failure::Failure;
use crate::message;
use crate::session::MAX_LANGUAGE_BYTES;
use crate::status::Status;

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

/// `duoguard_options`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct COptions {
    pub(crate) struct_size: u32,
    pub(crate) threads: u32,
    pub(crate) engine: *const c_char,
}

impl COptions {
    /// Where each field ends that a caller may or may not have.
    pub(crate) const ENDS: [usize; 2] = [offset_of!(Self, engine), size_of::<Self>()];
}

/// `duoguard_stream_options`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CStreamOptions {
    pub(crate) struct_size: u32,
    pub(crate) debounce_bytes: u32,
    pub(crate) prompt: *const c_char,
    pub(crate) prompt_size: usize,
    pub(crate) rescore: u32,
    pub(crate) reserved: u32,
}

impl CStreamOptions {
    /// Where each field ends that a caller may or may not have.
    pub(crate) const ENDS: [usize; 3] = [
        offset_of!(Self, prompt),
        offset_of!(Self, rescore),
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
    pub(crate) language: [u8; MAX_LANGUAGE_BYTES + 1],
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
            language: [0; MAX_LANGUAGE_BYTES + 1],
        }
    }
}

impl CVerdict {
    /// Where each field ends that a caller may or may not have.
    pub(crate) const ENDS: [usize; 5] = [
        offset_of!(Self, tokens),
        offset_of!(Self, tokens_scored),
        offset_of!(Self, windows),
        offset_of!(Self, language),
        offset_of!(Self, language) + MAX_LANGUAGE_BYTES + 1,
    ];
}

impl CVerdict {
    pub(crate) fn new(found: &Verdict) -> Result<Self, Failure> {
        let unfit = |what: &str| {
            Failure::new(
                Status::Engine,
                format!("the verdict's {what} has no room in duoguard_verdict"),
            )
        };
        let mut language = [0; MAX_LANGUAGE_BYTES + 1];
        let tag = found.language.as_bytes();
        language[..MAX_LANGUAGE_BYTES]
            .get_mut(..tag.len())
            .ok_or_else(|| unfit("language"))?
            .copy_from_slice(tag);
        let category = found.category.map(i32::try_from).transpose();
        Ok(Self {
            struct_size: 0,
            flagged: found.flagged.into(),
            top_category: category.map_err(|_| unfit("category"))?.unwrap_or(-1),
            top_score: found.score,
            tokens: found.tokens as u64,
            tokens_scored: found.tokens_scored as u64,
            windows: u32::try_from(found.windows).map_err(|_| unfit("number of windows"))?,
            language,
        })
    }
}

/// Where the last field ends that lies within `size`.
pub(crate) fn whole_fields(ends: &[usize], size: usize) -> usize {
    ends.iter()
        .copied()
        .filter(|end| *end <= size)
        .max()
        .unwrap_or(0)
}

/// The sizes and places of fields that C must agree with.
#[cfg(test)]
pub(crate) fn layouts() -> impl Iterator<Item = (&'static str, usize)> {
    [
        ("sizeof error", size_of::<CError>()),
        ("sizeof file", size_of::<CFile>()),
        ("file.name", offset_of!(CFile, name)),
        ("file.data", offset_of!(CFile, data)),
        ("file.size", offset_of!(CFile, size)),
        ("sizeof options", size_of::<COptions>()),
        ("options.struct_size", offset_of!(COptions, struct_size)),
        ("options.threads", offset_of!(COptions, threads)),
        ("options.engine", offset_of!(COptions, engine)),
        ("sizeof stream_options", size_of::<CStreamOptions>()),
        (
            "stream_options.struct_size",
            offset_of!(CStreamOptions, struct_size),
        ),
        (
            "stream_options.debounce_bytes",
            offset_of!(CStreamOptions, debounce_bytes),
        ),
        ("stream_options.prompt", offset_of!(CStreamOptions, prompt)),
        (
            "stream_options.prompt_size",
            offset_of!(CStreamOptions, prompt_size),
        ),
        (
            "stream_options.rescore",
            offset_of!(CStreamOptions, rescore),
        ),
        (
            "stream_options.reserved",
            offset_of!(CStreamOptions, reserved),
        ),
        ("sizeof verdict", size_of::<CVerdict>()),
        ("verdict.struct_size", offset_of!(CVerdict, struct_size)),
        ("verdict.flagged", offset_of!(CVerdict, flagged)),
        ("verdict.top_category", offset_of!(CVerdict, top_category)),
        ("verdict.top_score", offset_of!(CVerdict, top_score)),
        ("verdict.tokens", offset_of!(CVerdict, tokens)),
        ("verdict.tokens_scored", offset_of!(CVerdict, tokens_scored)),
        ("verdict.windows", offset_of!(CVerdict, windows)),
        ("verdict.language", offset_of!(CVerdict, language)),
    ]
    .into_iter()
}
