//! What a run found, as it is written to JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::Result;
use crate::metrics::Metrics;
use crate::output::OutputFile;
use crate::readers::Benchmark;
use crate::run::BenchmarkRun;

/// The metrics of every benchmark and language, and their averages.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The model's name.
    pub model: String,
    /// The engine that computed.
    pub engine: String,
    /// One entry per benchmark and language.
    pub results: Vec<BenchmarkResult>,
    /// Averages by language.
    pub average: BTreeMap<String, Average>,
}

/// The metrics of one benchmark in one language.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BenchmarkResult {
    /// Which benchmark.
    #[serde(serialize_with = "benchmark_name")]
    pub benchmark: Benchmark,
    /// The language, as the benchmark's folder spells it.
    pub language: String,
    /// The metrics.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Median time of one check, in milliseconds.
    pub p50_ms: f64,
    /// The time that 95 % of the checks did not exceed, in milliseconds.
    pub p95_ms: f64,
}

/// Averages of one language. Each is the unweighted mean over the benchmarks on which the metric is
/// defined: F1 over all six, AUROC and FPR over the five that have safe rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Average {
    /// Mean F1.
    pub f1: Option<f64>,
    /// Mean AUROC.
    pub auroc: Option<f64>,
    /// Mean false-positive rate.
    pub fpr: Option<f64>,
}

impl Report {
    /// Computes the metrics of every run.
    pub fn new(model: &str, engine: &str, runs: &[BenchmarkRun]) -> Self {
        let result = |run: &BenchmarkRun| BenchmarkResult {
            benchmark: run.benchmark,
            language: run.language.clone(),
            metrics: Metrics::of(&run.outcomes),
            p50_ms: run.p50_ms,
            p95_ms: run.p95_ms,
        };
        let mut report = Self {
            model: model.to_owned(),
            engine: engine.to_owned(),
            results: runs.iter().map(result).collect(),
            average: BTreeMap::new(),
        };
        let averages = report.languages().into_iter().map(|language| {
            let average = Average {
                f1: report.mean(&language, |m| m.f1),
                auroc: report.mean(&language, |m| m.auroc),
                fpr: report.mean(&language, |m| m.fpr),
            };
            (language, average)
        });
        report.average = averages.collect();
        report
    }

    /// The languages, in the order of the results.
    pub fn languages(&self) -> Vec<String> {
        let mut languages: Vec<String> = Vec::new();
        for result in &self.results {
            if !languages.contains(&result.language) {
                languages.push(result.language.clone());
            }
        }
        languages
    }

    /// The mean of a metric over the benchmarks of a language on which it is defined; `None` if
    /// there are none.
    pub fn mean(&self, language: &str, metric: impl Fn(&Metrics) -> Option<f64>) -> Option<f64> {
        let of_language = self.results.iter().filter(|r| r.language == language);
        let values: Vec<f64> = of_language.filter_map(|r| metric(&r.metrics)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    /// Writes the report as JSON into `file` and commits it.
    pub fn write_json(&self, file: OutputFile) -> Result<()> {
        file.write_json(self)
    }
}

fn benchmark_name<S: serde::Serializer>(
    benchmark: &Benchmark,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(benchmark.name())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::run::run;
    use crate::testing::{Keyword, set};

    #[test]
    fn json_has_exactly_the_promised_keys() {
        let sets = [
            set(Benchmark::XsTest, "En", &[("bad", true), ("good", false)]),
            set(Benchmark::XSafety, "En", &[("bad", true), ("good", true)]),
        ];
        let runs = run(&mut Keyword, &sets, &mut |_| {}).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let report = Report::new("mini", "native", &runs);
        report
            .write_json(OutputFile::create(&path).unwrap())
            .unwrap();
        let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();

        let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&value), ["average", "engine", "model", "results"]);
        let mut expected = vec![
            "benchmark",
            "language",
            "rows",
            "positives",
            "f1",
            "precision",
            "recall",
            "fpr",
            "auroc",
            "auprc",
            "recall_at_1pct_fpr",
            "recall_at_5pct_fpr",
            "ece",
            "p50_ms",
            "p95_ms",
        ];
        expected.sort_unstable();
        assert_eq!(keys(&value["results"][0]), expected);
        assert_eq!(value["results"][0]["benchmark"], "xstest");
        assert_eq!(value["results"][1]["auroc"], Value::Null);
        // XSafety counts for F1 (2/3 there) and not for the others.
        assert_eq!(
            value["average"],
            json!({"En": {"f1": (1.0 + 2.0 / 3.0) / 2.0, "auroc": 1.0, "fpr": 0.0}})
        );
    }
}
