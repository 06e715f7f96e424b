//! Trying schemes: each candidate is written as a bundle, and judged as what a user would get.

use std::path::PathBuf;

use duoguard::{Model, Policy};
use serde::Serialize;

use crate::bundle::Staging;
use crate::calibrate::{self, CalibrationReport, Row};
use crate::certify::{Certificate, Comparison};
use crate::checkpoint::Checkpoint;
use crate::error::ExportError;
use crate::export::ExportOptions;
use crate::layered;
use crate::measure::{in_parallel, latency_ms};
use crate::scheme::{KEPT, Plan, Quantize};
use crate::texts::Text;
use crate::write::{Written, write};

/// The schemes that `auto` chooses among.
const CANDIDATES: [Quantize; 4] = [
    Quantize::Int8,
    Quantize::Int8Token,
    Quantize::Int4,
    Quantize::Int8Weights,
];
/// Windows on which projections are measured, and how much of each: enough to rank them.
const RANKING_WINDOWS: usize = 8;
const RANKING_TOKENS: usize = 64;

/// What every trial needs, and the fp32 logits that all are held against.
pub(crate) struct Trials<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) staging: &'a Staging,
    pub(crate) options: &'a ExportOptions,
    /// The rows to calibrate thresholds on.
    pub(crate) rows: Option<&'a [Row]>,
    /// The texts of the certificate, and where they are from.
    pub(crate) texts: Vec<Text>,
    pub(crate) source: String,
    pub(crate) exact: Option<Exact>,
    /// What was tried, where there was a choice.
    pub(crate) log: Vec<Tried>,
}

/// The windows of the texts, and the fp32 logits of each text.
pub(crate) struct Exact {
    windows: Vec<Vec<Vec<u32>>>,
    logits: Vec<Vec<f32>>,
}

/// A line of the manifest's `quantization.tried`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tried {
    scheme: &'static str,
    /// Projections kept in higher precision.
    kept: usize,
    /// Median time of 128 tokens on rten, one thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    /// Whether its certificate passed; absent if it was not needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    passed: Option<bool>,
}

/// A bundle that was written to be judged.
pub(crate) struct Candidate {
    pub(crate) plan: Plan,
    pub(crate) folder: PathBuf,
    pub(crate) written: Written,
    pub(crate) calibration: Option<(Policy, CalibrationReport)>,
    pub(crate) certificate: Option<Certificate>,
}

impl Candidate {
    fn passed(&self) -> bool {
        self.certificate.as_ref().is_none_or(|c| c.passed)
    }
}

impl Trials<'_> {
    /// The bundle that the options ask for, judged.
    pub(crate) fn choose(&mut self) -> Result<Candidate, ExportError> {
        match self.options.quantize {
            Quantize::Auto => self.auto(),
            Quantize::Mixed => self.mixed(),
            quantize => {
                let candidate = self.write(Plan::new(quantize))?;
                self.judge(candidate)
            }
        }
    }

    /// The fastest scheme whose certificate passes.
    fn auto(&mut self) -> Result<Candidate, ExportError> {
        let mut timed = Vec::new();
        for quantize in CANDIDATES {
            let candidate = match self.write(Plan::new(quantize)) {
                // The network's shape does not suit the scheme.
                Err(ExportError::Option(_)) => continue,
                other => other?,
            };
            timed.push((latency_ms(&Model::open(&candidate.folder)?)?, candidate));
        }
        timed.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut best = None;
        for (rank, (latency, candidate)) in timed.into_iter().enumerate() {
            let candidate = self.judge(candidate)?;
            self.log(&candidate, Some(latency));
            if candidate.passed() {
                best = Some((rank, latency, candidate));
                break;
            }
        }
        if let Some((0, _, fastest)) = best {
            return Ok(fastest);
        }
        // Something faster failed: perhaps a few of its projections are to blame.
        let mixed = self.mixed()?;
        let latency = latency_ms(&Model::open(&mixed.folder)?)?;
        self.log(&mixed, Some(latency));
        match best {
            Some((_, other, best)) if !mixed.passed() || other <= latency => Ok(best),
            None if !mixed.passed() => {
                let exact = self.write(Plan::new(Quantize::None))?;
                self.judge(exact)
            }
            _ => Ok(mixed),
        }
    }

    /// Int8, with as many of the most sensitive projections in higher precision as it takes to pass, found by doubling; the last try
    /// if half of them do not suffice.
    fn mixed(&mut self) -> Result<Candidate, ExportError> {
        let mut candidate = self.write(Plan::new(Quantize::Mixed))?;
        self.prepare(&Model::open(&candidate.folder)?)?;
        let windows = self.exact.as_ref().map_or(Vec::new(), Exact::ranking);
        let ranked = layered::sensitivities(self.checkpoint, &windows)?;
        let mut kept = 1;
        while kept <= ranked.len().div_ceil(2) {
            let mut plan = Plan::new(Quantize::Mixed);
            let names = ranked[..kept].iter().map(|(name, _)| (name.clone(), KEPT));
            plan.exceptions.extend(names);
            candidate = self.write(plan)?;
            candidate = self.judge(candidate)?;
            if candidate.passed() {
                break;
            }
            kept *= 2;
        }
        Ok(candidate)
    }

    fn log(&mut self, candidate: &Candidate, latency_ms: Option<f64>) {
        self.log.push(Tried {
            scheme: candidate.plan.quantize.name(),
            kept: candidate.plan.exceptions.len(),
            latency_ms,
            passed: candidate.certificate.as_ref().map(|c| c.passed),
        });
    }

    fn write(&self, plan: Plan) -> Result<Candidate, ExportError> {
        let name = format!("{}-{}", plan.quantize.name(), plan.exceptions.len());
        let folder = self.staging.folder(&name)?;
        let labels = self.options.labels.as_deref();
        let written = write(self.checkpoint, &plan, labels, &folder)?;
        Ok(Candidate {
            plan,
            folder,
            written,
            calibration: None,
            certificate: None,
        })
    }

    /// Finds the candidate's thresholds and, if it is quantised, what that changed.
    fn judge(&mut self, mut candidate: Candidate) -> Result<Candidate, ExportError> {
        let model = Model::open(&candidate.folder)?;
        if let (Some(rows), Some(path)) = (self.rows, &self.options.calibration) {
            let target = self.options.target_fpr;
            candidate.calibration = Some(calibrate::calibrate(&model, path, rows, target)?);
        }
        if candidate.plan.quantize == Quantize::None {
            return Ok(candidate);
        }
        self.prepare(&model)?;
        let Some(exact) = &self.exact else {
            return Ok(candidate);
        };
        let quantized = in_parallel(&[&model], &exact.windows, |sessions, windows| {
            let logits: Result<Vec<_>, _> =
                windows.iter().map(|ids| sessions[0].logits(ids)).collect();
            Ok(largest(&logits?))
        })?;
        let manifest = &candidate.written.manifest;
        let policy = candidate.calibration.as_ref().map(|(policy, _)| policy);
        let comparison = Comparison {
            texts: &self.texts,
            fp32: &exact.logits,
            quantized: &quantized,
            categories: &manifest.categories,
            policy: policy.unwrap_or(&manifest.policy),
        };
        let name = candidate.plan.quantize.name();
        let tolerance = self.options.tolerance;
        candidate.certificate = Some(comparison.certify(name, &self.source, tolerance));
        Ok(candidate)
    }

    /// Computes the windows and the fp32 logits of the texts, once. Texts without tokens are dropped.
    fn prepare(&mut self, model: &Model) -> Result<(), ExportError> {
        if self.exact.is_some() {
            return Ok(());
        }
        let windows = |text: &Text| Ok(model.windows(&model.tokenize(&text.text)?));
        let windows: Result<Vec<_>, duoguard::Error> = self.texts.iter().map(windows).collect();
        let mut windows = windows?;
        let mut has_tokens = windows.iter().map(|windows| !windows.is_empty());
        self.texts.retain(|_| has_tokens.next().unwrap_or(false));
        windows.retain(|windows| !windows.is_empty());
        let mut rows = layered::logits(self.checkpoint, &windows.concat())?.into_iter();
        let of_text = |windows: &Vec<_>| {
            let rows: Vec<_> = rows.by_ref().take(windows.len()).collect();
            largest(&rows)
        };
        let logits = windows.iter().map(of_text).collect();
        self.exact = Some(Exact { windows, logits });
        Ok(())
    }
}

impl Exact {
    /// A few windows, cut short.
    fn ranking(&self) -> Vec<Vec<u32>> {
        let step = self.windows.len().div_ceil(RANKING_WINDOWS).max(1);
        let cut = |windows: &Vec<Vec<u32>>| {
            let first = &windows[0];
            first[..first.len().min(RANKING_TOKENS)].to_vec()
        };
        self.windows.iter().step_by(step).map(cut).collect()
    }
}

/// The largest logit of each category over windows.
fn largest(windows: &[Vec<f32>]) -> Vec<f32> {
    let mut result = windows[0].clone();
    for row in &windows[1..] {
        for (largest, logit) in result.iter_mut().zip(row) {
            *largest = largest.max(*logit);
        }
    }
    result
}
