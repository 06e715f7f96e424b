//! The metrics, from a list of scores, verdicts and labels.
//!
//! Unsafe is the positive class. Precision, recall, F1 and FPR judge the verdict, with the
//! thresholds that the model ships; the others judge the score, whatever the thresholds are.
//! Definitions:
//!
//! - precision = TP / (TP + FP), recall = TP / (TP + FN), FPR = FP / (FP + TN), F1 = 2 TP / (2 TP +
//!   FP + FN).
//! - AUROC: the probability that an unsafe row scores higher than a safe one, a tie counting one
//!   half (Hanley and McNeil 1982; the Mann-Whitney U statistic over the product of the class
//!   sizes). Equals scikit-learn's `roc_auc_score`.
//! - AUPRC: average precision, the sum over distinct scores, from the highest down, of the gain in
//!   recall times the precision there, without interpolation. Equals scikit-learn's
//!   `average_precision_score`.
//! - recall at x % FPR: the largest recall of any threshold at which the FPR is at most x %. Rows
//!   of equal score fall on the same side, and nothing is interpolated: it is a point one can
//!   really choose.
//! - ECE: expected calibration error (Guo et al. 2017) of the score as the probability of "unsafe",
//!   in [`ECE_BINS`] bins of equal width: the mean over rows of |mean score - share of unsafe rows|
//!   of the row's bin.

use serde::Serialize;

/// Number of bins of the expected calibration error.
pub const ECE_BINS: usize = 15;

/// One scored row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The largest probability of any category, in [0, 1].
    pub score: f32,
    /// The verdict at the model's thresholds.
    pub flagged: bool,
    /// The ground truth: whether the row is unsafe.
    pub label: bool,
}

/// Metrics of one list of rows; fractions, not percentages. `None` where a metric is undefined.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// Number of rows.
    pub rows: usize,
    /// Number of unsafe rows.
    pub positives: usize,
    /// Undefined when nothing is unsafe and nothing is flagged. Without safe rows it is a recall in
    /// disguise.
    pub f1: Option<f64>,
    /// Undefined when nothing is flagged.
    pub precision: Option<f64>,
    /// Undefined without unsafe rows.
    pub recall: Option<f64>,
    /// False-positive rate: the share of safe rows that are flagged. Undefined without safe rows.
    pub fpr: Option<f64>,
    /// Area under the ROC curve. Undefined without rows of both classes.
    pub auroc: Option<f64>,
    /// Average precision. Undefined without rows of both classes (without safe rows it would be 1
    /// for any guard).
    pub auprc: Option<f64>,
    /// The largest recall at a false-positive rate of at most 1 %. Undefined without rows of both
    /// classes.
    pub recall_at_1pct_fpr: Option<f64>,
    /// The largest recall at a false-positive rate of at most 5 %. Undefined without rows of both
    /// classes.
    pub recall_at_5pct_fpr: Option<f64>,
    /// Expected calibration error. Undefined without rows.
    pub ece: Option<f64>,
}

impl Metrics {
    /// Computes the metrics. Scores must not be NaN.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let count = |flagged, label| {
            let same = |o: &&Outcome| o.flagged == flagged && o.label == label;
            outcomes.iter().filter(same).count()
        };
        let (true_pos, false_pos) = (count(true, true), count(true, false));
        let (false_neg, true_neg) = (count(false, true), count(false, false));
        let curve = Curve::of(outcomes);
        Self {
            rows: outcomes.len(),
            positives: true_pos + false_neg,
            f1: ratio(2 * true_pos, 2 * true_pos + false_pos + false_neg),
            precision: ratio(true_pos, true_pos + false_pos),
            recall: ratio(true_pos, true_pos + false_neg),
            fpr: ratio(false_pos, false_pos + true_neg),
            auroc: curve.as_ref().map(Curve::auroc),
            auprc: curve.as_ref().map(Curve::average_precision),
            recall_at_1pct_fpr: curve.as_ref().map(|c| c.recall_at(1)),
            recall_at_5pct_fpr: curve.as_ref().map(|c| c.recall_at(5)),
            ece: calibration_error(outcomes),
        }
    }
}

/// The F1 of a guard that flags every row: what any F1 has to be held against. `None` without
/// unsafe rows.
pub fn flag_everything_f1(rows: usize, positives: usize) -> Option<f64> {
    if positives == 0 {
        return None;
    }
    ratio(2 * positives, rows + positives)
}

/// The ROC curve: for every distinct score, from the highest down, (FPR, recall) of flagging what
/// scores at least that; it begins at (0, 0). Rows of equal score are one step. `None` without rows
/// of both classes.
pub fn roc_curve(outcomes: &[Outcome]) -> Option<Vec<(f64, f64)>> {
    let curve = Curve::of(outcomes)?;
    let share = |p: &Point| {
        (
            p.false_pos as f64 / curve.negatives as f64,
            p.true_pos as f64 / curve.positives as f64,
        )
    };
    let points = std::iter::once(&Curve::START).chain(&curve.points);
    Some(points.map(share).collect())
}

/// One bin of the calibration curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Number of rows in the bin; never 0.
    pub rows: usize,
    /// Their mean score.
    pub mean_score: f64,
    /// The share of them that is unsafe.
    pub unsafe_share: f64,
}

/// The bins of the calibration curve that hold rows, from the lowest score up: the [`ECE_BINS`]
/// bins of the calibration error.
pub fn calibration_bins(outcomes: &[Outcome]) -> Vec<Calibration> {
    let mut sums = [(0_usize, 0.0, 0_usize); ECE_BINS];
    for outcome in outcomes {
        let (rows, scores, positives) = &mut sums[bin(outcome.score)];
        *rows += 1;
        *scores += f64::from(outcome.score);
        *positives += usize::from(outcome.label);
    }
    let filled = sums.into_iter().filter(|(rows, ..)| *rows > 0);
    let mean = |(rows, scores, positives)| Calibration {
        rows,
        mean_score: scores / rows as f64,
        unsafe_share: positives as f64 / rows as f64,
    };
    filled.map(mean).collect()
}

/// The bin of the calibration error that a score falls into.
fn bin(score: f32) -> usize {
    ((f64::from(score) * ECE_BINS as f64) as usize).min(ECE_BINS - 1)
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// For every distinct score, from the highest down: how many rows of each class score at least
/// that.
struct Curve {
    points: Vec<Point>,
    positives: usize,
    negatives: usize,
}

#[derive(Clone, Copy)]
struct Point {
    true_pos: usize,
    false_pos: usize,
}

impl Curve {
    const START: Point = Point {
        true_pos: 0,
        false_pos: 0,
    };

    /// `None` unless both classes have rows.
    fn of(outcomes: &[Outcome]) -> Option<Self> {
        let mut sorted = outcomes.to_vec();
        sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut point = Self::START;
        let mut points = Vec::new();
        for tied in sorted.chunk_by(|a, b| a.score == b.score) {
            let unsafe_rows = tied.iter().filter(|o| o.label).count();
            point.true_pos += unsafe_rows;
            point.false_pos += tied.len() - unsafe_rows;
            points.push(point);
        }
        let (positives, negatives) = (point.true_pos, point.false_pos);
        (positives > 0 && negatives > 0).then_some(Self {
            points,
            positives,
            negatives,
        })
    }

    /// Neighbouring points of the curve, beginning at the one where nothing is flagged.
    fn steps(&self) -> impl Iterator<Item = (Point, Point)> {
        let before = std::iter::once(&Self::START).chain(&self.points);
        before.zip(&self.points).map(|(a, b)| (*a, *b))
    }

    fn auroc(&self) -> f64 {
        // The trapezoid over a tied group counts each tied pair one half.
        let twice_area = |(a, b): (Point, Point)| {
            (b.false_pos - a.false_pos) as f64 * (a.true_pos + b.true_pos) as f64
        };
        self.steps().map(twice_area).sum::<f64>()
            / (2.0 * self.positives as f64 * self.negatives as f64)
    }

    fn average_precision(&self) -> f64 {
        let gain = |(a, b): (Point, Point)| {
            let precision = b.true_pos as f64 / (b.true_pos + b.false_pos) as f64;
            (b.true_pos - a.true_pos) as f64 * precision
        };
        self.steps().map(gain).sum::<f64>() / self.positives as f64
    }

    fn recall_at(&self, fpr_percent: usize) -> f64 {
        let allowed = |p: &&Point| p.false_pos * 100 <= fpr_percent * self.negatives;
        let best = self.points.iter().filter(allowed).map(|p| p.true_pos).max();
        best.unwrap_or(0) as f64 / self.positives as f64
    }
}

fn calibration_error(outcomes: &[Outcome]) -> Option<f64> {
    // Per bin: sum of (score - label); its absolute value is rows times |mean score - share of
    // unsafe rows|.
    let mut gaps = [0.0; ECE_BINS];
    for outcome in outcomes {
        let score = f64::from(outcome.score);
        gaps[bin(outcome.score)] += score - f64::from(u8::from(outcome.label));
    }
    let total: f64 = gaps.iter().map(|gap| gap.abs()).sum();
    (!outcomes.is_empty()).then(|| total / outcomes.len() as f64)
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
