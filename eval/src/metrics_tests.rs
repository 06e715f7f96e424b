use super::*;

/// Outcomes flagged above 0.5.
fn outcomes(labels: &[u8], scores: &[f32]) -> Vec<Outcome> {
    let outcome = |(&label, &score)| Outcome {
        score,
        flagged: score > 0.5,
        label: label == 1,
    };
    labels.iter().zip(scores).map(outcome).collect()
}

#[track_caller]
fn assert_close(found: Option<f64>, expected: f64) {
    let found = found.expect("defined");
    assert!(
        (found - expected).abs() < 1e-6,
        "found {found}, expected {expected}"
    );
}

/// The example of scikit-learn's documentation of `roc_auc_score` and `average_precision_score`.
#[test]
fn agrees_with_the_documented_example() {
    let m = Metrics::of(&outcomes(&[0, 0, 1, 1], &[0.1, 0.4, 0.35, 0.8]));
    assert_close(m.auroc, 0.75);
    assert_close(m.auprc, 0.833_333_333);
    assert_close(m.recall_at_1pct_fpr, 0.5);
    assert_close(m.recall_at_5pct_fpr, 0.5);
}

#[test]
fn a_tie_counts_one_half() {
    let m = Metrics::of(&outcomes(&[0, 1, 0, 1], &[0.2, 0.5, 0.5, 0.9]));
    // Pairs (unsafe, safe): 1 + 0.5 + 1 + 1 of 4.
    assert_close(m.auroc, 0.875);
    // 0.5 of recall at precision 1, then 0.5 at precision 2/3.
    assert_close(m.auprc, 0.833_333_333);
}

#[test]
fn equal_scores_rank_nothing() {
    let m = Metrics::of(&outcomes(&[1, 0, 0, 0, 1], &[0.3; 5]));
    assert_close(m.auroc, 0.5);
    assert_close(m.auprc, 0.4);
    assert_close(m.recall_at_5pct_fpr, 0.0);
}

#[test]
fn order_of_rows_does_not_matter() {
    let mut rows = outcomes(&[0, 1, 0, 1, 1], &[0.2, 0.5, 0.5, 0.9, 0.2]);
    let forward = Metrics::of(&rows);
    rows.reverse();
    let backward = Metrics::of(&rows);
    assert_eq!(forward.auroc, backward.auroc);
    assert_eq!(forward.auprc, backward.auprc);
    assert_close(forward.auroc, (0.5 + 0.0 + 1.0 + 0.5 + 2.0) / 6.0);
}

#[test]
fn judges_the_verdict_not_the_score() {
    // 3 true positives, 1 false positive, 2 false negatives, 4 true negatives; all with the same
    // score.
    let rows = |n, flagged, label| {
        let score = 0.7;
        std::iter::repeat_n(
            Outcome {
                score,
                flagged,
                label,
            },
            n,
        )
    };
    let all: Vec<_> = rows(3, true, true)
        .chain(rows(1, true, false))
        .chain(rows(2, false, true))
        .chain(rows(4, false, false))
        .collect();
    let m = Metrics::of(&all);
    assert_eq!((m.rows, m.positives), (10, 5));
    assert_close(m.precision, 0.75);
    assert_close(m.recall, 0.6);
    assert_close(m.f1, 2.0 / 3.0);
    assert_close(m.fpr, 0.2);
    assert_close(m.ece, 0.2);
}

#[test]
fn recall_at_a_false_positive_rate() {
    // 100 safe rows at 0.00, 0.01, ..., 0.99; the unsafe rows pass 0, 1, 3, 5 and 50 of them.
    let mut labels = vec![0; 100];
    let mut scores: Vec<f32> = (0..100u8).map(|i| f32::from(i) / 100.0).collect();
    labels.extend([1; 5]);
    scores.extend([0.995, 0.985, 0.965, 0.945, 0.495]);
    let m = Metrics::of(&outcomes(&labels, &scores));
    assert_close(m.recall_at_1pct_fpr, 0.4);
    assert_close(m.recall_at_5pct_fpr, 0.8);
    assert_close(m.auroc, (100.0 + 99.0 + 97.0 + 95.0 + 50.0) / 500.0);
}

#[test]
fn unsafe_rows_alone() {
    let m = Metrics::of(&outcomes(&[1, 1, 1, 1], &[0.1, 0.9, 0.9, 0.9]));
    assert_close(m.recall, 0.75);
    assert_close(m.precision, 1.0);
    assert_close(m.f1, 6.0 / 7.0);
    let undefined = [m.fpr, m.auroc, m.auprc, m.recall_at_1pct_fpr];
    assert_eq!(undefined, [None; 4]);
}

#[test]
fn safe_rows_alone() {
    let m = Metrics::of(&outcomes(&[0, 0], &[0.1, 0.2]));
    assert_eq!((m.f1, m.precision, m.recall), (None, None, None));
    assert_eq!((m.auroc, m.auprc), (None, None));
    assert_close(m.fpr, 0.0);
    assert_close(m.ece, 0.15);
}

#[test]
fn nothing_flagged_is_an_f1_of_zero() {
    let m = Metrics::of(&outcomes(&[0, 1], &[0.1, 0.2]));
    assert_close(m.f1, 0.0);
    assert_eq!(m.precision, None);
}

#[test]
fn no_rows() {
    let m = Metrics::of(&[]);
    assert_eq!((m.rows, m.f1, m.auroc, m.ece), (0, None, None, None));
}

#[test]
fn calibration_error_by_hand() {
    // Bins of 1/15: 0.10 in bin 1; 0.90 and 0.91 in bin 13; 1.0 in the last.
    let m = Metrics::of(&outcomes(&[0, 1, 0, 1], &[0.10, 0.90, 0.91, 1.0]));
    // Bin 1: |0.10 - 0|; bin 13: |1.81 - 1|; bin 14: |1 - 1|.
    assert_close(m.ece, (0.10 + 0.81) / 4.0);
}

/// Against the definitions, counted naively: every pair for AUROC, every threshold for the others.
#[test]
fn agrees_with_the_definitions_on_many_ties() {
    let mut state = 1_u32;
    let mut next = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    for _ in 0..50 {
        let labels: Vec<u8> = (0..200).map(|_| u8::from(next(3) == 0)).collect();
        let shifted = |label: &u8| (next(40) + 8 * u32::from(*label)) as f32 / 48.0;
        let scores: Vec<f32> = labels.iter().map(shifted).collect();
        let rows = outcomes(&labels, &scores);
        let (bad, good): (Vec<&Outcome>, Vec<&Outcome>) = rows.iter().partition(|o| o.label);
        let pair = |b: &Outcome, g: &Outcome| match b.score.total_cmp(&g.score) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        };
        let pairs = bad
            .iter()
            .flat_map(|b| good.iter().map(move |g| pair(b, g)));
        let m = Metrics::of(&rows);
        let wins: f64 = pairs.sum();
        assert_close(m.auroc, wins / (bad.len() * good.len()) as f64);

        let (mut precision_sum, mut best) = (0.0, 0.0_f64);
        let at_least = |rows: &[&Outcome], t| rows.iter().filter(|o| o.score >= t).count() as f64;
        let mut thresholds = scores.clone();
        thresholds.sort_by(|a, b| b.total_cmp(a));
        thresholds.dedup();
        let mut last_recall = 0.0;
        for &t in &thresholds {
            let (tp, fp) = (at_least(&bad, t), at_least(&good, t));
            let recall = tp / bad.len() as f64;
            precision_sum += (recall - last_recall) * tp / (tp + fp);
            last_recall = recall;
            if fp / good.len() as f64 <= 0.05 {
                best = best.max(recall);
            }
        }
        assert_close(m.auprc, precision_sum);
        assert_close(m.recall_at_5pct_fpr, best);
    }
}

/// The figures of the whole benchmarks, from their published sizes.
#[test]
fn flagging_everything() {
    for (rows, positives, percent) in [
        (450, 200, 61.5),
        (1680, 522, 47.4),
        (2853, 362, 22.5),
        (3021, 1733, 72.9),
        (2400, 2400, 100.0),
    ] {
        let f1 = flag_everything_f1(rows, positives).unwrap();
        assert!((f1 * 100.0 - percent).abs() < 0.05, "{rows}: {f1}");
    }
    assert_eq!(flag_everything_f1(5, 0), None);
}
