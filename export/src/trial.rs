//! Trying schemes: each candidate is written as a bundle, and judged as what a user would get.

use std::path::PathBuf;

use duoguard::{Model, Policy};
use serde::Serialize;

use crate::bundle::Staging;
use crate::calibrate::{self, CalibrationReport, Material};
use crate::certify::Certificate;
use crate::checkpoint::Checkpoint;
use crate::error::ExportError;
use crate::export::ExportOptions;
use crate::judge::Judge;
use crate::layered;
use crate::measure::latency_ms;
use crate::scheme::{KEPT, Plan, Precision, Quantize};
use crate::texts::{self, Text};
use crate::write::{Written, write};

/// The schemes that `auto` chooses among.
const CANDIDATES: [Quantize; 4] = [
    Quantize::Int8,
    Quantize::Int8Token,
    Quantize::Int4,
    Quantize::Int8Weights,
];
/// Weights that are widened to f32 take four times the memory: they have to be faster by this
/// factor to be worth it.
const WIDENED_HANDICAP: f64 = 1.25;
/// What every trial needs.
pub(crate) struct Trials<'a> {
    pub(crate) checkpoint: &'a Checkpoint,
    pub(crate) staging: &'a Staging,
    pub(crate) options: &'a ExportOptions,
    /// What to calibrate on.
    pub(crate) material: Option<&'a Material<'a>>,
    /// What certifies.
    pub(crate) judge: Judge<'a>,
    /// What was tried, where there was a choice.
    pub(crate) log: Vec<Tried>,
}

/// A line of the manifest's `quantization.tried`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tried {
    scheme: &'static str,
    /// Projections kept in higher precision.
    kept: usize,
    /// Median time of 128 tokens on the engine that `auto` picks, one thread; with its handicap, if
    /// the scheme has one.
    latency_ms: f64,
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
            Quantize::Int8Outliers => self.outliers(),
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
            timed.push((self.latency(&candidate)?, candidate));
        }
        timed.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut best = None;
        for (rank, (latency, mut candidate)) in timed.into_iter().enumerate() {
            if best.is_none() {
                candidate = self.judge(candidate)?;
            }
            self.log(&candidate, latency);
            if best.is_none() && candidate.passed() {
                best = Some((rank, latency, candidate));
            }
        }
        if let Some((0, _, fastest)) = best {
            return Ok(fastest);
        }
        // Something faster failed: perhaps a few of its projections are to blame.
        let mixed = self.mixed()?;
        let latency = self.latency(&mixed)?;
        self.log(&mixed, latency);
        match best {
            Some((_, other, best)) if !mixed.passed() || other <= latency => Ok(best),
            None if !mixed.passed() => {
                let exact = self.write(Plan::new(Quantize::None))?;
                self.judge(exact)
            }
            _ => Ok(mixed),
        }
    }

    /// Int8, with as many of the most sensitive projections in higher precision as it takes to
    /// pass, found by doubling; the last try if half of them do not suffice.
    fn mixed(&mut self) -> Result<Candidate, ExportError> {
        let plan = Plan::new(Quantize::Mixed);
        let mut candidate = self.write(plan.clone())?;
        let windows = self.judge.ranking(&Model::open(&candidate.folder)?)?;
        let precision = (Precision::Int8Tensor, &plan.outliers);
        let ranked = layered::sensitivities(self.checkpoint, &windows, precision)?;
        let mut kept = 1;
        while kept <= ranked.len().div_ceil(2) {
            candidate = self.write(plan.except(&ranked[..kept], KEPT))?;
            candidate = self.judge(candidate)?;
            if candidate.passed() {
                break;
            }
            kept *= 2;
        }
        Ok(candidate)
    }

    /// Int8 with outlier features in 16 bits; where that does not pass, with all activations of the
    /// most sensitive projections in 16 bits, as many as it takes, found by doubling.
    fn outliers(&mut self) -> Result<Candidate, ExportError> {
        let mut plan = Plan::new(Quantize::Int8Outliers);
        // Its tokenizer makes the windows.
        let model = Model::open(&self.write(plan.clone())?.folder)?;
        let windows = |text: &Text| Ok(model.windows(&model.tokenize(&text.text)?));
        let windows: Result<Vec<_>, duoguard::Error> =
            texts::built_in().iter().map(windows).collect();
        plan.outliers = layered::outliers(self.checkpoint, &windows?.concat())?;
        let candidate = self.write(plan.clone())?;
        let mut candidate = self.judge(candidate)?;
        if candidate.passed() {
            return Ok(candidate);
        }
        let windows = self.judge.ranking(&model)?;
        let precision = (Precision::Int8Outliers, &plan.outliers);
        let ranked = layered::sensitivities(self.checkpoint, &windows, precision)?;
        let mut kept = 0;
        while kept < ranked.len() && !candidate.passed() {
            kept = (2 * kept).clamp(ranked.len().div_ceil(8), ranked.len());
            candidate = self.write(plan.except(&ranked[..kept], Precision::Int16Activations))?;
            candidate = self.judge(candidate)?;
        }
        Ok(candidate)
    }

    /// Milliseconds of a window, longer by the handicap of what takes more memory.
    fn latency(&self, candidate: &Candidate) -> Result<f64, ExportError> {
        let latency = latency_ms(&Model::open(&candidate.folder)?)?;
        let is_widened = candidate.plan.quantize == Quantize::Int8Weights;
        Ok(latency * if is_widened { WIDENED_HANDICAP } else { 1.0 })
    }

    fn log(&mut self, candidate: &Candidate, latency_ms: f64) {
        self.log.push(Tried {
            scheme: candidate.plan.quantize.name(),
            kept: candidate.plan.exceptions.len(),
            latency_ms,
            passed: candidate.certificate.as_ref().map(|c| c.passed),
        });
    }

    fn write(&self, plan: Plan) -> Result<Candidate, ExportError> {
        let (scheme, exceptions) = (plan.quantize.name(), plan.exceptions.len());
        let name = format!("{scheme}-{exceptions}-{}", plan.outliers.len());
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

    /// Calibrates the candidate and finds, if it is quantised, what that changed.
    fn judge(&mut self, mut candidate: Candidate) -> Result<Candidate, ExportError> {
        let model = Model::open(&candidate.folder)?;
        if let Some(material) = self.material {
            candidate.calibration = Some(calibrate::calibrate(&model, material)?);
        }
        if candidate.plan.quantize == Quantize::None {
            return Ok(candidate);
        }
        let policy = match &candidate.calibration {
            Some((policy, _)) => policy,
            None => &candidate.written.manifest.policy,
        };
        let name = candidate.plan.quantize.name();
        candidate.certificate = Some(self.judge.certify(&model, policy, name)?);
        Ok(candidate)
    }
}
