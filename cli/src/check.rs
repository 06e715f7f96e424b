//! `duoguard check`: verdicts on a text, or on each line of standard input.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Instant;

use duoguard::{CheckOptions, Coverage, Input, Join, MAX_TEXT_BYTES, Model, SessionOptions};

use crate::Outcome;
use crate::cli::{CheckArgs, HowArgs, JoinArg};
use crate::explanation::Explanation;
use crate::failure::Failure;
use crate::judgement::Judgement;
use crate::model_path;

/// The text that stands for standard input.
const STDIN: &str = "-";

/// Prints the verdict on one text and says whether it is flagged.
type CheckOne<'a> = dyn FnMut(&str, &mut dyn Write) -> Result<bool, Failure> + 'a;

pub(crate) fn run(arguments: &CheckArgs) -> Result<Outcome, Failure> {
    let text = arguments.text.as_deref();
    let text = text.ok_or_else(|| nothing_to_check(io::stdin().is_terminal()))?;
    let model = Model::open(model_path::find(arguments.model.model.as_deref())?)?;
    let mut session = model.session(&SessionOptions {
        engine: arguments.model.engine.clone(),
        threads: arguments.model.threads,
    })?;
    let options = options(&arguments.how)?;
    let mut check_one = |text: &str, out: &mut dyn Write| {
        let start = Instant::now();
        let input = Input {
            prompt: text,
            response: arguments.response.as_deref(),
            language: arguments.language.as_deref(),
        };
        let verdict = session.check_with(&input, &options)?;
        let elapsed_ms = start.elapsed().as_secs_f64() * 1e3;
        let judgement = Judgement::new(&verdict, model.categories(), session.engine(), elapsed_ms);
        let judgement = match arguments.explain {
            true => judgement.explained(Explanation::new(&verdict)),
            false => judgement,
        };
        let written = match arguments.json {
            true => judgement.write_json(out),
            false => judgement.write_text(out),
        };
        written
            .and_then(|()| out.flush())
            .map_err(Failure::output)?;
        Ok(verdict.flagged)
    };
    // A whole line at a time: terminals and pipes both see each verdict once, complete.
    let mut out = io::LineWriter::new(anstream::stdout().lock());
    match text {
        STDIN => check_lines(io::stdin().lock(), &mut out, &mut check_one),
        text => check_one(text, &mut out).map(outcome),
    }
}

fn options(how: &HowArgs) -> Result<CheckOptions, Failure> {
    let allowed = match &how.allow {
        None => String::new(),
        Some(path) => std::fs::read_to_string(path).map_err(|cause| {
            Failure::message(format!("cannot read {}: {cause}", path.display()))
        })?,
    };
    Ok(CheckOptions {
        coverage: match how.max_tokens {
            Some(max_tokens) => Coverage::Partial { max_tokens },
            None => Coverage::Full,
        },
        join: match how.join {
            JoinArg::Space => Join::Space,
            JoinArg::Newline => Join::Newline,
            JoinArg::Separate => Join::Separate,
        },
        normalize: !how.literal,
        thresholds: how.threshold.iter().cloned().collect(),
        target_fpr: how.target_fpr,
        allowed: allowed.lines().map(str::to_owned).collect(),
    })
}

fn outcome(flagged: bool) -> Outcome {
    match flagged {
        true => Outcome::Unsafe,
        false => Outcome::Safe,
    }
}

fn nothing_to_check(stdin_is_terminal: bool) -> Failure {
    let advice = match stdin_is_terminal {
        true => "give the text as an argument, as in: duoguard check \"some text\"",
        false => "to check each line of standard input, add \"-\", as in: duoguard check - < FILE",
    };
    Failure::message(format!("nothing to check; {advice}"))
}

/// Checks each line as it arrives. The first that cannot be checked ends it.
fn check_lines(
    mut input: impl BufRead,
    out: &mut dyn Write,
    check_one: &mut CheckOne<'_>,
) -> Result<Outcome, Failure> {
    let mut any_flagged = false;
    let mut line = Vec::new();
    for number in 1.. {
        let failed =
            |message: String| Failure::message(format!("standard input, line {number}: {message}"));
        line.clear();
        // Two more than a text may have, for the line's end: whoever never ends a line must not
        // fill the memory.
        let mut limited = io::Read::take(&mut input, MAX_TEXT_BYTES as u64 + 2);
        let length = limited
            .read_until(b'\n', &mut line)
            .map_err(|cause| failed(format!("cannot read: {cause}")))?;
        if length == 0 {
            break;
        }
        let text = without_line_end(&line);
        if text.len() > MAX_TEXT_BYTES {
            return Err(failed(format!(
                "longer than the {MAX_TEXT_BYTES} bytes a text may have"
            )));
        }
        let text = std::str::from_utf8(text).map_err(|cause| {
            let byte = cause.valid_up_to() + 1;
            failed(format!(
                "not valid UTF-8 (at byte {byte}); convert the input to UTF-8"
            ))
        })?;
        any_flagged |= check_one(text, out).map_err(|failure| match failure {
            Failure::Message(cause) => failed(cause),
            Failure::OutputClosed => Failure::OutputClosed,
        })?;
    }
    Ok(outcome(any_flagged))
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
