//! A whole run, top to bottom: data, tokenizer, stage 0, stage 1, checkpoint, bundle.
//!
//! Everything it writes is in `<runs>/<name>/`; each step is skipped when its result is
//! already there, so a run that was killed anywhere goes on where it was.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use duoguard_export::{ExportError, ExportOptions, Quantize};
use serde_json::json;

use crate::batch::{Batcher, PretrainStream};
use crate::checkpoint::{save_hugging_face, write_atomically};
use crate::classifier::Classifier;
use crate::data::{CATEGORIES, Corpus, load_pairs, load_parallel, load_seed};
use crate::decoder::Decoder;
use crate::draw::Draws;
use crate::error::TrainError;
use crate::lexicon::Lexicon;
use crate::pretrain::Pretrain;
use crate::recipe::Recipe;
use crate::stage::{StageSettings, run_stage, without_gradients};
use crate::teacher::{self, Teacher};
use crate::tokenizer::Tokenizer;
use crate::validation::{split, write_validation};

/// Validation rows watched while training; all of them set the thresholds.
const WATCHED_ROWS: usize = 2000;
/// Lengths in tokens of the sequences whose logits the exporter must reproduce.
const GOLDEN_LENGTHS: [usize; 4] = [1, 7, 33, 128];

/// The schemes of the bundle, of which the first is taken whose certificate passes; the last one always does. The order is fixed, where
/// `auto` would take the time of each: a run that was resumed must write the same bundle.
const SCHEMES: [Quantize; 3] = [Quantize::Int8, Quantize::Int8Weights, Quantize::None];

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

/// Plays `recipe` and returns the folder of the finished bundle.
pub fn run(recipe: &Recipe, options: &RunOptions) -> Result<PathBuf, TrainError> {
    let run = prepare(recipe, options)?;
    let bundle = run.join("bundle");
    if bundle.is_dir() {
        return Ok(bundle);
    }
    let device = options.device.clone().autodiff();
    let corpus = load_seed(&options.data, recipe)?;
    let parallel = load_parallel(&options.data, recipe)?;
    let pairs = load_pairs(&options.data, recipe)?;
    let (training, validation) = split(&corpus, recipe);
    write_validation(&run.join("validation.jsonl"), &validation)?;
    eprintln!(
        "data: {} training rows, {} validation rows, {} parallel texts, {} pairs",
        training.rows.len(),
        validation.rows.len(),
        parallel.len(),
        pairs.len()
    );

    let tokenizer_path = run.join("tokenizer.json");
    if !tokenizer_path.exists() {
        let texts = training
            .rows
            .iter()
            .map(|r| r.text.as_str())
            .chain(parallel.iter().map(|p| p.text.as_str()));
        Tokenizer::train(texts, recipe.tokenizer.vocabulary)?.save(&tokenizer_path)?;
    }
    let tokenizer = Tokenizer::load(&tokenizer_path)?;

    let lexicon_path = run.join("lexicon.json");
    let lexicon = if recipe.classifier.sampling.code_switch == 0.0 {
        None
    } else if lexicon_path.exists() {
        Some(Lexicon::load(&lexicon_path)?)
    } else {
        let lexicon = Lexicon::learn_all(&pairs, &parallel, &recipe.data.languages);
        lexicon.save(&lexicon_path)?;
        Some(lexicon)
    };

    let mut decoder = Decoder::new(&recipe.model, tokenizer.vocabulary(), recipe.seed, &device);
    if recipe.pretrain.steps > 0 {
        let stream = PretrainStream::new(&training, &parallel, &pairs, &tokenizer, recipe);
        let mut stage = Pretrain::new(
            stream,
            recipe.pretrain.negatives,
            tokenizer.vocabulary(),
            recipe.seed,
            device.clone(),
        );
        run_stage(
            &mut stage,
            &pretrain_settings(recipe),
            &mut decoder,
            &run,
            &device,
        )?;
    }
    decoder.reset_score(recipe.seed.wrapping_add(1), &device);
    let teacher = recipe.classifier.teacher.as_ref().map(|teacher| {
        let draws = teacher::draws(&training, &parallel, lexicon.as_ref(), recipe);
        Teacher::train(draws, teacher)
    });
    let draws = Draws::new(&training, &parallel, lexicon.as_ref(), recipe, recipe.seed).joined();
    let batcher = Batcher::new(draws, teacher.as_ref(), &tokenizer, recipe);
    let mut stage = Classifier::new(batcher, &validation, &tokenizer, recipe, WATCHED_ROWS);
    run_stage(
        &mut stage,
        &classifier_settings(recipe),
        &mut decoder,
        &run,
        &device,
    )?;

    let checkpoint = run.join("checkpoint");
    let golden = golden_inputs(&training, &tokenizer, recipe);
    let guard = guard(recipe, &training, &validation);
    save_hugging_face(
        &checkpoint,
        &without_gradients(&decoder),
        &tokenizer_path,
        &golden,
        &guard,
    )?;
    for quantize in SCHEMES {
        let options = ExportOptions {
            quantize,
            calibration: Some(run.join("validation.jsonl")),
            ..ExportOptions::default()
        };
        match duoguard_export::export(&checkpoint, &bundle, &options) {
            Err(ExportError::Certificate { .. }) => {}
            exported => {
                exported?;
                break;
            }
        }
    }
    Ok(bundle)
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

fn pretrain_settings(recipe: &Recipe) -> StageSettings {
    let stage = &recipe.pretrain;
    StageSettings {
        name: "pretrain",
        steps: stage.steps,
        accumulation: 1,
        learning_rate: stage.learning_rate,
        warmup: stage.warmup,
        weight_decay: stage.weight_decay,
        max_gradient_norm: stage.max_gradient_norm,
        checkpoint_every: stage.checkpoint_every,
        average_decay: 0.0,
    }
}

fn classifier_settings(recipe: &Recipe) -> StageSettings {
    let stage = &recipe.classifier;
    StageSettings {
        name: "classifier",
        steps: stage.steps,
        accumulation: stage.accumulation,
        learning_rate: stage.learning_rate,
        warmup: stage.warmup,
        weight_decay: stage.weight_decay,
        max_gradient_norm: stage.max_gradient_norm,
        checkpoint_every: stage.checkpoint_every,
        average_decay: stage.ema,
    }
}

/// Token sequences of the golden lengths, cut from the first training texts laid end to end.
fn golden_inputs(training: &Corpus, tokenizer: &Tokenizer, recipe: &Recipe) -> Vec<Vec<i32>> {
    let mut tokens = training
        .rows
        .iter()
        .flat_map(|row| tokenizer.encode(&row.text))
        .map(|id| id as i32);
    GOLDEN_LENGTHS
        .iter()
        .map(|&length| {
            tokens
                .by_ref()
                .take(length.min(recipe.classifier.window_tokens))
                .collect()
        })
        .filter(|ids: &Vec<i32>| !ids.is_empty())
        .collect()
}

/// What the manifest takes over from training.
fn guard(recipe: &Recipe, training: &Corpus, validation: &Corpus) -> serde_json::Value {
    json!({
        "name": recipe.name,
        "window_tokens": recipe.classifier.window_tokens,
        "overlap_tokens": recipe.classifier.overlap_tokens,
        "categories": CATEGORIES,
        "provenance": {
            "recipe_sha256": recipe.sha256(),
            "recipe": recipe.text,
            "sources": training.sources,
            "licences": recipe.data.licences,
            "languages": recipe.data.languages,
            "training_rows": training.rows.len(),
            "validation_rows": validation.rows.len(),
            "trainer_version": env!("CARGO_PKG_VERSION"),
        },
    })
}

/// The path of a run's folder, for messages.
pub fn run_folder(runs: &Path, recipe: &Recipe) -> PathBuf {
    runs.join(&recipe.name)
}
