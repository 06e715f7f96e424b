//! Files of what a teacher says: asked once, pool by pool, and gone on with after a stop.
//!
//! One line of JSON says whose answers they are and to what; after it come the values of text after
//! text, logits or the pooled state, 32-bit floats in little-endian order. What a kill leaves of a
//! pool is asked again.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::mixture::POOL_TEXTS;
use crate::error::TrainError;
use crate::files::write_atomically;
use crate::model::layout::CATEGORIES;

/// The first line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// Of what the answers depend on: the teacher, and the texts with the way they are drawn.
    pub sha256: String,
    /// Pools of texts, of which all are answered in the end.
    pub pools: usize,
}

/// What a teacher said of every text.
pub(crate) struct Answers {
    /// `[texts x 12]`
    logits: Vec<f32>,
    /// `[texts x width]`, every column with a mean of 0 and a deviation of 1; empty without states.
    states: Vec<f32>,
    width: usize,
}

impl Answers {
    /// `logits` of texts, and their pooled `states` of `width` values, or none and 0.
    pub(crate) fn new(logits: Vec<f32>, mut states: Vec<f32>, width: usize) -> Self {
        standardise(&mut states, width);
        Self {
            logits,
            states,
            width,
        }
    }

    /// The logits `[12]` of text `index`.
    pub(crate) fn logits(&self, index: usize) -> &[f32] {
        &self.logits[index * CATEGORIES..][..CATEGORIES]
    }

    /// The standardised state `[width]` of text `index`.
    pub(crate) fn state(&self, index: usize) -> &[f32] {
        &self.states[index * self.width..][..self.width]
    }
}

/// Gives every one of `width` columns a mean of 0 and a deviation of 1; one that never changes
/// becomes 0.
fn standardise(values: &mut [f32], width: usize) {
    let rows = values.len().checked_div(width).unwrap_or(0);
    for column in 0..width {
        let of_column = || values.iter().skip(column).step_by(width);
        let sum: f64 = of_column().map(|&x| f64::from(x)).sum();
        let mean = sum / rows as f64;
        let squares: f64 = of_column().map(|&x| (f64::from(x) - mean).powi(2)).sum();
        let deviation = (squares / rows as f64).sqrt();
        let inverse = match deviation > 0.0 {
            true => deviation.recip(),
            false => 0.0,
        };
        for value in values.iter_mut().skip(column).step_by(width) {
            *value = ((f64::from(*value) - mean) * inverse) as f32;
        }
    }
}

/// A file that answers are added to.
pub(crate) struct AnswerFile {
    path: PathBuf,
    /// Values of a text.
    width: usize,
    /// Pools that are answered.
    pub answered: usize,
}

impl AnswerFile {
    /// Opens the file, or begins it.
    ///
    /// # Errors
    /// A file that cannot be read or written, and one of other texts or of another teacher.
    pub(crate) fn open(path: &Path, header: &Header, width: usize) -> Result<Self, TrainError> {
        if !path.exists() {
            let mut line =
                serde_json::to_vec(header).map_err(|e| TrainError::invalid(path, e.to_string()))?;
            line.push(b'\n');
            write_atomically(path, &line)?;
        }
        let (start, bytes) = read(path, header)?;
        let answered = ((bytes.len() - start) / pool_bytes(width)).min(header.pools);
        let whole = (start + answered * pool_bytes(width)) as u64;
        let file = OpenOptions::new().write(true).open(path);
        file.and_then(|file| file.set_len(whole))
            .map_err(|e| TrainError::io("write", path, e))?;
        Ok(Self {
            path: path.to_owned(),
            width,
            answered,
        })
    }

    /// Adds the values `[texts x width]` of the next pool.
    ///
    /// # Errors
    /// The file cannot be written, or the values are of another number of texts.
    pub(crate) fn add(&mut self, values: &[f32]) -> Result<(), TrainError> {
        if values.len() != POOL_TEXTS * self.width {
            return Err(TrainError::Teacher(format!(
                "{} values for {POOL_TEXTS} texts; expected {} of each",
                values.len(),
                self.width
            )));
        }
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
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

/// Bytes of a pool's answers of `width` values each.
fn pool_bytes(width: usize) -> usize {
    POOL_TEXTS * width * size_of::<f32>()
}

/// The values `[texts x width]` of a file in which all are.
///
/// # Errors
/// As [`AnswerFile::open`], and answers that are missing.
pub(crate) fn load(path: &Path, header: &Header, width: usize) -> Result<Vec<f32>, TrainError> {
    let (start, bytes) = read(path, header)?;
    let expected = header.pools * pool_bytes(width);
    if bytes.len() - start != expected {
        let found = bytes.len() - start;
        let reason = format!("holds {found} bytes of answers, expected {expected}; remove it");
        return Err(TrainError::invalid(path, reason));
    }
    let values = bytes[start..].chunks_exact(size_of::<f32>());
    let values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let values: Vec<f32> = values.collect();
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(values),
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
        let open = || AnswerFile::open(&path, &header("a"), CATEGORIES).unwrap();
        let mut file = open();
        file.add(&pool(0.5)).unwrap();
        assert!(file.add(&pool(9.0)[..CATEGORIES]).is_err());
        // A kill in the middle of the second pool.
        let torn = OpenOptions::new().append(true).open(&path);
        torn.unwrap().write_all(&[7; 100]).unwrap();
        let mut file = open();
        assert_eq!(file.answered, 1);
        assert!(load(&path, &header("a"), CATEGORIES).is_err());
        file.add(&pool(7.5)).unwrap();
        let logits = load(&path, &header("a"), CATEGORIES).unwrap();
        let answers = Answers::new(logits, vec![], 0);
        assert_eq!(answers.logits(1)[0], 0.5 + CATEGORIES as f32);
        assert_eq!(answers.logits(POOL_TEXTS)[1], 8.5);
        assert!(answers.state(POOL_TEXTS).is_empty());
    }

    #[test]
    fn every_column_of_the_states_has_a_mean_of_0_and_a_deviation_of_1() {
        let states = vec![1.0, 5.0, 2.0, 5.0, 6.0, 5.0];
        let answers = Answers::new(vec![0.0; 3 * CATEGORIES], states, 2);
        let first: Vec<f32> = (0..3).map(|text| answers.state(text)[0]).collect();
        let deviation = (14.0_f32 / 3.0).sqrt();
        for (found, centred) in first.iter().zip([-2.0, -1.0, 3.0]) {
            assert!((found - centred / deviation).abs() < 1e-6);
        }
        assert!((0..3).all(|text| answers.state(text)[1] == 0.0));
    }

    #[test]
    fn answers_to_something_else_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("teacher.answers");
        AnswerFile::open(&path, &header("a"), CATEGORIES).unwrap();
        let error = |result: Result<AnswerFile, TrainError>| result.err().unwrap().to_string();
        let found = error(AnswerFile::open(&path, &header("b"), CATEGORIES));
        assert!(found.contains("teacher.answers"), "{found}");
        assert!(
            found.contains("the hash a") && found.contains("the hash b"),
            "{found}"
        );
        fs::write(&path, "logits").unwrap();
        assert!(error(AnswerFile::open(&path, &header("a"), CATEGORIES)).contains("no first line"));
    }
}
