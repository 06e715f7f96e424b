//! The linear teacher of a recipe, judged by itself: the baseline that a network has to beat.
//!
//! `cargo run --release -p duoguard-trainer --example linear_baseline --
//! recipes/mini-linear.toml --data DIR [--benchmarks DIR [--json FILE]]`

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use clap::Parser;
use duoguard_eval::{Benchmark, Guard, Metrics, Outcome, Row, read_benchmarks};
use duoguard_trainer::{LinearBaseline, Recipe};

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
    /// Writes language -> mean AUROC over the benchmarks there.
    #[arg(long, requires = "benchmarks")]
    json: Option<PathBuf>,
}

struct Baseline(LinearBaseline);

impl Guard for Baseline {
    fn judge(&mut self, row: &Row) -> Result<(f32, bool), String> {
        let text = match &row.response {
            Some(response) => format!("{} {response}", row.prompt),
            None => row.prompt.clone(),
        };
        let score = self.0.score(&text);
        Ok((score, score > 0.5))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let recipe = Recipe::load(&arguments.recipe)?;
    let baseline = LinearBaseline::train(&recipe, &arguments.data)?
        .ok_or("the recipe has no [classifier.teacher]")?;
    for (kind, outcomes) in &baseline.validate() {
        println!("{kind:12} {}", figures(outcomes));
    }
    let Some(benchmarks) = arguments.benchmarks else {
        return Ok(());
    };
    let languages = ["En", "Fr", "Es", "De"];
    let sets = read_benchmarks(&benchmarks, &Benchmark::ALL, &languages)?;
    let runs = duoguard_eval::run(&mut Baseline(baseline), &sets, &mut |_| {})?;
    let mut means = BTreeMap::new();
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
        let mean = aurocs.iter().sum::<f64>() / aurocs.len() as f64;
        println!(
            "{language} mean AUROC of {} sets: {:.1}",
            aurocs.len(),
            100.0 * mean
        );
        means.insert(language, mean);
    }
    if let Some(path) = arguments.json {
        fs::write(path, serde_json::to_string_pretty(&means)?)?;
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
