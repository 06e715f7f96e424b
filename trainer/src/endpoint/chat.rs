//! What an endpoint is asked, and what becomes of it.

use serde::{Deserialize, Serialize};

/// One thing to ask: a chat of one user message, which every chat template has a place for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChatRequest {
    /// The message.
    pub prompt: String,
    /// Requests that are equal in this too are one request, asked once.
    pub randomness: u64,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum Completion {
    /// The model finished its text.
    Finished {
        /// As it was sent, white space included.
        text: String,
    },
    /// `max_tokens` cut the text off.
    Cut {
        /// What there is of it.
        text: String,
    },
    /// The server says that the model, or a filter around it, declined.
    Refused {
        /// In the server's words.
        reason: String,
    },
    /// No answer, or none that can be used. Not kept in the journal: the next run asks again.
    Failed {
        /// The address, what happened, what to do.
        reason: String,
    },
}
