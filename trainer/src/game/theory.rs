//! What the theory of the game (arXiv 2502.05163, the section on the minimax game) says of a round.

#[cfg(test)]
mod tabular;
#[cfg(test)]
mod tests;

/// What the generator could gain over writing its proposals equally often, in nats a seed, if these
/// were all it can write: for each seed, `beta ln(mean of p^(-1/beta)) - mean of -ln p`, from the
/// surprisals `-ln p` of its proposals. `None` without any.
pub(crate) fn empirical_gain(surprisals: &[Vec<f64>], beta: f64) -> Option<f64> {
    let gain = |surprisals: &Vec<f64>| {
        let count = surprisals.len() as f64;
        // The largest is taken out, for exp() to stay finite at a small beta.
        let largest = surprisals.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = surprisals
            .iter()
            .map(|s| ((s - largest) / beta).exp())
            .sum();
        largest + beta * (sum / count).ln() - surprisals.iter().sum::<f64>() / count
    };
    let gains: Vec<f64> = surprisals
        .iter()
        .filter(|s| !s.is_empty())
        .map(gain)
        .collect();
    (!gains.is_empty()).then(|| gains.iter().sum::<f64>() / gains.len() as f64)
}
