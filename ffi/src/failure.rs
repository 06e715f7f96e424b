//! Why a call failed: a status and a message.

use crate::status::Status;

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message }
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(Status::InvalidArgument, message)
    }

    pub(crate) fn panic(message: &str) -> Self {
        Self::new(
            Status::Panic,
            format!(
                "a defect in duoguard: {message}; nothing was checked. A session that was in use can only be freed"
            ),
        )
    }
}

impl From<runtime::Error> for Failure {
    fn from(error: runtime::Error) -> Self {
        Self::new(error.kind().into(), error.to_string())
    }
}
