//! The drafts of a round, written chunk by chunk to `drafts.jsonl`: a killed run goes on with the
//! first chunk that is not whole.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::files::{json_lines, write_atomically};
use crate::game::generator::{Generator, GeneratorRequest};
use crate::game::proposal::Draft;
use crate::game::seeds::Seed;
use crate::game::shared::Askers;
use crate::recipe::GameRecipe;
use crate::train::progress;

/// Seeds whose drafts are written at once; what a killed run loses at most.
const CHUNK_SEEDS: usize = 256;

/// A line of `drafts.jsonl`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    seed: usize,
    language: String,
    text: Option<String>,
}

/// Writes `game.proposals` drafts for every seed and language of the game to the file at `path`,
/// and returns them. The drafts of one seed and language are neighbours. Whole seeds are shared out
/// to the processes; the first one writes.
///
/// # Errors
/// A generator that cannot be asked; a file that cannot be written, or does not fit the seeds.
pub(crate) fn write_drafts(
    (generator, askers): (&mut dyn Generator, Askers<'_>),
    seeds: &[Arc<Seed>],
    game: &GameRecipe,
    randomness: u64,
    path: &Path,
) -> Result<Vec<Draft>, TrainError> {
    let chunk_drafts = CHUNK_SEEDS * game.languages.len() * game.proposals;
    let mut lines = read_whole_chunks(path, chunk_drafts, seeds.len())?;
    let append = |e| TrainError::io("append to", path, e);
    let done = lines.len() / chunk_drafts * CHUNK_SEEDS;
    askers.group.wait();
    let mut output = None;
    if askers.group.is_first() {
        // Whatever a kill cut short goes before more is added.
        write_atomically(path, &json_lines(path, &lines)?)?;
        let file = fs::OpenOptions::new().append(true).open(path);
        let bar = progress::bar("proposals", seeds.len(), done.min(seeds.len()));
        output = Some((file.map_err(append)?, bar));
    }
    let unit = game.languages.len() * game.proposals;
    let chunks = seeds.chunks(CHUNK_SEEDS).enumerate();
    for (chunk, chunk_seeds) in chunks.skip(done / CHUNK_SEEDS) {
        let mut requests = Vec::new();
        let mut fresh = Vec::new();
        for seed in chunk_seeds {
            for language in &game.languages {
                for _ in 0..game.proposals {
                    let index = chunk * chunk_drafts + requests.len();
                    requests.push(GeneratorRequest {
                        seed_text: &seed.row.text,
                        is_unsafe: seed.row.is_unsafe,
                        language,
                        randomness: randomness.wrapping_add(index as u64),
                    });
                    fresh.push(Line {
                        seed: seed.number,
                        language: language.clone(),
                        text: None,
                    });
                }
            }
        }
        let texts = askers.ask(&requests, unit, |requests| generator.write(requests))?;
        for (line, text) in fresh.iter_mut().zip(texts) {
            line.text = text;
        }
        if let Some((file, bar)) = &mut output {
            file.write_all(&json_lines(path, &fresh)?).map_err(append)?;
            bar.inc(chunk_seeds.len() as u64);
        }
        lines.extend(fresh);
    }
    if let Some((_, bar)) = output {
        bar.finish();
    }
    let drafts = lines.into_iter().enumerate();
    Ok(drafts
        .map(|(number, line)| Draft {
            number,
            seed: seeds[line.seed].clone(),
            language: line.language,
            text: line.text,
        })
        .collect())
}

/// The lines of the chunks that were written whole. The last chunk of all may be short, and is
/// then written again.
fn read_whole_chunks(
    path: &Path,
    chunk_drafts: usize,
    seeds: usize,
) -> Result<Vec<Line>, TrainError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).map_err(|e| TrainError::io("read", path, e))?;
    let whole = text.split_inclusive('\n').filter(|l| l.ends_with('\n'));
    let mut lines = Vec::new();
    for (index, line) in whole.enumerate() {
        let refuse = |reason| TrainError::invalid(path, format!("line {}: {reason}", index + 1));
        let line: Line = serde_json::from_str(line).map_err(|e| refuse(e.to_string()))?;
        if line.seed >= seeds {
            let reason = format!("seed is {}, expected less than {seeds}", line.seed);
            return Err(refuse(reason));
        }
        lines.push(line);
    }
    lines.truncate(lines.len() / chunk_drafts * chunk_drafts);
    Ok(lines)
}
