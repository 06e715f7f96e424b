//! What somebody's log-odds are worth: logistic regression of labels on them.

/// Newton steps; a handful is enough.
const STEPS: usize = 25;
/// Weight of the prior that the log-odds say nothing, in rows.
const PRIOR: f64 = 1.0;
/// A probability is never nearer to 0 or 1.
const LEAST: f64 = 1e-6;

/// The log-odds of a probability.
pub(super) fn log_odds(probability: f32) -> f64 {
    let probability = f64::from(probability).clamp(LEAST, 1.0 - LEAST);
    (probability / (1.0 - probability)).ln()
}

/// The probability of log-odds.
pub(super) fn probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

/// How log-odds are read: times `scale`, plus `offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    scale: f64,
    offset: f64,
}

impl Reading {
    /// Log-odds are believed.
    pub(super) const AS_IT_IS: Self = Self {
        scale: 1.0,
        offset: 0.0,
    };

    /// The likeliest reading of labelled log-odds: logistic regression with a little weight decay.
    /// Who knows less than nothing is not listened to: the scale is at least 0.
    pub(super) fn fit(rows: &[(f64, bool)]) -> Self {
        let count = rows.len().max(1) as f64;
        let mean = rows.iter().map(|(x, _)| x).sum::<f64>() / count;
        let squares = rows.iter().map(|(x, _)| (x - mean).powi(2));
        let spread = (squares.sum::<f64>() / count).sqrt().max(1e-9);
        let (mut slope, mut level) = (0.0, 0.0);
        for _ in 0..STEPS {
            // Gradient and Hessian, of which the prior is a part.
            let mut gradient = [PRIOR * slope, PRIOR * level];
            let mut hessian = [PRIOR, 0.0, PRIOR];
            for (x, label) in rows {
                let x = (x - mean) / spread;
                let p = probability(slope * x + level);
                let (error, weight) = (p - f64::from(u8::from(*label)), p * (1.0 - p));
                gradient[0] += error * x;
                gradient[1] += error;
                hessian[0] += weight * x * x;
                hessian[1] += weight * x;
                hessian[2] += weight;
            }
            let [a, b, c] = hessian;
            let determinant = a * c - b * b;
            slope -= (c * gradient[0] - b * gradient[1]) / determinant;
            level -= (a * gradient[1] - b * gradient[0]) / determinant;
        }
        let scale = slope.max(0.0) / spread;
        Self {
            scale,
            offset: level - scale * mean,
        }
    }

    /// What `log_odds` come to.
    pub(super) fn of(self, log_odds: f64) -> f64 {
        self.scale * log_odds + self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_voter_is_read_right_and_a_useless_one_says_nothing() {
        // One who is sure of everything that it is unsafe, and a little less so of what is safe.
        let shifted: Vec<(f64, bool)> = (0..60)
            .map(|i| (9.0 + f64::from(i % 10) / 10.0, i % 10 >= 5))
            .collect();
        let reading = Reading::fit(&shifted);
        assert!(probability(reading.of(9.0)) < 0.2);
        assert!(probability(reading.of(9.9)) > 0.8);
        let contrary: Vec<(f64, bool)> = shifted.iter().map(|(x, l)| (-x, *l)).collect();
        let reading = Reading::fit(&contrary);
        assert_eq!(reading.of(-20.0), reading.of(20.0));
        assert!((probability(reading.of(0.0)) - 0.5).abs() < 1e-6);
        // Nothing to go by.
        assert!((probability(Reading::fit(&[]).of(3.0)) - 0.5).abs() < 1e-9);
        assert!((log_odds(0.5)).abs() < 1e-6 && log_odds(1.0).is_finite());
    }
}
