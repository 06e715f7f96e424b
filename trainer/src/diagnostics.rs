//! What a run says on standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes a line to standard error.
///
/// A line that cannot be written is lost, and nothing else: what a run computes does not depend on
/// who reads along, and there is no better place to say so.
pub fn say(line: impl Display) {
    // At once, so that the lines of several processes do not mix.
    let line = format!("{line}\n");
    let _ = io::stderr().lock().write_all(line.as_bytes());
}
