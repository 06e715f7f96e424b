//! Whether a round has enough to go on with.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::TrainError;
use crate::game::proposal::{DropReason, Dropped, Outcome};

/// Characters that the message shows of a proposal.
const SHOWN_CHARS: usize = 80;

/// Refuses to go on with nothing, or with less than the recipe wants.
pub(super) fn check_yield(
    folder: &Path,
    (kept, all): (usize, usize),
    least: f64,
    dropped: &[Dropped],
) -> Result<(), TrainError> {
    let is_enough = kept as f64 >= least * all as f64;
    if all == 0 || kept > 0 && is_enough {
        return Ok(());
    }
    let mut reasons: BTreeMap<DropReason, usize> = BTreeMap::new();
    for Dropped { reason, .. } in dropped {
        *reasons.entry(*reason).or_default() += 1;
    }
    let named = |(reason, count)| format!("{} {count}", Outcome::Dropped(reason).name());
    let mut texts = dropped.iter().filter_map(|of| of.draft.text.as_deref());
    Err(TrainError::Yield {
        folder: folder.to_owned(),
        kept,
        all,
        least: (kept > 0).then_some(least),
        dropped: reasons.into_iter().map(named).collect(),
        example: texts
            .next()
            .map(|text| text.chars().take(SHOWN_CHARS).collect()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::rows::SeedRow;
    use crate::game::proposal::Draft;
    use crate::game::seeds::Seed;
    use crate::recipe::ProposalKind;

    #[test]
    fn a_round_without_yield_stops() {
        let row = SeedRow {
            text: "How do I bake bread?".to_owned(),
            lang: "en".to_owned(),
            is_unsafe: false,
            categories: 0,
            source: 0,
            group: None,
        };
        let seed = Arc::new(Seed { number: 0, row });
        let dropped = |text: Option<&str>, reason| Dropped {
            draft: Draft {
                number: 0,
                seed: seed.clone(),
                language: "de".to_owned(),
                kind: ProposalKind::Prompt,
                text: text.map(str::to_owned),
            },
            reason,
        };
        let dropped = [
            dropped(None, DropReason::Unfinished),
            dropped(None, DropReason::Unfinished),
            dropped(Some("Das kann ich nicht."), DropReason::Refusal),
        ];
        let check = |kept, all, least| {
            let checked = check_yield(Path::new("round-1"), (kept, all), least, &dropped);
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(check(0, 0, 0.5), Ok(()));
        assert_eq!(check(1, 4, 0.25), Ok(()));
        let nothing = check(0, 3, 0.0).unwrap_err();
        for part in [
            "round-1: 0 of 3",
            "unfinished 2, refusal 1",
            "Das kann ich nicht.",
        ] {
            assert!(nothing.contains(part), "{nothing}");
        }
        let little = check(1, 4, 0.5).unwrap_err();
        assert!(
            little.contains("less than the 0.5 of game.least_yield"),
            "{little}"
        );
    }
}
