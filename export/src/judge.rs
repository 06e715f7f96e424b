//! Holding a quantised guard against the fp32 one, on the texts of the certificate.

use duoguard::{Model, Policy};

use crate::certify::{Certificate, Comparison, Tolerance};
use crate::checkpoint::Checkpoint;
use crate::error::ExportError;
use crate::layered;
use crate::measure::in_parallel;
use crate::texts::Text;

/// Windows on which projections are ranked, and how much of each: enough to rank them.
const RANKING_WINDOWS: usize = 8;
const RANKING_TOKENS: usize = 64;

/// The texts, and what the fp32 guard says of them once somebody asked.
pub(crate) struct Judge<'a> {
    checkpoint: &'a Checkpoint,
    texts: Vec<Text>,
    /// Where the texts are from.
    source: String,
    tolerance: Tolerance,
    exact: Option<Exact>,
}

/// The windows of every text, and its fp32 logits.
struct Exact {
    windows: Vec<Vec<Vec<u32>>>,
    logits: Vec<Vec<f32>>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(
        checkpoint: &'a Checkpoint,
        texts: Vec<Text>,
        source: String,
        tolerance: Tolerance,
    ) -> Self {
        Self {
            checkpoint,
            texts,
            source,
            tolerance,
            exact: None,
        }
    }

    /// Certifies a model that is to be the checkpoint, quantised.
    pub(crate) fn certify(
        &mut self,
        model: &Model,
        policy: &Policy,
        scheme: &str,
    ) -> Result<Certificate, ExportError> {
        let exact = self.prepared(model)?;
        let quantized = in_parallel(&[model], &exact.windows, |sessions, windows| {
            let run = |ids: &Vec<u32>| sessions[0].logits(ids);
            let logits: Result<Vec<_>, _> = windows.iter().map(run).collect();
            Ok(largest(&logits?))
        })?;
        let comparison = Comparison {
            texts: &self.texts,
            fp32: &exact.logits,
            quantized: &quantized,
            categories: model.categories(),
            policy,
        };
        let certificate = comparison.certify(scheme, &self.source, self.tolerance);
        self.exact = Some(exact);
        Ok(certificate)
    }

    /// A few windows, cut short, on which to rank projections.
    pub(crate) fn ranking(&mut self, model: &Model) -> Result<Vec<Vec<u32>>, ExportError> {
        let exact = self.prepared(model)?;
        let step = exact.windows.len().div_ceil(RANKING_WINDOWS).max(1);
        let cut = |windows: &Vec<Vec<u32>>| {
            let first = &windows[0];
            first[..first.len().min(RANKING_TOKENS)].to_vec()
        };
        let windows = exact.windows.iter().step_by(step).map(cut).collect();
        self.exact = Some(exact);
        Ok(windows)
    }

    /// Takes what was computed before, or computes it. Texts without tokens are dropped.
    fn prepared(&mut self, model: &Model) -> Result<Exact, ExportError> {
        if let Some(exact) = self.exact.take() {
            return Ok(exact);
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
        Ok(Exact { windows, logits })
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
