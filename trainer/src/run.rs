//! A whole run, top to bottom: the setup, round 0, and the rounds of the game.
//!
//! Everything it writes is in `<runs>/<name>/`; each step is skipped when its result is already
//! there, so a run that was killed anywhere goes on where it was. A game's rounds are in
//! `round-0/`, `round-1/` and so on, and `report.html` draws them; without a game, the run's folder
//! is round 0.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tch::Device;

use crate::diagnostics::say;
use crate::distributed::ProcessGroup;
use crate::error::TrainError;
use crate::export::export_classifier;
use crate::files::write_atomically;
use crate::game::budget::{Budget, EndedEarly};
use crate::game::players::{self, GeneratorPlayer};
use crate::game::round::{Game, GameState};
use crate::recipe::{GameRecipe, Recipe, Start};
use crate::report::page::write_report;
use crate::report::scores::{load_benchmarks, score_bundle};
use crate::setup::{RoundClassifier, Setup};
use crate::threads::set_threads;

/// Keys of `[game]` that say how far a run goes, and never what it computes.
const BUDGET_KEYS: [&str; 2] = ["most_minutes", "most_megabytes"];

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

/// Plays `recipe` and returns the bundle of the last round that was played: that of the recipe's
/// last one, where no budget ended the game before.
///
/// # Errors
/// Whatever stops a step, in words; the run goes on from there when it is resumed.
pub fn run(recipe: &Recipe, options: &RunOptions) -> Result<PathBuf, TrainError> {
    let started = Instant::now();
    let group = &options.group;
    let run = options.runs.join(&recipe.name);
    if group.is_first() {
        open_run_folder(&run, recipe, options)?;
    }
    group.wait();
    // What the models say they were made by has nothing of how much a run may take.
    let recipe = &Recipe {
        text: without_budget(&recipe.text),
        ..recipe.clone()
    };
    let place = (&options.device, group);
    set_threads(&run, recipe, place, options.threads)?;
    let last = recipe.game.as_ref().map_or(0, |game| game.rounds);
    let folders: Vec<PathBuf> = (0..=last)
        .map(|round| round_folder(&run, recipe, round))
        .collect();
    let finished = match recipe.game {
        Some(_) => folders[last].join("summary.json").exists(),
        None => folders[last].join("bundle").is_dir(),
    };
    let played = match group.first_says(finished) {
        true => last,
        false => play(recipe, (&run, started), &folders, options)?,
    };
    if recipe.game.is_some() && group.is_first() {
        write_report(&run, &recipe.name, &folders[..=played])?;
    }
    Ok(folders[played].join("bundle"))
}

/// Plays all rounds that the budget allows, and returns the last.
fn play(
    recipe: &Recipe,
    (run, started): (&Path, Instant),
    folders: &[PathBuf],
    options: &RunOptions,
) -> Result<usize, TrainError> {
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
        return play_rounds(setup, started, folders);
    }
    let setup = Setup::prepare(recipe, run, &options.data, place)?;
    play_rounds(setup, started, folders)
}

/// Round 0, and the rounds of the game where there is one, as many as its budget allows: the last
/// one that was played.
fn play_rounds<N: RoundClassifier>(
    mut setup: Setup<'_, N>,
    started: Instant,
    folders: &[PathBuf],
) -> Result<usize, TrainError> {
    let (recipe, group) = (setup.recipe, setup.group.clone());
    let Some(game) = &recipe.game else {
        play_first(&setup, &folders[0])?;
        return Ok(0);
    };
    let mut budget = Budget::open(&setup.run, game, &group, started)?;
    setup.deadline = budget.deadline();
    let played = play_game(&setup, game, &mut budget, folders);
    // What a start that failed has taken counts too.
    budget.keep()?;
    played
}

/// Round 0: the classifier of the seed data alone, and its bundle.
fn play_first<N: RoundClassifier>(setup: &Setup<'_, N>, folder: &Path) -> Result<N, TrainError> {
    let classifier = setup.train_first(folder)?;
    export_classifier(setup, folder, &classifier, &setup.training, 0)?;
    Ok(classifier)
}

fn play_game<N: RoundClassifier>(
    setup: &Setup<'_, N>,
    game: &GameRecipe,
    budget: &mut Budget,
    folders: &[PathBuf],
) -> Result<usize, TrainError> {
    let (recipe, group, first) = (setup.recipe, &setup.group, &folders[0]);
    budget.turn_to(Some(0))?;
    let classifier = play_first(setup, first)?;
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
    budget.turn_to(None)?;
    let (generator, judge) = players::prepare(setup, game)?;
    let generator_bytes = match &generator {
        GeneratorPlayer::Local(local) => local.bytes(),
        GeneratorPlayer::Endpoint(..) => 0,
    };
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
        let finished = group.first_says(folder.join("summary.json").exists());
        if !finished && let Some(early) = budget.begin(round, folders, generator_bytes)? {
            return end_early(budget, &early, group);
        }
        state = game.play(state, (round, folder), budget)?;
        if group.is_first() {
            write_report(&setup.run, &recipe.name, &folders[..=round])?;
        }
    }
    budget.end(None)?;
    Ok(folders.len() - 1)
}

/// Says that the game ends before its last round, and why: the last round that was played.
fn end_early(
    budget: &Budget,
    early: &EndedEarly,
    group: &ProcessGroup,
) -> Result<usize, TrainError> {
    budget.end(Some(early))?;
    if group.is_first() {
        say(format_args!(
            "the game ends after round {}: {}. With a larger value --resume plays the others",
            early.after_round, early.reason
        ));
    }
    Ok(early.after_round)
}

/// A recipe's text without the lines that say how much a game may take.
fn without_budget(text: &str) -> String {
    let is_budget = |line: &str| {
        let name = line.split_once('=').map(|(name, _)| name.trim());
        name.is_some_and(|name| BUDGET_KEYS.contains(&name))
    };
    let lines = text.split_inclusive('\n');
    lines.filter(|line| !is_budget(line)).collect()
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
        if without_budget(&found) != without_budget(&recipe.text) {
            return Err(TrainError::invalid(
                &kept,
                "the run was started with another recipe: give the new one another name, or \
                 remove the run",
            ));
        }
        if found != recipe.text {
            // It may take more now, or less.
            write_atomically(&kept, recipe.text.as_bytes())?;
        }
    } else {
        fs::create_dir_all(run).map_err(|e| TrainError::io("create", run, e))?;
        write_atomically(&kept, recipe.text.as_bytes())?;
    }
    Ok(())
}
