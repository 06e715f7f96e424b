//! How a command fails.

use std::error::Error;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

/// Why a command ends with the error status.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something to tell the user.
    Message(String),
    /// Whoever reads the output has stopped: there is nobody to tell.
    OutputClosed,
}

impl Failure {
    pub(crate) fn message(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }

    /// A failure to write to standard output.
    pub(crate) fn output(cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Message(format!("cannot write to standard output: {cause}")),
        }
    }

    /// Prints `error: ...` to standard error.
    pub(crate) fn print(&self) {
        if let Self::Message(text) = self {
            const RED: Style = AnsiColor::Red.on_default().bold();
            // Where it cannot be written there is nowhere left to say so; the status tells.
            let _ = writeln!(anstream::stderr().lock(), "{RED}error:{RED:#} {text}");
        }
    }
}

/// Any library error becomes its message, followed by those causes that the message does not
/// already tell.
impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        Self::Message(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_each_cause_once() {
        let cause = io::Error::other("disk on fire");
        let failure = Failure::from(io::Error::other(cause));
        assert!(matches!(failure, Failure::Message(text) if text == "disk on fire"));
    }

    #[test]
    fn a_closed_pipe_has_nothing_to_say() {
        let closed = Failure::output(io::ErrorKind::BrokenPipe.into());
        assert!(matches!(closed, Failure::OutputClosed));
        let full = Failure::output(io::ErrorKind::StorageFull.into());
        assert!(matches!(full, Failure::Message(_)));
    }
}
