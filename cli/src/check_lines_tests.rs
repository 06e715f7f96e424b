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

const STOP: Lines = Lines {
    keeps_going: false,
    json: false,
};

fn lines(input: &[u8]) -> (Result<Outcome, String>, String) {
    lines_as(STOP, input)
}

fn lines_as(how: Lines, input: &[u8]) -> (Result<Outcome, String>, String) {
    let mut out = Vec::new();
    let result = check_lines(how, input, &mut out, &mut stub).map_err(|failure| match failure {
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
}

#[test]
fn nothing_read_is_no_pass() {
    let error = lines(b"").0.unwrap_err();
    assert!(error.contains("no text was checked"), "{error}");
    assert_eq!(lines(b"\n").0, Ok(Outcome::Safe));
}

#[test]
fn a_byte_order_mark_is_no_text() {
    let (result, out) = lines("\u{feff}bad\n\u{feff}bad\n".as_bytes());
    assert_eq!(result, Ok(Outcome::Unsafe));
    assert_eq!(out, "<bad>\n<\u{feff}bad>\n");
}

#[test]
fn bad_lines_are_reported_and_passed_over_on_request() {
    let how = Lines {
        keeps_going: true,
        json: true,
    };
    let mut input = b"good\nb\xffd\n".to_vec();
    input.extend(vec![b'a'; 2 * MAX_TEXT_BYTES]);
    input.extend(b"\nfail\nbad\n");
    let (result, out) = lines_as(how, &input);
    assert_eq!(result, Err("3 of 5 lines could not be checked".to_owned()));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 5, "{out}");
    assert_eq!((lines[0], lines[4]), ("<good>", "<bad>"));
    assert!(
        lines[1].starts_with("{\"error\":\"not valid UTF-8"),
        "{out}"
    );
    assert!(lines[2].contains("longer than") && lines[3].contains("no engine"));
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
    let result = check_lines(STOP, endless, &mut out, &mut stub);
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
    let result = check_lines(STOP, &b"good\n"[..], &mut Closed, &mut stub);
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
    check_lines(STOP, io::BufReader::new(input), &mut Vec::new(), &mut note)
        .ok()
        .unwrap();
    assert_eq!(
        *log.borrow(),
        ["read a", "checked a", "read b", "checked b", "read "]
    );
}
