//! Early stop: a stage ends when sources that are held out whole have not gained for a while, and
//! leaves the weights with which they did best.

use std::collections::BTreeMap;

use tch::Tensor;

use crate::error::TrainError;

/// The AUROC that decides: of all rows whose whole source is held out.
const WATCHED: &str = "unseen-all";

/// The best weights of a stage so far.
pub(crate) struct Best {
    /// Their AUROC on the sources held out, in [0, 1].
    pub auroc: f64,
    /// Laid out as the stage's weights.
    pub weights: Tensor,
    /// Validations since then, none of which was better.
    pub waited: usize,
}

impl Best {
    /// Takes note of a validation of `weights`.
    ///
    /// # Errors
    /// No AUROC on sources held out.
    pub(super) fn note(
        best: &mut Option<Self>,
        validation: Option<&BTreeMap<String, f64>>,
        weights: &Tensor,
    ) -> Result<(), TrainError> {
        let auroc = validation.and_then(|v| v.get(WATCHED)).copied();
        let auroc = auroc.ok_or(TrainError::Patience)?;
        match best {
            Some(best) if auroc <= best.auroc => best.waited += 1,
            _ => {
                *best = Some(Self {
                    auroc,
                    weights: weights.copy(),
                    waited: 0,
                });
            }
        }
        Ok(())
    }

    /// Whether a stage of this patience is to end; one of none never does.
    pub(super) fn is_over(best: Option<&Self>, patience: usize) -> bool {
        patience > 0 && best.is_some_and(|best| best.waited >= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_weights_are_kept_until_patience_is_over() {
        let mut best = None;
        let mut note = |step: i64, auroc: f64| {
            let weights = Tensor::from_slice(&[step]);
            let validation = BTreeMap::from([(WATCHED.to_owned(), auroc)]);
            Best::note(&mut best, Some(&validation), &weights).unwrap();
            let kept = best.as_ref().unwrap();
            let is_over = Best::is_over(Some(kept), 2);
            (kept.weights.int64_value(&[0]), kept.waited, is_over)
        };
        assert_eq!(note(1, 0.6), (1, 0, false));
        assert_eq!(note(2, 0.5), (1, 1, false));
        assert_eq!(note(3, 0.7), (3, 0, false));
        // No better is no gain.
        assert_eq!(note(4, 0.7), (3, 1, false));
        assert_eq!(note(5, 0.6), (3, 2, true));
        assert!(!Best::is_over(best.as_ref(), 0));
        let seen = BTreeMap::from([("all".to_owned(), 0.9)]);
        let error = Best::note(&mut best, Some(&seen), &Tensor::from_slice(&[0i64]));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("data.held_out_sources"), "{error}");
    }
}
