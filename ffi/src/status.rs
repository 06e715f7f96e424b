//! How a call ended, as C sees it.

use std::ffi::CStr;

use runtime::ErrorKind;

/// `duoguard_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum Status {
    Ok = 0,
    InvalidArgument = 1,
    Io = 2,
    InvalidModel = 3,
    Unsupported = 4,
    Engine = 5,
    OutOfMemory = 6,
    Panic = 7,
}

/// Every status and its name in the header.
pub(crate) const STATUSES: [(Status, &CStr); 8] = [
    (Status::Ok, c"DUOGUARD_OK"),
    (Status::InvalidArgument, c"DUOGUARD_INVALID_ARGUMENT"),
    (Status::Io, c"DUOGUARD_IO"),
    (Status::InvalidModel, c"DUOGUARD_INVALID_MODEL"),
    (Status::Unsupported, c"DUOGUARD_UNSUPPORTED"),
    (Status::Engine, c"DUOGUARD_ENGINE"),
    (Status::OutOfMemory, c"DUOGUARD_OUT_OF_MEMORY"),
    (Status::Panic, c"DUOGUARD_PANIC"),
];

/// The name of a status; any number may come.
pub(crate) fn name(status: i32) -> &'static CStr {
    STATUSES
        .iter()
        .find(|(known, _)| *known as i32 == status)
        .map_or(c"unknown status", |(_, name)| name)
}

impl From<ErrorKind> for Status {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidArgument => Self::InvalidArgument,
            ErrorKind::Io => Self::Io,
            ErrorKind::InvalidModel => Self::InvalidModel,
            ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::OutOfMemory => Self::OutOfMemory,
            // A kind that the header does not tell apart is the runtime's own failure.
            _ => Self::Engine,
        }
    }
}
