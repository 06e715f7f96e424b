//! What a door says to a case, in one form for both, and what a case expects of it.

use serde::Deserialize;

/// A verdict or a refusal.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    Found(Found),
    Refused { kind: String, message: String },
}

/// A verdict, its floats as bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub flagged: bool,
    /// The name of the category.
    pub category: Option<String>,
    pub score: u32,
    pub scores: Vec<u32>,
    pub tokens: u64,
    pub tokens_scored: u64,
    pub windows: u64,
    pub language: String,
    pub span: OneSide,
    pub partial: bool,
}

/// A span as C has it: in the prompt or in the response.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneSide {
    #[serde(rename = "in")]
    pub side: Side,
    pub begin: u64,
    pub end: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Prompt,
    Response,
}

/// What a case expects; what is absent is not compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    flagged: Option<bool>,
    category: Option<String>,
    tokens: Option<u64>,
    tokens_scored: Option<u64>,
    windows: Option<u64>,
    language: Option<String>,
    span: Option<OneSide>,
    partial: Option<bool>,
    /// The name of a case whose verdict this one's is, in everything but the language.
    as_case: Option<String>,
    /// The name of a case whose scores are others.
    unlike_case: Option<String>,
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    /// A status of the header without `DUOGUARD_`, such as `INVALID_ARGUMENT`.
    kind: String,
    /// What the message says, among other things.
    says: Vec<String>,
}

impl Expectation {
    /// What is not as expected; `of_case` finds the outcomes of other cases.
    pub fn differences<'a>(
        &self,
        outcome: &Outcome,
        of_case: &dyn Fn(&str) -> Option<&'a Outcome>,
    ) -> Vec<String> {
        match (outcome, &self.error) {
            (Outcome::Found(found), None) => self.in_verdict(found, of_case),
            (Outcome::Found(found), Some(refusal)) => {
                vec![format!("expected {}, found {found:?}", refusal.kind)]
            }
            (Outcome::Refused { kind, message }, None) => {
                vec![format!("expected a verdict, found {kind}: {message}")]
            }
            (Outcome::Refused { kind, message }, Some(refusal)) => {
                let absent = refusal
                    .says
                    .iter()
                    .filter(|words| !message.contains(&**words));
                let mut wrong: Vec<_> = absent
                    .map(|words| format!("expected {words:?} in: {message}"))
                    .collect();
                if *kind != refusal.kind {
                    wrong.push(format!(
                        "expected {}, found {kind}: {message}",
                        refusal.kind
                    ));
                }
                wrong
            }
        }
    }

    fn in_verdict<'a>(
        &self,
        found: &Found,
        of_case: &dyn Fn(&str) -> Option<&'a Outcome>,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        macro_rules! compare {
            ($($field:ident = $value:expr),*) => {
                $(if let Some(expected) = &self.$field && *expected != $value {
                    wrong.push(format!(
                        "{} is {:?}, expected {expected:?}", stringify!($field), $value
                    ));
                })*
            };
        }
        compare!(
            flagged = found.flagged,
            category = found.category.clone().unwrap_or_default(),
            tokens = found.tokens,
            tokens_scored = found.tokens_scored,
            windows = found.windows,
            language = found.language,
            span = found.span,
            partial = found.partial
        );
        let other = |name: &str| match of_case(name) {
            Some(Outcome::Found(found)) => found,
            _ => panic!("{name:?} is no case with a verdict for this door"),
        };
        if let Some(name) = &self.as_case {
            let other = other(name);
            let same = Found {
                language: found.language.clone(),
                ..other.clone()
            };
            if *found != same {
                wrong.push(format!(
                    "found {found:?}, expected what {name:?} has: {other:?}"
                ));
            }
        }
        if let Some(name) = &self.unlike_case
            && found.scores == other(name).scores
        {
            wrong.push(format!("the scores are those of {name:?}"));
        }
        wrong
    }
}
