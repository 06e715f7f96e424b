//! The file of a teacher's answers: asked once, pool by pool, and gone on with after a stop.
//!
//! One line of JSON says whose answers they are and to what; after it come the logits of text after
//! text, 32-bit floats in little-endian order. What a kill leaves of a pool is asked again.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::mixture::POOL_TEXTS;
use crate::error::TrainError;
use crate::files::write_atomically;
use crate::model::layout::CATEGORIES;

/// Bytes of a pool's answers.
const POOL_BYTES: usize = POOL_TEXTS * CATEGORIES * size_of::<f32>();

/// The first line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// Of what the answers depend on: the teacher, and the texts with the way they are drawn.
    pub sha256: String,
    /// Pools of texts, of which all are answered in the end.
    pub pools: usize,
}

/// A teacher's logits of every text.
pub(crate) struct Answers {
    /// `[texts x 12]`
    logits: Vec<f32>,
}

impl Answers {
    /// The logits `[12]` of text `index`.
    pub(crate) fn of(&self, index: usize) -> &[f32] {
        &self.logits[index * CATEGORIES..][..CATEGORIES]
    }
}

/// A file that answers are added to.
pub(crate) struct AnswerFile {
    path: PathBuf,
    /// Pools that are answered.
    pub answered: usize,
}

impl AnswerFile {
    /// Opens the file, or begins it.
    ///
    /// # Errors
    /// A file that cannot be read or written, and one of other texts or of another teacher.
    pub(crate) fn open(path: &Path, header: &Header) -> Result<Self, TrainError> {
        if !path.exists() {
            let mut line =
                serde_json::to_vec(header).map_err(|e| TrainError::invalid(path, e.to_string()))?;
            line.push(b'\n');
            write_atomically(path, &line)?;
        }
        let (start, bytes) = read(path, header)?;
        let answered = ((bytes.len() - start) / POOL_BYTES).min(header.pools);
        let whole = (start + answered * POOL_BYTES) as u64;
        let file = OpenOptions::new().write(true).open(path);
        file.and_then(|file| file.set_len(whole))
            .map_err(|e| TrainError::io("write", path, e))?;
        Ok(Self {
            path: path.to_owned(),
            answered,
        })
    }

    /// Adds the logits `[texts x 12]` of the next pool.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn add(&mut self, logits: &[f32]) -> Result<(), TrainError> {
        let bytes: Vec<u8> = logits
            .iter()
            .flat_map(|logit| logit.to_le_bytes())
            .collect();
        let file = OpenOptions::new().append(true).open(&self.path);
        file.and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_data()
        })
        .map_err(|e| TrainError::io("write", &self.path, e))?;
        self.answered += 1;
        Ok(())
    }
}

/// The answers of a file in which all are.
///
/// # Errors
/// As [`AnswerFile::open`], and answers that are missing.
pub(crate) fn load(path: &Path, header: &Header) -> Result<Answers, TrainError> {
    let (start, bytes) = read(path, header)?;
    let expected = header.pools * POOL_BYTES;
    if bytes.len() - start != expected {
        let found = bytes.len() - start;
        let reason = format!("holds {found} bytes of answers, expected {expected}; remove it");
        return Err(TrainError::invalid(path, reason));
    }
    let logits = bytes[start..].chunks_exact(size_of::<f32>());
    let logits = logits.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let logits: Vec<f32> = logits.collect();
    match logits.iter().all(|logit| logit.is_finite()) {
        true => Ok(Answers { logits }),
        false => Err(TrainError::invalid(
            path,
            "holds an answer that is no number; remove it",
        )),
    }
}

/// The bytes of a file whose first line is `header`, and where its answers begin.
fn read(path: &Path, header: &Header) -> Result<(usize, Vec<u8>), TrainError> {
    let bytes = fs::read(path).map_err(|e| TrainError::io("read", path, e))?;
    let end = bytes.iter().position(|&byte| byte == b'\n');
    let found = end.and_then(|end| serde_json::from_slice::<Header>(&bytes[..end]).ok());
    match (end, found) {
        (Some(end), Some(found)) if found == *header => Ok((end + 1, bytes)),
        (_, Some(found)) => Err(TrainError::invalid(
            path,
            format!(
                "holds answers to {} pools of texts with the hash {}, and this run's are {} with \
                 the hash {}: another teacher, other data or other keys of the recipe; remove it",
                found.pools, found.sha256, header.pools, header.sha256
            ),
        )),
        _ => Err(TrainError::invalid(
            path,
            "has no first line with a hash; remove it",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(sha256: &str) -> Header {
        Header {
            sha256: sha256.to_owned(),
            pools: 2,
        }
    }

    fn pool(first: f32) -> Vec<f32> {
        (0..POOL_TEXTS * CATEGORIES)
            .map(|i| first + i as f32)
            .collect()
    }

    #[test]
    fn a_stopped_file_goes_on_after_its_last_whole_pool() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("teacher.answers");
        let mut file = AnswerFile::open(&path, &header("a")).unwrap();
        file.add(&pool(0.5)).unwrap();
        // A kill in the middle of the second pool.
        file.add(&pool(9.0)[..CATEGORIES]).unwrap();
        let mut file = AnswerFile::open(&path, &header("a")).unwrap();
        assert_eq!(file.answered, 1);
        assert!(load(&path, &header("a")).is_err());
        file.add(&pool(7.5)).unwrap();
        let answers = load(&path, &header("a")).unwrap();
        assert_eq!(answers.of(1)[0], 0.5 + CATEGORIES as f32);
        assert_eq!(answers.of(POOL_TEXTS)[1], 8.5);
    }

    #[test]
    fn answers_to_something_else_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("teacher.answers");
        AnswerFile::open(&path, &header("a")).unwrap();
        let error = |result: Result<AnswerFile, TrainError>| result.err().unwrap().to_string();
        let found = error(AnswerFile::open(&path, &header("b")));
        assert!(found.contains("teacher.answers"), "{found}");
        assert!(
            found.contains("the hash a") && found.contains("the hash b"),
            "{found}"
        );
        fs::write(&path, "logits").unwrap();
        assert!(error(AnswerFile::open(&path, &header("a"))).contains("no first line"));
    }
}
