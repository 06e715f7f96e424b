//! Whether a guard flags harmless texts that are unlike sentences, by kind.

use duoguard::{CheckOptions, Input, Session};
use serde::Serialize;

use crate::error::{EvalError, Result};
use crate::harmless::{HarmlessKind, HarmlessText, HarmlessTexts, Part};

/// The seed of the harmless texts that are made up, and how many there are of each kind at most.
const SHORT_SEED: u64 = 20_261_128;
const SHORT_TEXTS: usize = 200;
/// How many flagged ones are shown of each kind.
const SHORT_EXAMPLES: usize = 5;

/// How made-up harmless texts of one kind do: numbers, identifiers, single words, wrapped prompts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShortRate {
    /// The kind.
    pub kind: &'static str,
    /// Texts.
    pub texts: usize,
    /// Those that are flagged.
    pub flagged: usize,
    /// Those of them that are not flagged as they are literally written: an undone disguise flags
    /// them, which is not there.
    pub flagged_by_undoing: usize,
    /// Those in which something was undone.
    pub changed: usize,
    /// The first few that are flagged.
    pub examples: Vec<String>,
}

/// Checks at most `limit` harmless texts of one kind, none of which a recipe can have trained on.
pub(crate) fn short_rate(
    session: &mut Session,
    kind: HarmlessKind,
    limit: usize,
) -> Result<ShortRate> {
    let count = limit.min(SHORT_TEXTS);
    let texts = HarmlessTexts::of_kinds([kind], Part::Measuring, SHORT_SEED).take(count);
    let mut rate = ShortRate {
        kind: kind.name(),
        texts: count,
        flagged: 0,
        flagged_by_undoing: 0,
        changed: 0,
        examples: Vec::new(),
    };
    let literal = CheckOptions {
        normalize: false,
        ..CheckOptions::default()
    };
    for (number, HarmlessText { text, .. }) in texts.enumerate() {
        let failed = |cause| EvalError::guard((kind.name(), "harmless"), number, cause);
        let input = Input::prompt(&text);
        let verdict = session.check(&input).map_err(failed)?;
        rate.changed += usize::from(verdict.changes_total > 0);
        if !verdict.flagged {
            continue;
        }
        rate.flagged += 1;
        let is_literal = verdict.changes_total == 0
            || session
                .check_with(&input, &literal)
                .map_err(failed)?
                .flagged;
        rate.flagged_by_undoing += usize::from(!is_literal);
        if rate.examples.len() < SHORT_EXAMPLES {
            rate.examples.push(text);
        }
    }
    Ok(rate)
}
