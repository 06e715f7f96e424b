//! Standard input, a text a line.

use std::io::{self, BufRead, Write};

use duoguard::{MAX_TEXT_BYTES, without_byte_order_mark};

use crate::Outcome;
use crate::check::outcome;
use crate::failure::Failure;

/// Prints the verdict on one text and says whether it is flagged.
pub(crate) type CheckOne<'a> = dyn FnMut(&str, &mut dyn Write) -> Result<bool, Failure> + 'a;

/// What is read of a line: two bytes more than a text may have, for the line's end.
const MOST_BYTES: usize = MAX_TEXT_BYTES + 2;

/// What is done about lines that cannot be checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    /// Whether they are reported, and the next ones checked. Else the first ends the run.
    pub(crate) keeps_going: bool,
    /// Whether the report is also an object among the verdicts, so that there is one for each line.
    pub(crate) json: bool,
}

/// Checks each line as it arrives.
///
/// # Errors
/// Lines that cannot be checked, and that there are none.
pub(crate) fn check_lines(
    lines: Lines,
    mut input: impl BufRead,
    out: &mut dyn Write,
    check_one: &mut CheckOne<'_>,
) -> Result<Outcome, Failure> {
    let (mut count, mut bad, mut any_flagged) = (0, 0, false);
    let mut line = Vec::new();
    while read_line(&mut input, &mut line).map_err(|cause| {
        Failure::message(format!(
            "standard input, line {}: cannot read: {cause}",
            count + 1
        ))
    })? {
        count += 1;
        let text = match count {
            1 => without_byte_order_mark(&line),
            _ => &line,
        };
        let text = text_of(text).map_err(Failure::Message);
        match text.and_then(|text| check_one(text, out)) {
            Ok(flagged) => any_flagged |= flagged,
            Err(Failure::OutputClosed) => return Err(Failure::OutputClosed),
            Err(Failure::Message(cause)) => {
                let failure = Failure::message(format!("standard input, line {count}: {cause}"));
                if !lines.keeps_going {
                    return Err(failure);
                }
                bad += 1;
                failure.print();
                if line.len() == MOST_BYTES {
                    skip_line(&mut input).map_err(Failure::from)?;
                }
                if lines.json {
                    let object = serde_json::json!({ "error": cause });
                    writeln!(out, "{object}").map_err(Failure::output)?;
                }
            }
        }
    }
    match (count, bad) {
        (0, _) => Err(Failure::message(
            "standard input is empty: no text was checked",
        )),
        (_, 0) => Ok(outcome(any_flagged)),
        _ => Err(Failure::message(format!(
            "{bad} of {count} lines could not be checked"
        ))),
    }
}

/// Reads a line without its end, and of one that is too long a little more than a text may have:
/// whoever never ends a line must not fill the memory. Says whether there was any.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut limited = io::Read::take(&mut *input, MOST_BYTES as u64);
    if limited.read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    let is_whole = line.ends_with(b"\n");
    if !is_whole && line.len() == MOST_BYTES {
        return Ok(true);
    }
    let end = line.strip_suffix(b"\n").unwrap_or(line);
    let end = end.strip_suffix(b"\r").unwrap_or(end).len();
    line.truncate(end);
    Ok(true)
}

/// Passes over the rest of a line.
fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let some = input.fill_buf()?;
        let (read, is_over) = match some.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (some.len(), some.is_empty()),
        };
        input.consume(read);
        if is_over {
            return Ok(());
        }
    }
}

/// What was read as a text.
pub(crate) fn text_of(bytes: &[u8]) -> Result<&str, String> {
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(format!(
            "longer than the {MAX_TEXT_BYTES} bytes a text may have; check it in parts"
        ));
    }
    std::str::from_utf8(bytes).map_err(|cause| {
        let byte = cause.valid_up_to() + 1;
        format!("not valid UTF-8 (at byte {byte}); convert the input to UTF-8")
    })
}

#[cfg(test)]
#[path = "check_lines_tests.rs"]
mod tests;
