//! The linear teacher of a recipe, judged by itself: the baseline that a network has to beat.
//!
//! `cargo run --release -p duoguard-trainer --example linear_baseline -- recipes/mini.toml --data
//! DIR [--benchmarks DIR]`

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use clap::Parser;
use duoguard_eval::{Benchmark, Guard, Metrics, Outcome, Row, read_benchmarks};
use duoguard_trainer::data::lexicon::Lexicon;
use duoguard_trainer::data::rows::{load_pairs, load_parallel, load_seed};
use duoguard_trainer::data::validation::split;
use duoguard_trainer::model::teacher::{self, Teacher};
use duoguard_trainer::recipe::Recipe;
use rayon::prelude::*;

/// Trains a recipe's linear teacher and prints its AUROC and FPR per cent: validation, then
/// benchmarks.
#[derive(Parser)]
struct Arguments {
    /// The recipe; its [classifier.teacher] says how.
    recipe: PathBuf,
    /// The folder that the recipe's data paths are relative to.
    #[arg(long, default_value = ".")]
    data: PathBuf,
    /// The folder that holds eval_data_En and its siblings.
    #[arg(long)]
    benchmarks: Option<PathBuf>,
}

struct Judge(Teacher);

impl Guard for Judge {
    fn judge(&mut self, row: &Row) -> Result<(f32, bool), String> {
        let text = match &row.response {
            Some(response) => format!("{} {response}", row.prompt),
            None => row.prompt.clone(),
        };
        let score = self.0.mean_probability(&text);
        Ok((score, score > 0.5))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let recipe = Recipe::load(&arguments.recipe)?;
    let settings = recipe
        .classifier
        .teacher
        .as_ref()
        .ok_or("the recipe has no [classifier.teacher]")?;
    let corpus = load_seed(&arguments.data, &recipe)?;
    let parallel = load_parallel(&arguments.data, &recipe)?;
    let pairs = load_pairs(&arguments.data, &recipe)?;
    let (training, validation) = split(&corpus, &recipe);
    let lexicon = (recipe.classifier.sampling.code_switch > 0.0)
        .then(|| Lexicon::learn_all(&pairs, &parallel, &recipe.data.languages));
    let mixture = teacher::mixture(&training, &parallel, lexicon.as_ref(), &recipe);
    let teacher = Teacher::train(mixture, settings);

    let scores: Vec<f32> = validation
        .rows
        .par_iter()
        .map(|row| teacher.mean_probability(&row.text))
        .collect();
    let mut by_kind: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
    for (row, &score) in validation.rows.iter().zip(&scores) {
        let source = &validation.sources[row.source];
        let kind = match recipe.data.held_out_sources.contains(source) {
            true => "unseen-",
            false => "",
        };
        for language in [row.lang.as_str(), "all"] {
            by_kind
                .entry(format!("{kind}{language}"))
                .or_default()
                .push(Outcome {
                    score,
                    flagged: score > 0.5,
                    label: row.is_unsafe,
                });
        }
    }
    for (kind, outcomes) in &by_kind {
        println!("{kind:12} {}", figures(outcomes));
    }
    let Some(benchmarks) = arguments.benchmarks else {
        return Ok(());
    };
    let languages = ["En", "Fr", "Es", "De"];
    let sets = read_benchmarks(&benchmarks, &Benchmark::ALL, &languages)?;
    let runs = duoguard_eval::run(&mut Judge(teacher), &sets, &mut |_| {})?;
    for language in languages {
        let mut aurocs = Vec::new();
        for run in runs.iter().filter(|run| run.language == language) {
            println!(
                "{language} {:12} {}",
                run.benchmark.name(),
                figures(&run.outcomes)
            );
            aurocs.extend(Metrics::of(&run.outcomes).auroc);
        }
        let mean = 100.0 * aurocs.iter().sum::<f64>() / aurocs.len() as f64;
        println!("{language} mean AUROC of {} sets: {mean:.1}", aurocs.len());
    }
    Ok(())
}

fn figures(outcomes: &[Outcome]) -> String {
    let metrics = Metrics::of(outcomes);
    let percent =
        |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{:.1}", 100.0 * v));
    format!(
        "rows {:5}  AUROC {:>5}  FPR {:>5}",
        outcomes.len(),
        percent(metrics.auroc),
        percent(metrics.fpr)
    )
}
