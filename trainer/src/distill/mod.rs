//! Learning from a larger guard: what it is asked, what it answered, and the embedding that a
//! student takes over.

pub(crate) mod answers;
pub(crate) mod embeddings;
pub(crate) mod teacher;
