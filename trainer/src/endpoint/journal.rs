//! The journal: one JSON line per completion, on the disk before it is returned.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::chat::Completion;
use super::error::EndpointError;

/// One line. The key is that of the request.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<C> {
    key: String,
    completion: C,
}

/// A journal open for one run at a time.
pub(super) struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Opens or creates a journal: it, and what it holds by key. A last line that a killed run did
    /// not finish is cut off.
    pub(super) fn open(path: &Path) -> Result<(Self, HashMap<String, Completion>), EndpointError> {
        let error = |doing| move |source| failed(doing, path, source);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(error("open"))?;
        // Some file systems of clusters have no locks; there it is left to their users.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let busy = std::io::Error::new(ErrorKind::ResourceBusy, "another run is writing to it");
            return Err(failed("lock", path, busy));
        }
        let mut completions = HashMap::new();
        let mut reader = BufReader::new(&file);
        let (mut bytes, mut whole) = (Vec::new(), 0);
        for line in 1.. {
            bytes.clear();
            let read = reader
                .read_until(b'\n', &mut bytes)
                .map_err(error("read"))?;
            if bytes.last() != Some(&b'\n') {
                break;
            }
            let Line { key, completion } =
                serde_json::from_slice(&bytes).map_err(|e| EndpointError::JournalLine {
                    path: path.to_owned(),
                    line,
                    reason: format!("expected a request's key and its completion: {e}"),
                })?;
            completions.insert(key, completion);
            whole += read as u64;
        }
        file.set_len(whole).map_err(error("repair"))?;
        file.seek(SeekFrom::End(0)).map_err(error("read"))?;
        let path = path.to_owned();
        Ok((Self { file, path }, completions))
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes completions by key and waits for the disk. Failures are left out: the next run asks
    /// again.
    pub(super) fn append(
        &mut self,
        answered: &[(String, Completion)],
    ) -> Result<(), EndpointError> {
        let mut bytes = Vec::new();
        for (key, completion) in answered {
            if matches!(completion, Completion::Failed { .. }) {
                continue;
            }
            let key = key.clone();
            serde_json::to_writer(&mut bytes, &Line { key, completion })
                .map_err(|e| failed("write", &self.path, e.into()))?;
            bytes.push(b'\n');
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&bytes);
        written
            .and_then(|()| self.file.sync_data())
            .map_err(|source| failed("write", &self.path, source))
    }
}

fn failed(doing: &'static str, path: &Path, source: std::io::Error) -> EndpointError {
    let path = path.to_owned();
    EndpointError::Journal {
        doing,
        path,
        source,
    }
}
