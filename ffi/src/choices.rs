//! What the numbers in the caller's structs stand for.

use std::collections::BTreeMap;

use runtime::{CheckOptions, Coverage, Join};

use crate::failure::Failure;
use crate::status::Status;
use crate::structs::CCheckOptions;

/// How prompt and response are joined, by the header's constants: the first is 0.
pub(crate) const JOINS: [(&str, Join); 3] = [
    ("DUOGUARD_JOIN_SPACE", Join::Space),
    ("DUOGUARD_JOIN_NEWLINE", Join::Newline),
    ("DUOGUARD_JOIN_SEPARATE", Join::Separate),
];

/// Whether a stream uses a cache, by the header's constants: the first is 0, the default.
pub(crate) const CACHES: [(&str, Option<bool>); 3] = [
    ("DUOGUARD_CACHE_DEFAULT", None),
    ("DUOGUARD_CACHE_ON", Some(true)),
    ("DUOGUARD_CACHE_OFF", Some(false)),
];

/// The caller's `duoguard_check_options`, with the thresholds that it points to.
pub(crate) fn check_options(
    given: &CCheckOptions,
    thresholds: &[f32],
    categories: &[String],
) -> Result<CheckOptions, Failure> {
    Ok(CheckOptions {
        coverage: match usize::try_from(given.max_tokens) {
            Ok(0) => Coverage::Full,
            Ok(max_tokens) => Coverage::Partial { max_tokens },
            // More than any text has.
            Err(_) => Coverage::Full,
        },
        join: join(given.join)?,
        normalize: match given.literal {
            0 => true,
            1 => false,
            other => return Err(unknown("check_options.literal", other, 1)),
        },
        thresholds: by_category(thresholds, categories)?,
        target_fpr: match given.target_fpr {
            0.0 => None,
            rate => Some(rate),
        },
        ..CheckOptions::default()
    })
}

/// Whether a `DUOGUARD_CACHE_` constant turns the cache on; `None` for the default.
pub(crate) fn cache(choice: u32) -> Result<Option<bool>, Failure> {
    of_constant("stream_options.cache", choice, &CACHES)
}

/// Refuses a reserved field that is set.
pub(crate) fn reserved(field: &str, given: u32) -> Result<(), Failure> {
    match given {
        0 => Ok(()),
        other => Err(unknown(field, other, 0)),
    }
}

fn join(choice: u32) -> Result<Join, Failure> {
    of_constant("check_options.join", choice, &JOINS)
}

/// What a constant stands for that counts into `choices`.
fn of_constant<T: Copy>(field: &str, constant: u32, choices: &[(&str, T)]) -> Result<T, Failure> {
    let choice = choices.get(constant as usize);
    choice
        .map(|(_, choice)| *choice)
        .ok_or_else(|| unknown(field, constant, choices.len() as u32 - 1))
}

/// The thresholds that are given, by category; one of 0 is not.
fn by_category(
    thresholds: &[f32],
    categories: &[String],
) -> Result<BTreeMap<String, f32>, Failure> {
    if !thresholds.is_empty() && thresholds.len() != categories.len() {
        return Err(Failure::argument(format!(
            "check_options.threshold_count is {}; expected {}, the model's category count, or 0",
            thresholds.len(),
            categories.len()
        )));
    }
    let given = categories.iter().cloned().zip(thresholds.iter().copied());
    Ok(given.filter(|(_, threshold)| *threshold != 0.0).collect())
}

fn unknown(field: &str, given: u32, most: u32) -> Failure {
    let expected = match most {
        0 => "0".to_owned(),
        most => format!("0 to {most}"),
    };
    Failure::new(
        Status::Unsupported,
        format!(
            "{field} is {given}; this library ({}) knows {expected}: expected that, or a newer library",
            env!("CARGO_PKG_VERSION")
        ),
    )
}
