use std::cell::RefCell;
use std::rc::Rc;

use super::*;

/// Flags "bad", fails on "fail", and prints what it was given.
fn stub(text: &str, out: &mut dyn Write) -> Result<bool, Failure> {
    if text == "fail" {
        return Err(Failure::message("no engine"));
    }
    writeln!(out, "<{text}>").map_err(Failure::output)?;
    Ok(text == "bad")
}

fn lines(input: &[u8]) -> (Result<Outcome, String>, String) {
    let mut out = Vec::new();
    let result = check_lines(input, &mut out, &mut stub).map_err(|failure| match failure {
        Failure::Message(text) => text,
        Failure::OutputClosed => "output closed".to_owned(),
    });
    (result, String::from_utf8(out).unwrap())
}

#[test]
fn every_line_is_a_text() {
    let (result, out) = lines(b"one\r\n\ntwo words\nlast");
    assert_eq!(out, "<one>\n<>\n<two words>\n<last>\n");
    assert_eq!(result, Ok(Outcome::Safe));
}

#[test]
fn one_unsafe_line_decides_the_status() {
    assert_eq!(lines(b"bad\ngood\n").0, Ok(Outcome::Unsafe));
    assert_eq!(lines(b"good\nbad\n").0, Ok(Outcome::Unsafe));
    assert_eq!(lines(b"").0, Ok(Outcome::Safe));
}

#[test]
fn errors_name_the_line_and_end_the_run() {
    let (result, out) = lines(b"good\nb\xffd\ngood\n");
    let message = result.unwrap_err();
    assert!(
        message.starts_with("standard input, line 2: not valid UTF-8 (at byte 2)"),
        "{message}"
    );
    assert_eq!(out, "<good>\n");
    assert_eq!(
        lines(b"good\nfail\n").0,
        Err("standard input, line 2: no engine".to_owned())
    );
}

#[test]
fn a_line_has_a_longest_length() {
    let mut input = vec![b'a'; MAX_TEXT_BYTES];
    input.extend(b"\r\nnext\n");
    let (result, out) = lines(&input);
    assert_eq!(result, Ok(Outcome::Safe));
    assert!(out.ends_with("a>\n<next>\n"));

    let endless = io::BufReader::new(io::repeat(b'a'));
    let mut out = Vec::new();
    let result = check_lines(endless, &mut out, &mut stub);
    assert!(matches!(result, Err(Failure::Message(text)) if text.contains("line 1: longer than")));
}

#[test]
fn a_closed_output_is_not_a_message() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let result = check_lines(&b"good\n"[..], &mut Closed, &mut stub);
    assert!(matches!(result, Err(Failure::OutputClosed)));
}

#[test]
fn a_verdict_is_out_before_the_next_line_is_read() {
    /// Notes when a line is asked for.
    struct Lines(Rc<RefCell<Vec<String>>>, std::vec::IntoIter<&'static str>);
    impl io::Read for Lines {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let line = self.1.next().unwrap_or("");
            self.0.borrow_mut().push(format!("read {}", line.trim()));
            buffer[..line.len()].copy_from_slice(line.as_bytes());
            Ok(line.len())
        }
    }
    let log = Rc::new(RefCell::new(Vec::new()));
    let input = Lines(log.clone(), vec!["a\n", "b\n"].into_iter());
    let mut note = |text: &str, _: &mut dyn Write| {
        log.borrow_mut().push(format!("checked {text}"));
        Ok(false)
    };
    check_lines(io::BufReader::new(input), &mut Vec::new(), &mut note)
        .ok()
        .unwrap();
    assert_eq!(
        *log.borrow(),
        ["read a", "checked a", "read b", "checked b", "read "]
    );
}

#[test]
fn says_what_to_do_when_there_is_no_text() {
    for (terminal, advice) in [(true, "as an argument"), (false, "add \"-\"")] {
        let Failure::Message(text) = nothing_to_check(terminal) else {
            panic!()
        };
        assert!(text.contains(advice), "{text}");
    }
}
