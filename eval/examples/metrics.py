"""Compares the metrics of `duoguard eval --json REPORT --scores SCORES` with scikit-learn's: metrics.py SCORES.jsonl REPORT.json"""

import json
import sys

import numpy as np
from sklearn import metrics

TOLERANCE = 1e-6


def defined(condition, value):
    return float(value()) if condition else None


def recall_at(label, score, percent):
    """The largest recall of a threshold whose false-positive rate is at most so many per cent."""
    safe = np.sum(label == 0)
    fpr, recall, _ = metrics.roc_curve(label, score, drop_intermediate=False)
    return recall[np.rint(fpr * safe) * 100 <= percent * safe].max()


def calibration_error(label, score, bins=15):
    """scikit-learn has none: this one is NumPy's."""
    place = np.minimum((score * bins).astype(int), bins - 1)
    inside = [place == b for b in np.unique(place)]
    return sum(rows.sum() * abs(score[rows].mean() - label[rows].mean()) for rows in inside) / len(score)


def expected(rows):
    label = np.array([row["label"] for row in rows])
    flagged = np.array([row["flagged"] for row in rows]).astype(int)
    score = np.array([row["score"] for row in rows], dtype=np.float32).astype(float)
    unsafe, safe = label.sum() > 0, label.sum() < len(label)
    both = unsafe and safe
    return {
        "f1": defined(unsafe or flagged.any(), lambda: metrics.f1_score(label, flagged)),
        "precision": defined(flagged.any(), lambda: metrics.precision_score(label, flagged)),
        "recall": defined(unsafe, lambda: metrics.recall_score(label, flagged)),
        "fpr": defined(safe, lambda: 1 - metrics.recall_score(label, flagged, pos_label=0)),
        "auroc": defined(both, lambda: metrics.roc_auc_score(label, score)),
        "auprc": defined(both, lambda: metrics.average_precision_score(label, score)),
        "recall_at_1pct_fpr": defined(both, lambda: recall_at(label, score, 1)),
        "recall_at_5pct_fpr": defined(both, lambda: recall_at(label, score, 5)),
        "ece": float(calibration_error(label, score)),
    }


def main(scores, report):
    groups = {}
    with open(scores) as lines:
        for row in map(json.loads, lines):
            groups.setdefault((row["benchmark"], row["language"]), []).append(row)
    with open(report) as file:
        results = json.load(file)["results"]
    compared, wrong, largest = 0, 0, 0.0
    for result in results:
        name = (result["benchmark"], result["language"])
        for metric, value in expected(groups.pop(name)).items():
            found = result[metric]
            same = (value is None) == (found is None)
            difference = abs(value - found) if same and value is not None else 0.0
            largest, compared = max(largest, difference), compared + 1
            if not same or difference > TOLERANCE:
                wrong += 1
                print(f"{name[0]} ({name[1]}), {metric}: {found}; scikit-learn has {value}")
    if groups:
        sys.exit(f"{report} has no result for {sorted(groups)}")
    print(f"{compared} metrics of {len(results)} sets, {wrong} differ by more than {TOLERANCE}; largest difference {largest:.1e}")
    sys.exit(1 if wrong or not compared else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
