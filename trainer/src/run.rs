//! A whole run, top to bottom: the setup, round 0, and the rounds of the game.
//!
//! Everything it writes is in `<runs>/<name>/`; each step is skipped when its result is already
//! there, so a run that was killed anywhere goes on where it was. A game's rounds are in
//! `round-0/`, `round-1/` and so on, and `report.html` draws them; without a game, the run's folder
//! is round 0.

use std::fs;
use std::path::{Path, PathBuf};

use tch::Device;

use crate::diagnostics::say;
use crate::distributed::ProcessGroup;
use crate::error::TrainError;
use crate::export::export_classifier;
use crate::files::write_atomically;
use crate::game::players;
use crate::game::round::{Game, GameState};
use crate::recipe::{Recipe, Start};
use crate::report::page::write_report;
use crate::report::scores::{load_benchmarks, score_bundle};
use crate::setup::{RoundClassifier, Setup};
use crate::threads::set_threads;

/// Where a run reads and writes, and on what it computes.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The folder that the recipe's data paths are relative to.
    pub data: PathBuf,
    /// The folder that holds all runs.
    pub runs: PathBuf,
    /// Go on with a run that is already there; without it, an existing run is an error.
    pub resume: bool,
    /// What to train on.
    pub device: Device,
    /// Threads that each process computes with on a CPU; absent: as many as the run was begun
    /// with, and at its beginning as many as the work is large enough for.
    pub threads: Option<usize>,
    /// The processes that train together. The run's folder, and the data, must be the same for all
    /// of them.
    pub group: ProcessGroup,
}

/// Plays `recipe` and returns the folder of its last round's bundle.
///
/// # Errors
/// Whatever stops a step, in words; the run goes on from there when it is resumed.
pub fn run(recipe: &Recipe, options: &RunOptions) -> Result<PathBuf, TrainError> {
    let group = &options.group;
    let run = options.runs.join(&recipe.name);
    if group.is_first() {
        open_run_folder(&run, recipe, options)?;
    }
    group.wait();
    let place = (&options.device, group);
    set_threads(&run, recipe, place, options.threads)?;
    let last = recipe.game.as_ref().map_or(0, |game| game.rounds);
    let folders: Vec<PathBuf> = (0..=last)
        .map(|round| round_folder(&run, recipe, round))
        .collect();
    let bundle = folders[last].join("bundle");
    let finished = match recipe.game {
        Some(_) => folders[last].join("summary.json").exists(),
        None => bundle.is_dir(),
    };
    if !group.first_says(finished) {
        play(recipe, &run, &folders, options)?;
    }
    if recipe.game.is_some() && group.is_first() {
        write_report(&run, &recipe.name, &folders)?;
    }
    Ok(bundle)
}

fn play(
    recipe: &Recipe,
    run: &Path,
    folders: &[PathBuf],
    options: &RunOptions,
) -> Result<(), TrainError> {
    let group = &options.group;
    let place = (&options.device, group);
    let first = &folders[0];
    if group.is_first() {
        fs::create_dir_all(first).map_err(|e| TrainError::io("create", first, e))?;
    }
    if let Start::Checkpoint(base) = &recipe.start
        && let Some(settings) = &base.encoder
    {
        let base = (&*base.checkpoint, settings);
        let setup = Setup::prepare_encoder(recipe, base, run, &options.data, place)?;
        return play_rounds(&setup, run, folders);
    }
    play_rounds(
        &Setup::prepare(recipe, run, &options.data, place)?,
        run,
        folders,
    )
}

/// Round 0, and the rounds of the game where there is one.
fn play_rounds<N: RoundClassifier>(
    setup: &Setup<'_, N>,
    run: &Path,
    folders: &[PathBuf],
) -> Result<(), TrainError> {
    let (recipe, group, first) = (setup.recipe, &setup.group, &folders[0]);
    let classifier = setup.train_first(first)?;
    export_classifier(setup, first, &classifier, &setup.training, 0)?;
    let Some(game) = &recipe.game else {
        return Ok(());
    };
    let sets = match &game.benchmarks {
        Some(folder) => load_benchmarks(&setup.data.join(folder))?,
        None => {
            if group.is_first() {
                say(
                    "game.benchmarks is not set: proposals are not checked for overlap with \
                     benchmarks",
                );
            }
            Vec::new()
        }
    };
    if group.is_first() {
        score_bundle(first, &setup.validation, &sets)?;
    }
    let (generator, judge) = players::prepare(setup, game)?;
    let game = Game {
        setup,
        recipe: game,
        benchmarks: &sets,
        judge,
    };
    let mut state = GameState {
        classifier,
        generator,
        data: setup.training.clone(),
    };
    for (round, folder) in folders.iter().enumerate().skip(1) {
        state = game.play(state, round, folder)?;
        if group.is_first() {
            write_report(run, &recipe.name, &folders[..=round])?;
        }
    }
    Ok(())
}

/// The folder of a round, from 0.
pub(crate) fn round_folder(run: &Path, recipe: &Recipe, round: usize) -> PathBuf {
    match &recipe.game {
        Some(_) => run.join(format!("round-{round}")),
        None => run.to_owned(),
    }
}

/// Makes the run folder, or checks that the one there was made by this very recipe.
fn open_run_folder(run: &Path, recipe: &Recipe, options: &RunOptions) -> Result<(), TrainError> {
    let kept = run.join("recipe.toml");
    if kept.exists() {
        if !options.resume {
            return Err(TrainError::invalid(
                run,
                "this run is already there: pass --resume to go on with it, or remove it",
            ));
        }
        let found = fs::read_to_string(&kept).map_err(|e| TrainError::io("read", &kept, e))?;
        if found != recipe.text {
            return Err(TrainError::invalid(
                &kept,
                "the run was started with another recipe: give the new one another name, or \
                 remove the run",
            ));
        }
    } else {
        fs::create_dir_all(run).map_err(|e| TrainError::io("create", run, e))?;
        write_atomically(&kept, recipe.text.as_bytes())?;
    }
    Ok(())
}
