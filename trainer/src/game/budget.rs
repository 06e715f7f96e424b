//! What a game may take, of time and of disk, over all starts of its run.
//!
//! A budget decides how many rounds are played, and never what one of them computes: a run that
//! goes on with a larger one ends with the same bytes as a run that had it from the start.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::distributed::ProcessGroup;
use crate::error::TrainError;
use crate::files::write_json;
use crate::recipe::GameRecipe;

/// What the starts of a run took so far; there where the recipe limits it.
const ELAPSED_FILE: &str = "elapsed.json";
/// Why the last start played fewer rounds than the recipe says; absent where it did not.
pub(crate) const ENDED_FILE: &str = "ended-early.json";
/// While a stage runs, its state holds moments and averages: three times its weights more than it
/// leaves.
const STATE_WEIGHTS: u64 = 3;
/// Bytes of what `game.most_megabytes` counts.
const MEGABYTE: f64 = 1e6;

/// Seconds that were computed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Elapsed {
    /// In all starts together, up to what was last finished.
    seconds: f64,
    /// In each round, from round 0.
    rounds: Vec<f64>,
}

/// Why a game ended before its last round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndedEarly {
    /// The last round that was played.
    pub after_round: usize,
    /// In words.
    pub reason: String,
}

/// The budget of a run, and what it has used of it.
pub(crate) struct Budget {
    run: PathBuf,
    most_minutes: Option<f64>,
    most_megabytes: Option<f64>,
    group: ProcessGroup,
    /// Since when time is not in `before`.
    since: Instant,
    /// What was computed before: in earlier starts, and in this one.
    before: Elapsed,
    /// The round that is under way since then; absent where what is done belongs to none.
    round: Option<usize>,
}

impl Budget {
    /// The budget that `recipe` gives the run in the folder `run`, which was started at `started`.
    ///
    /// # Errors
    /// A file of an earlier start that is damaged.
    pub(crate) fn open(
        run: &Path,
        recipe: &GameRecipe,
        group: &ProcessGroup,
        started: Instant,
    ) -> Result<Self, TrainError> {
        let path = run.join(ELAPSED_FILE);
        let before = match recipe.most_minutes.is_some() && path.exists() {
            true => {
                let bytes = fs::read(&path).map_err(|e| TrainError::io("read", &path, e))?;
                serde_json::from_slice(&bytes)
                    .map_err(|e| TrainError::invalid(&path, e.to_string()))?
            }
            false => Elapsed::default(),
        };
        Ok(Self {
            run: run.to_owned(),
            most_minutes: recipe.most_minutes,
            most_megabytes: recipe.most_megabytes,
            group: group.clone(),
            since: started,
            before,
            round: None,
        })
    }

    /// When the time is over; absent where it is not limited.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let left = self.most_minutes? * 60.0 - self.before.seconds;
        let left = Duration::try_from_secs_f64(left.max(0.0)).ok()?;
        self.since.checked_add(left)
    }

    /// What the run has taken so far.
    fn elapsed(&self) -> Elapsed {
        let mut elapsed = self.before.clone();
        let seconds = self.since.elapsed().as_secs_f64();
        elapsed.seconds += seconds;
        if let Some(round) = self.round {
            let rounds = elapsed.rounds.len().max(round + 1);
            elapsed.rounds.resize(rounds, 0.0);
            elapsed.rounds[round] += seconds;
        }
        elapsed
    }

    /// What is computed from now on is of `round`, or of none.
    ///
    /// # Errors
    /// A full disk.
    pub(crate) fn turn_to(&mut self, round: Option<usize>) -> Result<(), TrainError> {
        self.before = self.elapsed();
        self.since = Instant::now();
        self.round = round;
        self.keep()
    }

    /// Keeps what the run has taken so far, where time is limited.
    ///
    /// # Errors
    /// A full disk.
    pub(crate) fn keep(&self) -> Result<(), TrainError> {
        if self.most_minutes.is_none() || !self.group.is_first() {
            return Ok(());
        }
        let path = self.run.join(ELAPSED_FILE);
        let value = serde_json::to_value(self.elapsed());
        let value = value.map_err(|e| TrainError::invalid(&path, e.to_string()))?;
        write_json(&path, &value)
    }

    /// Refuses to go on with a round that has used up the budget, after a step of it that `done`
    /// names.
    ///
    /// # Errors
    /// A budget that is used up, in words; a folder that cannot be read.
    pub(crate) fn check(&self, done: &str) -> Result<(), TrainError> {
        self.keep()?;
        let over = match self.group.is_first() {
            true => self.used_up()?,
            false => None,
        };
        if !self.group.first_says(over.is_some()) {
            return Ok(());
        }
        let over = over.unwrap_or_else(|| "the budget is used up".to_owned());
        let run = self.run.display();
        let round = self
            .round
            .map_or(String::new(), |r| format!(" in round {r}"));
        Err(TrainError::Budget(format!(
            "{run}: {over},{round} after {done}"
        )))
    }

    fn used_up(&self) -> Result<Option<String>, TrainError> {
        if let Some(most) = self.most_minutes {
            let minutes = self.elapsed().seconds / 60.0;
            if minutes > most {
                return Ok(Some(format!(
                    "the run has taken {minutes:.1} minutes, more than game.most_minutes = {most}"
                )));
            }
        }
        if let Some(most) = self.most_megabytes {
            let megabytes = bytes_of(&self.run)? as f64 / MEGABYTE;
            if megabytes > most {
                return Ok(Some(format!(
                    "the run's folder holds {megabytes:.1} MB, more than game.most_megabytes = \
                     {most}"
                )));
            }
        }
        Ok(None)
    }

    /// Begins a round, or says why it would take more than is left: as long as the longest round so
    /// far, and as much disk as the largest. `generator_bytes` are the weights of a generator that
    /// learns here.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub(crate) fn begin(
        &mut self,
        round: usize,
        folders: &[PathBuf],
        generator_bytes: u64,
    ) -> Result<Option<EndedEarly>, TrainError> {
        self.turn_to(Some(round))?;
        let reason = match self.group.is_first() {
            true => self.forbids(round, folders, generator_bytes)?,
            false => None,
        };
        if !self.group.first_says(reason.is_some()) {
            return Ok(None);
        }
        Ok(Some(EndedEarly {
            after_round: round - 1,
            reason: reason.unwrap_or_default(),
        }))
    }

    fn forbids(
        &self,
        round: usize,
        folders: &[PathBuf],
        generator_bytes: u64,
    ) -> Result<Option<String>, TrainError> {
        if let Some(most) = self.most_minutes {
            let Elapsed { seconds, rounds } = self.elapsed();
            // A round that was stopped needs no more than what is left of it.
            let longest = rounds.iter().copied().fold(0.0, f64::max);
            let needed = (longest - rounds[round]).max(0.0) / 60.0;
            let minutes = seconds / 60.0;
            if minutes + needed > most {
                return Ok(Some(format!(
                    "the run has taken {minutes:.1} minutes, and round {round} would take about \
                     {needed:.1} more: game.most_minutes is {most}"
                )));
            }
        }
        if let Some(most) = self.most_megabytes {
            let mut largest = 0;
            for folder in &folders[..round] {
                let weights = size_of(&folder.join("classifier.weights"))?;
                let learned = if round == 1 { generator_bytes } else { 0 };
                let state = STATE_WEIGHTS * weights.max(generator_bytes);
                largest = largest.max(bytes_of(folder)? + learned + state);
            }
            let there = bytes_of(&folders[round])?.min(largest);
            let [held, needed] = [bytes_of(&self.run)?, largest - there];
            let [held, needed] = [held, needed].map(|bytes| bytes as f64 / MEGABYTE);
            if held + needed > most {
                return Ok(Some(format!(
                    "the run's folder holds {held:.1} MB, and round {round} would need about \
                     {needed:.1} more: game.most_megabytes is {most}"
                )));
            }
        }
        Ok(None)
    }

    /// Keeps why the game ended early, or that it did not.
    ///
    /// # Errors
    /// A full disk.
    pub(crate) fn end(&self, early: Option<&EndedEarly>) -> Result<(), TrainError> {
        self.keep()?;
        if !self.group.is_first() {
            return Ok(());
        }
        let path = self.run.join(ENDED_FILE);
        match early {
            Some(early) => {
                let value = serde_json::to_value(early);
                let value = value.map_err(|e| TrainError::invalid(&path, e.to_string()))?;
                write_json(&path, &value)
            }
            None if path.exists() => {
                fs::remove_file(&path).map_err(|e| TrainError::io("remove", &path, e))
            }
            None => Ok(()),
        }
    }
}

/// Bytes of a file; 0 where there is none.
fn size_of(path: &Path) -> Result<u64, TrainError> {
    match path.exists() {
        true => {
            let metadata = fs::metadata(path).map_err(|e| TrainError::io("read", path, e))?;
            Ok(metadata.len())
        }
        false => Ok(0),
    }
}

/// Bytes of all files in a folder and below; 0 where there is none.
fn bytes_of(folder: &Path) -> Result<u64, TrainError> {
    if !folder.exists() {
        return Ok(0);
    }
    let failed = |e| TrainError::io("read", folder, e);
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        bytes += match path.is_dir() {
            true => bytes_of(&path)?,
            false => size_of(&path)?,
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(run: &Path, most_minutes: Option<f64>, most_megabytes: Option<f64>) -> Budget {
        let text = include_str!("../../../recipes/demo.toml");
        let recipe = crate::recipe::Recipe::parse(Path::new("r"), text).unwrap();
        let recipe = GameRecipe {
            most_minutes,
            most_megabytes,
            ..recipe.game.unwrap()
        };
        Budget::open(run, &recipe, &ProcessGroup::alone(), Instant::now()).unwrap()
    }

    #[test]
    fn time_is_that_of_all_starts() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let folders = [0, 1, 2].map(|round| run.join(format!("round-{round}")));
        let elapsed = "{\"seconds\": 3000.0, \"rounds\": [600.0, 900.0]}";
        fs::write(run.join(ELAPSED_FILE), elapsed).unwrap();
        // 50 minutes, and as long as round 1 took.
        let early = budget(run, Some(64.0), None).begin(2, &folders, 0).unwrap();
        let early = early.unwrap();
        assert_eq!(early.after_round, 1);
        assert!(early.reason.contains("about 15.0 more"), "{early:?}");
        let mut enough = budget(run, Some(66.0), None);
        assert_eq!(enough.begin(2, &folders, 0).unwrap(), None);
        enough.check("nothing").unwrap();
        // What another start is told.
        let kept = budget(run, Some(66.0), None).before;
        assert_eq!(kept.rounds.len(), 3);
        assert!((3000.0..3060.0).contains(&kept.seconds), "{kept:?}");
        let mut over = budget(run, Some(49.0), None);
        over.turn_to(Some(0)).unwrap();
        assert!(over.deadline().unwrap() <= Instant::now());
        let error = over.check("its proposals").unwrap_err().to_string();
        let says = "more than game.most_minutes = 49, in round 0 after its proposals";
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn disk_is_what_the_folder_holds_and_a_round_needs() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        let folders = [0, 1].map(|round| run.join(format!("round-{round}")));
        fs::create_dir_all(folders[0].join("bundle")).unwrap();
        fs::write(folders[0].join("classifier.weights"), vec![0; 1_000_000]).unwrap();
        fs::write(folders[0].join("bundle/weights.data"), vec![0; 500_000]).unwrap();
        // 1.5 MB are there; a round is as large, with three times the weights while it learns.
        let begin = |most| budget(run, None, Some(most)).begin(1, &folders, 0).unwrap();
        assert_eq!(begin(6.1), None);
        let reason = begin(5.9).unwrap().reason;
        assert!(
            reason.contains("holds 1.5 MB") && reason.contains("about 4.5 more"),
            "{reason}"
        );
        // A generator of 2 MB leaves its weights too, and learns for itself.
        let begin = |most| {
            budget(run, None, Some(most))
                .begin(1, &folders, 2_000_000)
                .unwrap()
        };
        assert_eq!(begin(11.1), None);
        assert!(begin(10.9).is_some());
        let over = budget(run, None, Some(1.4))
            .check("its proposals")
            .unwrap_err();
        assert!(
            over.to_string()
                .contains("more than game.most_megabytes = 1.4")
        );
        // Nothing is written where time is not limited.
        assert!(!run.join(ELAPSED_FILE).exists());
    }

    #[test]
    fn a_game_that_goes_on_has_not_ended_early() {
        let folder = tempfile::tempdir().unwrap();
        let budget = budget(folder.path(), None, None);
        let early = EndedEarly {
            after_round: 1,
            reason: "the time".to_owned(),
        };
        let path = folder.path().join(ENDED_FILE);
        budget.end(Some(&early)).unwrap();
        let kept: EndedEarly = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(kept, early);
        budget.end(None).unwrap();
        assert!(!path.exists());
    }
}
