//! Why an endpoint cannot be used, or not any longer.

use std::path::{Path, PathBuf};

/// Why an endpoint cannot be used, or not any longer.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// A setting is out of its range.
    #[error("endpoint {base_url}: {setting}: expected {expected}")]
    Setting {
        /// The address.
        base_url: String,
        /// Which setting.
        setting: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// The environment variable does not hold a key.
    #[error(
        "endpoint {base_url}: the environment variable {variable} {reason}; set it to the \
         endpoint's key, or leave api_key_variable out"
    )]
    ApiKey {
        /// The address.
        base_url: String,
        /// Its name.
        variable: String,
        /// Not set, empty, or not a key.
        reason: &'static str,
    },
    /// The server turns away every request: wrong address, wrong model or wrong key.
    #[error("{reason}")]
    Rejected {
        /// The address, the status, what the server said, what to do.
        reason: String,
    },
    /// Too many requests failed one after another.
    #[error(
        "{failures} requests in a row failed, the last with: {reason}. Mend the endpoint and run \
         again; what was answered is {}",
        kept_in(journal.as_deref())
    )]
    TooManyFailures {
        /// How many.
        failures: usize,
        /// The address and what happened last.
        reason: String,
        /// The journal, if there is one.
        journal: Option<PathBuf>,
    },
    /// The journal cannot be read or written.
    #[error("{}: cannot {doing} the journal of completions: {source}", path.display())]
    Journal {
        /// What was being done.
        doing: &'static str,
        /// The journal.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The journal is not one.
    #[error(
        "{}:{line}: {reason}; delete this line, or the file to ask for everything again",
        path.display()
    )]
    JournalLine {
        /// The journal.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What was found.
        reason: String,
    },
    /// The operating system gives no more threads.
    #[error("cannot start {concurrency} threads: {source}; lower concurrency")]
    Threads {
        /// How many were wanted.
        concurrency: usize,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// A setting that is out of its range.
pub(super) fn refuse(
    base_url: &str,
    setting: &'static str,
    expected: &'static str,
) -> EndpointError {
    // Without the password that may stand before an @.
    let base_url = base_url.rsplit_once('@').map_or(base_url, |(_, host)| host);
    let base_url = base_url.to_owned();
    EndpointError::Setting {
        base_url,
        setting,
        expected,
    }
}

/// What became of the completions.
fn kept_in(journal: Option<&Path>) -> String {
    match journal {
        Some(path) => format!("kept in {}", path.display()),
        None => "lost, there is no journal".to_owned(),
    }
}
