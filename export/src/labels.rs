//! The labels of a classifier: their names, and whether they exclude each other.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fields::Fields;

/// Names that stand for harmless text, in lower case and without what is no letter.
const SAFE_NAMES: [&str; 16] = [
    "safe",
    "benign",
    "harmless",
    "unharmful",
    "neutral",
    "normal",
    "clean",
    "ok",
    "acceptable",
    "nontoxic",
    "nottoxic",
    "nonhate",
    "nothate",
    "notoffensive",
    "nonoffensive",
    "notharmful",
];

/// The names in `id2label`, in order; empty when the file has none.
pub(crate) fn labels(fields: &Fields<'_>) -> Result<Vec<String>, String> {
    let table = match fields.0.get("id2label") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(table)) => table,
        Some(value) => return Err(format!("id2label is {value}; expected an object")),
    };
    let mut names = BTreeMap::new();
    for (id, name) in table {
        let (Ok(id), Some(name)) = (id.parse::<usize>(), name.as_str()) else {
            return Err(format!(
                "id2label: {id:?} is {name}; expected a number and a name"
            ));
        };
        names.insert(id, name.to_owned());
    }
    if names.len() != table.len() || !names.keys().copied().eq(0..names.len()) {
        return Err(format!(
            "id2label has the ids {:?}; expected every number from 0 once",
            names.keys()
        ));
    }
    Ok(names.into_values().collect())
}

/// The label that stands for harmless text, if labels exclude each other; `None` where each has a
/// probability of its own.
///
/// `problem_type` says which of the two it is. Without it, labels exclude each other if one of them
/// stands for harmless text, as `transformers` takes them then, and else each has its own. `given`
/// is the name that the caller says is the safe one's.
pub(crate) fn safe_label(
    fields: &Fields<'_>,
    labels: &[String],
    given: Option<&str>,
) -> Result<Option<usize>, String> {
    let is_safe = |name: &String| {
        let letters = name.chars().filter(|c| c.is_alphabetic());
        let plain: String = letters.flat_map(char::to_lowercase).collect();
        given.map_or(SAFE_NAMES.contains(&plain.as_str()), |given| name == given)
    };
    let found: Vec<usize> = (0..labels.len()).filter(|i| is_safe(&labels[*i])).collect();
    match fields.given("problem_type").map(Value::as_str) {
        None if found.is_empty() && given.is_none() => return Ok(None),
        Some(Some("multi_label_classification")) => {
            return match found.first() {
                Some(safe) => Err(format!(
                    "problem_type is \"multi_label_classification\", where each label has a probability of its own, but id2label has {:?}, which stands for harmless text; expected labels for unsafe text alone, or \"single_label_classification\"",
                    labels[*safe]
                )),
                None if given.is_some() => Err(format!(
                    "the safe label is {:?}; id2label has the names {labels:?}",
                    given.unwrap_or_default()
                )),
                None => Ok(None),
            };
        }
        None | Some(Some("single_label_classification")) => {}
        _ => {
            return Err(format!(
                "problem_type is {}; only \"multi_label_classification\" and \"single_label_classification\" are supported",
                fields.given("problem_type").unwrap_or(&Value::Null)
            ));
        }
    }
    match found[..] {
        [safe] if labels.len() > 1 => Ok(Some(safe)),
        _ => Err(format!(
            "labels exclude each other (problem_type) and id2label has the names {labels:?}; expected two or more, of which one stands for harmless text: name it with --safe-label"
        )),
    }
}

/// Logits of labels that exclude each other, as those of labels that each have a probability of
/// their own, without the safe label: log(p / (1 - p)), where p is the label's share of the
/// softmax.
pub(crate) fn odds(logits: &[f32], safe: usize) -> Vec<f32> {
    let of = |label: usize| {
        let others = || (0..logits.len()).filter(move |other| *other != label);
        let largest = others()
            .map(|other| logits[other])
            .fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = others()
            .map(|other| f64::from(logits[other] - largest).exp())
            .sum();
        (f64::from(logits[label]) - f64::from(largest) - sum.ln()) as f32
    };
    (0..logits.len())
        .filter(|label| *label != safe)
        .map(of)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn safe(table: Value) -> Result<Option<usize>, String> {
        let table = table.as_object().unwrap();
        let fields = Fields(table);
        safe_label(&fields, &labels(&fields)?, None)
    }

    #[test]
    fn the_safe_label_is_found_by_its_name_or_refused() {
        let single = "single_label_classification";
        let found = |names: Value| safe(json!({ "problem_type": single, "id2label": names }));
        assert_eq!(found(json!({ "0": "SAFE", "1": "UNSAFE" })), Ok(Some(0)));
        assert_eq!(found(json!({ "0": "hate", "1": "non-hate" })), Ok(Some(1)));
        assert!(found(json!({ "0": "LABEL_0", "1": "LABEL_1" })).is_err());
        assert!(found(json!({ "0": "safe", "1": "neutral" })).is_err());
        assert!(found(json!({ "0": "safe" })).is_err());
        let unnamed = json!({ "id2label": { "0": "BENIGN", "1": "MALICIOUS" } });
        assert_eq!(safe(unnamed), Ok(Some(0)));
        let several = "multi_label_classification";
        let error = safe(json!({ "problem_type": several, "id2label": { "0": "safe", "1": "x" } }));
        assert!(error.unwrap_err().contains("harmless text"));
        let table = json!({ "problem_type": single, "id2label": { "0": "LABEL_0", "1": "b" } });
        let fields = Fields(table.as_object().unwrap());
        let given = |name| safe_label(&fields, &labels(&fields).unwrap(), Some(name));
        assert_eq!(given("LABEL_0"), Ok(Some(0)));
        assert!(given("c").unwrap_err().contains("--safe-label"));
        assert_eq!(
            safe(json!({ "problem_type": "multi_label_classification" })),
            Ok(None)
        );
        assert!(
            safe(json!({ "problem_type": "regression" }))
                .unwrap_err()
                .contains("regression")
        );
    }

    #[test]
    fn odds_give_the_probabilities_of_the_softmax() {
        let logits = [1.0_f32, -2.0, 0.5];
        let total: f32 = logits.iter().map(|x| x.exp()).sum();
        for (logit, label) in odds(&logits, 1).into_iter().zip([0, 2]) {
            let p = 1.0 / (1.0 + (-logit).exp());
            assert!((p - logits[label].exp() / total).abs() < 1e-6);
        }
        assert_eq!(odds(&[3.0, 5.0], 0), [2.0]);
    }
}
