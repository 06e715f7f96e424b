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
use crate::recipe::{GameRecipe, ProposalKind};
use crate::train::progress;

/// Seeds whose drafts are written at once; what a killed run loses at most.
const CHUNK_SEEDS: usize = 256;

/// A line of `drafts.jsonl`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    seed: usize,
    language: String,
    kind: ProposalKind,
    text: Option<String>,
}

/// What is asked for after a seed: a language and a kind, as often as it is asked for.
fn asked<'g>(seed: &Seed, game: &'g GameRecipe) -> Vec<(&'g str, ProposalKind)> {
    let kinds = game.kinds.iter().copied();
    let kinds: Vec<ProposalKind> = kinds
        .filter(|kind| kind.applies_to(seed.row.is_unsafe))
        .collect();
    let languages = game.languages.iter();
    let groups = languages.flat_map(|l| kinds.iter().map(move |&kind| (l.as_str(), kind)));
    groups
        .flat_map(|group| std::iter::repeat_n(group, game.proposals))
        .collect()
}

/// Writes `game.proposals` drafts for every seed, language and kind of the game to the file at
/// `path`, and returns them. The drafts of one seed, language and kind are neighbours, and are
/// written by one process; the first one writes the file.
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
    let chunks: Vec<&[Arc<Seed>]> = seeds.chunks(CHUNK_SEEDS).collect();
    let sizes = chunks.iter().map(|chunk| {
        let sizes = chunk.iter().map(|seed| asked(seed, game).len());
        sizes.sum()
    });
    let sizes: Vec<usize> = sizes.collect();
    let (mut lines, done) = read_whole_chunks(path, &sizes, seeds.len())?;
    let append = |e| TrainError::io("append to", path, e);
    askers.group.wait();
    let mut output = None;
    if askers.group.is_first() {
        // Whatever a kill cut short goes before more is added.
        write_atomically(path, &json_lines(path, &lines)?)?;
        let file = fs::OpenOptions::new().append(true).open(path);
        let seeds_done = (done * CHUNK_SEEDS).min(seeds.len());
        let bar = progress::bar("proposals", seeds.len(), seeds_done);
        output = Some((file.map_err(append)?, bar));
    }
    for chunk_seeds in chunks.into_iter().skip(done) {
        let mut requests = Vec::new();
        let mut fresh = Vec::new();
        for seed in chunk_seeds {
            for (language, kind) in asked(seed, game) {
                let index = lines.len() + requests.len();
                requests.push(GeneratorRequest {
                    wanted: seed.wanted(language, kind),
                    randomness: randomness.wrapping_add(index as u64),
                });
                fresh.push(Line {
                    seed: seed.number,
                    language: language.to_owned(),
                    kind,
                    text: None,
                });
            }
        }
        let unit = game.proposals;
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
            kind: line.kind,
            text: line.text,
        })
        .collect())
}

/// The lines of the chunks that were written whole, and how many chunks that are. `sizes` are the
/// lines of each chunk.
fn read_whole_chunks(
    path: &Path,
    sizes: &[usize],
    seeds: usize,
) -> Result<(Vec<Line>, usize), TrainError> {
    if !path.exists() {
        return Ok((Vec::new(), 0));
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
    let (mut whole, mut done) = (0, 0);
    for size in sizes {
        if whole + size > lines.len() {
            break;
        }
        whole += size;
        done += 1;
    }
    lines.truncate(whole);
    Ok((lines, done))
}
