//! `duoguard check`: verdicts on a text, or on each line of standard input.

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::time::Instant;

use duoguard::{
    CheckOptions, Coverage, Input, Join, MAX_TEXT_BYTES, SessionOptions, strip_byte_order_mark,
};

use crate::Outcome;
use crate::check_lines::{Lines, check_lines, text_of};
use crate::cli::{CheckArgs, HowArgs, JoinArg};
use crate::explanation::Explanation;
use crate::failure::Failure;
use crate::judgement::Judgement;
use crate::model_path;

/// The text that stands for standard input.
const STDIN: &str = "-";

pub(crate) fn run(arguments: &CheckArgs) -> Result<Outcome, Failure> {
    let source = source(arguments)?;
    let model = model_path::open(&arguments.model)?;
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
    match source {
        Source::Text(text) => check_one(&text, &mut out).map(outcome),
        Source::Lines => {
            let lines = Lines {
                keeps_going: arguments.keep_going,
                json: arguments.json,
            };
            check_lines(lines, io::stdin().lock(), &mut out, &mut check_one)
        }
    }
}

/// What is checked.
enum Source {
    Text(String),
    /// Each line of standard input.
    Lines,
}

fn source(arguments: &CheckArgs) -> Result<Source, Failure> {
    if let Some(path) = &arguments.file {
        return read_text(path).map(Source::Text);
    }
    match (&arguments.text, &arguments.literal_text) {
        (Some(text), _) if text == STDIN => Ok(Source::Lines),
        (Some(text), _) | (None, Some(text)) => Ok(Source::Text(text.clone())),
        (None, None) => Err(nothing_to_check(io::stdin().is_terminal())),
    }
}

/// All of a file, or of standard input, as one text.
fn read_text(path: &Path) -> Result<String, Failure> {
    let is_stdin = path.as_os_str() == STDIN;
    let name = match is_stdin {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    };
    let failed = |message: String| Failure::message(format!("{name}: {message}"));
    let cannot_read = |cause: io::Error| failed(format!("cannot read: {cause}"));
    let input: Box<dyn Read> = match is_stdin {
        true => Box::new(io::stdin().lock()),
        false => Box::new(std::fs::File::open(path).map_err(cannot_read)?),
    };
    let mut bytes = Vec::new();
    // One more than a text may have: whatever never ends must not fill the memory.
    let mut input = input.take(MAX_TEXT_BYTES as u64 + 1);
    input.read_to_end(&mut bytes).map_err(cannot_read)?;
    // The mark counts as long as what was cut off must be told from what is whole.
    let text = strip_byte_order_mark(text_of(&bytes).map_err(failed)?);
    match text.trim().is_empty() {
        true => Err(failed("nothing in it; no text was checked".to_owned())),
        false => Ok(text.to_owned()),
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
        allowed: allowed_texts(&allowed),
    })
}

/// A text a line, without blanks at its ends.
fn allowed_texts(file: &str) -> std::collections::BTreeSet<String> {
    let lines = strip_byte_order_mark(file).lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

pub(crate) fn outcome(flagged: bool) -> Outcome {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_to_do_when_there_is_no_text() {
        for (terminal, advice) in [(true, "as an argument"), (false, "add \"-\"")] {
            let Failure::Message(text) = nothing_to_check(terminal) else {
                panic!()
            };
            assert!(text.contains(advice), "{text}");
        }
    }

    #[test]
    fn allowed_texts_have_no_edges() {
        let texts = allowed_texts("\u{feff}one \r\n\n\ttwo words\n");
        assert_eq!(texts, ["one", "two words"].map(str::to_owned).into());
    }

    #[test]
    fn a_file_is_one_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_text(&path).map_err(|failure| match failure {
                Failure::Message(text) => text,
                Failure::OutputClosed => String::new(),
            })
        };
        assert_eq!(read("\u{feff}one\ntwo\n".as_bytes()).unwrap(), "one\ntwo\n");
        for (bytes, says) in [
            (&b"a\xff"[..], "not valid UTF-8 (at byte 2)"),
            (b" \n", "no text was checked"),
            (&vec![b'a'; MAX_TEXT_BYTES + 1], "longer than"),
        ] {
            let error = read(bytes).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
