//! A whole run, top to bottom: the ground, round 0, and the rounds of the game.
//!
//! Everything it writes is in `<runs>/<name>/`; each step is skipped when its result is already there, so a run that was killed anywhere
//! goes on where it was. A game's rounds are in `round-0/`, `round-1/` and so on; without a game, the run's folder is round 0.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;

use crate::checkpoint::write_atomically;
use crate::error::TrainError;
use crate::game::{Players, play};
use crate::generator::Writing;
use crate::ground::Ground;
use crate::recipe::{GameRecipe, GeneratorRecipe, OwnGeneratorRecipe, Recipe};
use crate::stage::{StageSettings, run_stage};

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
}

/// Plays `recipe` and returns the folder of its last round's bundle.
///
/// # Errors
/// Whatever stops a step, in words; the run goes on from there when it is resumed.
pub fn run(recipe: &Recipe, options: &RunOptions) -> Result<PathBuf, TrainError> {
    let run = prepare(recipe, options)?;
    let last = recipe.game.as_ref().map_or(0, |game| game.rounds);
    let bundle = round_folder(&run, recipe, last).join("bundle");
    if bundle.is_dir() {
        return Ok(bundle);
    }
    let ground = Ground::lay(recipe, &run, &options.data, &options.device)?;
    let folder = round_folder(&run, recipe, 0);
    fs::create_dir_all(&folder).map_err(|e| TrainError::io("create", &folder, e))?;
    let classifier = ground.train_classifier(&folder, &ground.training, &ground.base)?;
    ground.publish(&folder, &classifier, &ground.training, 0)?;
    if let Some(game) = &recipe.game {
        let generator = match &game.generator {
            GeneratorRecipe::Own(own) => Some(learn_to_write(&ground, game, own)?),
            GeneratorRecipe::Endpoint(_) => None,
        };
        let data = ground.training.clone();
        let mut players = Players {
            classifier,
            generator,
            data,
        };
        for round in 1..=game.rounds {
            players = play(
                &ground,
                game,
                players,
                round,
                &round_folder(&run, recipe, round),
            )?;
        }
    }
    Ok(bundle)
}

/// The folder of a round, from 0.
pub fn round_folder(run: &Path, recipe: &Recipe, round: usize) -> PathBuf {
    match &recipe.game {
        Some(_) => run.join(format!("round-{round}")),
        None => run.to_owned(),
    }
}

/// Makes the run folder, or checks that the one there was made by this very recipe.
fn prepare(recipe: &Recipe, options: &RunOptions) -> Result<PathBuf, TrainError> {
    let run = options.runs.join(&recipe.name);
    let kept = run.join("recipe.toml");
    if kept.exists() {
        if !options.resume {
            return Err(TrainError::invalid(
                &run,
                "this run is already there: pass --resume to go on with it, or remove it",
            ));
        }
        let found = fs::read_to_string(&kept).map_err(|e| TrainError::io("read", &kept, e))?;
        if found != recipe.text {
            return Err(TrainError::invalid(
                &kept,
                "the run was started with another recipe: give the new one another name, or remove the run",
            ));
        }
    } else {
        fs::create_dir_all(&run).map_err(|e| TrainError::io("create", &run, e))?;
        write_atomically(&kept, recipe.text.as_bytes())?;
    }
    Ok(run)
}

/// The generator before the first round: the base, taught to write from an English text.
fn learn_to_write(
    ground: &Ground<'_>,
    game: &GameRecipe,
    own: &OwnGeneratorRecipe,
) -> Result<crate::decoder::Decoder, TrainError> {
    let seed = ground.recipe.seed.wrapping_add(2);
    let mut stage = Writing::new(
        &ground.training,
        &ground.parallel,
        &ground.pairs,
        &ground.tokenizer,
        (game, own),
        seed,
        &ground.device,
    );
    if stage.is_empty() {
        return Err(TrainError::invalid(
            &ground.data,
            "no text stands here in English and in one of game.languages: the generator has nothing to learn from",
        ));
    }
    let settings = StageSettings {
        name: "generator",
        steps: own.steps,
        accumulation: 1,
        learning_rate: own.learning_rate,
        warmup: own.warmup,
        weight_decay: own.weight_decay,
        max_gradient_norm: own.max_gradient_norm,
        checkpoint_every: own.checkpoint_every,
        average_decay: 0.0,
    };
    let mut generator = ground.base.clone();
    run_stage(
        &mut stage,
        &settings,
        &mut generator,
        &ground.run,
        &ground.device,
    )?;
    Ok(generator)
}
