//! How many threads libtorch computes with, and what a run keeps of it.
//!
//! The same run gives the same bytes on the same machine with the same number of threads. So the
//! number is chosen once, when the run begins, and stands in its folder.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::Device;

use crate::diagnostics::say;
use crate::distributed::ProcessGroup;
use crate::error::TrainError;
use crate::files::{json_lines, write_atomically};
use crate::recipe::{Recipe, Start};

/// Multiplications of a layer's largest product that are worth a thread. Below, threads wait for
/// each other longer than they compute, most of all where other programs need the processor too.
const PRODUCT_PER_THREAD: usize = 1 << 25;

/// What the numbers of a run depend on besides its recipe: a line of `compute.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Computed {
    /// `cpu` or `cuda`.
    device: String,
    /// Threads of each process.
    threads: usize,
    /// Processes that train together.
    processes: usize,
}

/// Sets the number of threads: the one that is asked for, that of the run so far, or one that suits
/// the recipe. The first process keeps it in `compute.jsonl`, a line for every change.
///
/// # Errors
/// A file that is damaged, or cannot be written.
pub(crate) fn set_threads(
    run: &Path,
    recipe: &Recipe,
    (device, group): (&Device, &ProcessGroup),
    asked: Option<usize>,
) -> Result<(), TrainError> {
    let path = run.join("compute.jsonl");
    let mut lines = read(&path)?;
    group.wait();
    let so_far = lines.last().map(|line| line.threads);
    let threads = asked.or(so_far);
    let threads = threads.unwrap_or_else(|| suitable(recipe, available(group.local_size())));
    tch::set_num_threads(threads as i32);
    let now = Computed {
        device: match device {
            Device::Cpu => "cpu",
            _ => "cuda",
        }
        .to_owned(),
        threads,
        processes: group.size(),
    };
    if !group.is_first() || lines.last() == Some(&now) {
        return Ok(());
    }
    if let Some(last) = lines.last() {
        say(format_args!(
            "{}: the run goes on with {now:?} after {last:?}; from here on its last digits differ \
             from those of a run that was not stopped",
            path.display()
        ));
    }
    lines.push(now);
    write_atomically(&path, &json_lines(&path, &lines)?)
}

fn read(path: &Path) -> Result<Vec<Computed>, TrainError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).map_err(|e| TrainError::io("read", path, e))?;
    let line = |(index, line)| {
        serde_json::from_str(line)
            .map_err(|e| TrainError::invalid(path, format!("line {}: {e}", index + 1)))
    };
    text.lines().enumerate().map(line).collect()
}

/// As many threads as the largest product of a layer is large enough for, of at most `available`.
fn suitable(recipe: &Recipe, available: usize) -> usize {
    let Start::Scratch {
        model, pretrain, ..
    } = &recipe.start
    else {
        // Nobody trains a base that is small.
        return available;
    };
    let tokens = pretrain.batch_tokens.max(recipe.classifier.batch_tokens);
    let product = tokens * model.hidden * model.intermediate;
    (product / PRODUCT_PER_THREAD).clamp(1, available)
}

/// Threads that this process may have: all that libtorch would take, or where processes share a
/// machine and `mpirun` has not bound them to processors, a fair part.
fn available(local_size: usize) -> usize {
    let may = usize::try_from(tch::get_num_threads()).map_or(1, |n| n.max(1));
    let all = std::thread::available_parallelism().map_or(1, |n| n.get());
    match online_processors() {
        Some(online) if all < online => may,
        _ => may.min((all / local_size).max(1)),
    }
}

/// Processors of the machine, whether or not this process is bound to some of them.
fn online_processors() -> Option<usize> {
    let text = fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let last = text.trim().rsplit(['-', ',']).next()?;
    Some(last.parse::<usize>().ok()? + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_networks_get_one_thread_and_large_ones_all() {
        let threads = |text: &str| {
            let recipe = Recipe::parse(Path::new("r.toml"), text).unwrap();
            [1, 2, 16, 64].map(|available| suitable(&recipe, available))
        };
        let mini = include_str!("../../recipes/mini-linear.toml");
        let small = mini.replace("hidden = 192", "hidden = 64");
        let small = small.replace("intermediate = 512", "intermediate = 128");
        assert_eq!(threads(&small), [1, 1, 1, 1]);
        let [one, two, ..] = threads(mini);
        assert_eq!([one, two], [1, 2]);
        let paper = include_str!("../../recipes/duoguard-0.5b.toml");
        assert_eq!(threads(paper), [1, 2, 16, 64]);
    }
}
