//! Ranges that values of a recipe must be in.

/// A dotted key, whether its value is possible, and what is expected.
pub(super) type Check = (String, bool, &'static str);

/// The checks of the table `table`, whose keys are given without it.
pub(super) fn of_table<const N: usize>(
    table: &str,
    checks: [(&str, bool, &'static str); N],
) -> Vec<Check> {
    checks
        .into_iter()
        .map(|(key, holds, expected)| (format!("{table}.{key}"), holds, expected))
        .collect()
}

/// In [0, 1].
pub(super) fn share(x: f64) -> bool {
    (0.0..=1.0).contains(&x)
}

/// In [0, 1).
pub(super) fn below_one(x: f64) -> bool {
    (0.0..1.0).contains(&x)
}

/// Above 0, and finite.
pub(super) fn positive(x: f64) -> bool {
    x.is_finite() && x > 0.0
}
