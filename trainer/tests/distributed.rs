//! Several processes on one machine, started by `mpirun`: they train what one process trains, go on
//! where they were killed, and end together. `cargo xtask distributed` runs it.

mod program;
mod tiny;
mod tiny_encoder;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use program::finish;
use tiny::{RECIPE, contents, curve, lines, tiny_game, write_data};

/// How much two losses may differ that are computed by different numbers of processes.
const LOSS_TOLERANCE: f64 = 1e-5;
/// What a run may take to end when one of its processes dies.
const END: Duration = Duration::from_secs(30);

/// `duoguard-train` in `processes` processes, or by itself.
fn trainer(processes: usize, places: [&Path; 3], resume: bool) -> Command {
    let mut command = match processes {
        1 => program::trainer_at(places, resume),
        _ => {
            let mut command = Command::new("mpirun");
            let (count, path) = (processes.to_string(), env!("CARGO_BIN_EXE_duoguard-train"));
            command.args(["--oversubscribe", "-n", &count, path]);
            // A container has no other user.
            command.env("OMPI_ALLOW_RUN_AS_ROOT", "1");
            command.env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
            program::with_arguments(command, places, resume)
        }
    };
    command.args(["--threads", "1"]);
    command
}

/// The process of rank `rank` that `mpirun` started.
fn process_of_rank(mpirun: &Child, rank: usize) -> Option<u32> {
    let id = mpirun.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
    let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
    children.split_whitespace().find_map(|child| {
        let environment = fs::read(format!("/proc/{child}/environ")).ok()?;
        let mut variables = environment.split(|&byte| byte == 0);
        let is_rank = variables.any(|variable| variable == wanted.as_bytes());
        is_rank.then(|| child.parse().ok())?
    })
}

/// Waits until `metrics` has `steps` lines, and kills the process of rank 1. The whole run must end
/// in time, and say who died of what.
fn kill_rank_1(mut mpirun: Child, metrics: &Path, steps: usize) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while lines(metrics.to_owned()) < steps {
        assert!(Instant::now() < deadline, "no step {steps} was taken");
        assert!(mpirun.try_wait().unwrap().is_none(), "over too early");
        std::thread::sleep(Duration::from_millis(1));
    }
    let rank_1 = process_of_rank(&mpirun, 1).expect("rank 1 runs");
    let killed = Command::new("kill")
        .args(["-9", &rank_1.to_string()])
        .status();
    assert!(killed.unwrap().success());
    let started = Instant::now();
    let output = mpirun.wait_with_output().unwrap();
    assert!(started.elapsed() < END, "{:?}", started.elapsed());
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{shown}");
    for mention in ["rank 1", "signal 9 (Killed)"] {
        assert!(shown.contains(mention), "{mention:?} is not in {shown}");
    }
}

/// Trains `recipe`, which calls itself `name`, in one process, in two and in four, and compares the
/// losses of all steps.
fn losses_are_those_of_one_process(folder: &Path, recipe: &str, name: &str, steps: usize) {
    let path = folder.join("compared.toml");
    fs::write(&path, recipe).unwrap();
    let curves = [1, 2, 4].map(|processes| {
        let runs = folder.join(processes.to_string());
        let places = [path.as_path(), folder, runs.as_path()];
        finish(trainer(processes, places, false).spawn().unwrap());
        curve(&runs.join(name))
    });
    assert_eq!(curves[0].len(), steps);
    for (curve, processes) in curves[1..].iter().zip([2, 4]) {
        let mut largest = 0.0f64;
        for (one, several) in curves[0].iter().zip(curve) {
            assert_eq!((&one.0, one.1), (&several.0, several.1));
            let off = (one.2 - several.2).abs();
            assert!(off < LOSS_TOLERANCE, "{processes}: {one:?} {several:?}");
            largest = largest.max(off);
        }
        println!("{name}, {processes} processes: losses differ by at most {largest:.1e}");
    }
}

#[test]
fn two_and_four_processes_train_what_one_trains() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    let recipe = RECIPE
        .replace("steps = 12", "steps = 50")
        .replace("steps = 24", "steps = 50");
    losses_are_those_of_one_process(folder.path(), &recipe, "tiny", 100);
}

/// The stages of an encoder, 50 steps each: the linear probe, the classifier, the language head.
fn encoder_recipe(dropout: &str) -> String {
    let probe = "[classifier.linear_probe]\nsteps = 50\nlearning_rate = 5e-3\n\n\
                 [classifier.language_head]\n";
    tiny_encoder::RECIPE
        .replacen("[classifier.language_head]\n", probe, 1)
        .replacen("steps = 30", "steps = 50", 1)
        .replacen("steps = 80", "steps = 50", 1)
        .replacen("dropout = 0.1", dropout, 1)
}

#[test]
fn two_and_four_processes_tune_the_encoder_that_one_tunes() {
    let folder = tempfile::tempdir().unwrap();
    tiny_encoder::write_data(folder.path());
    // What is dropped depends on the rows that are computed together.
    let recipe = encoder_recipe("dropout = 0.0");
    losses_are_those_of_one_process(folder.path(), &recipe, "encoder", 150);
}

/// Runs `recipe` in two processes to its end, and again with rank 1 killed at each of `kills`: a
/// metrics file, and how many lines it has. Both must leave the same files, which are given.
fn whole_and_killed(
    [recipe, data, runs]: [&Path; 3],
    name: &str,
    kills: &[(&str, usize)],
) -> BTreeMap<PathBuf, Vec<u8>> {
    let [whole, killed] = ["whole", "killed"].map(|run| runs.join(run));
    let start = |runs: &Path, resume| trainer(2, [recipe, data, runs], resume).spawn().unwrap();
    finish(start(&whole, false));
    for (attempt, (metrics, steps)) in kills.iter().enumerate() {
        let run = start(&killed, attempt > 0);
        kill_rank_1(run, &killed.join(name).join(metrics), *steps);
    }
    finish(start(&killed, true));
    let [whole, killed] = [whole, killed].map(|runs| contents(&runs.join(name)));
    assert_eq!(Vec::from_iter(whole.keys()), Vec::from_iter(killed.keys()));
    for (name, bytes) in &whole {
        assert!(*bytes == killed[name], "{} differs", name.display());
    }
    whole
}

#[test]
fn an_encoder_of_two_processes_killed_in_one_ends_as_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    tiny_encoder::write_data(folder);
    let recipe = folder.join("encoder.toml");
    fs::write(&recipe, encoder_recipe("dropout = 0.1")).unwrap();
    // In the linear probe, in the classifier and in the language head.
    let kills = [8, 68, 128].map(|steps| ("metrics.jsonl", steps));
    let files = whole_and_killed([&recipe, folder, folder], "encoder", &kills);
    assert!(files.contains_key(Path::new("bundle/manifest.json")));
}

#[test]
fn a_game_of_two_processes_killed_in_one_ends_as_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let recipe = folder.path().join("game.toml");
    fs::write(&recipe, tiny_game()).unwrap();
    let sources = folder.path().join("sources.toml");
    fs::copy(recipes.join("sources.toml"), sources).unwrap();
    // In stage 0, in the generator's stage, and in the second round's classifier.
    let kills = [
        ("metrics.jsonl", 8),
        ("metrics.jsonl", 45),
        ("round-2/metrics.jsonl", 3),
    ];
    let files = whole_and_killed([&recipe, &recipes, folder.path()], "demo", &kills);
    assert!(files.contains_key(Path::new("round-2/summary.json")));
}

#[test]
fn an_error_of_one_process_ends_all() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    let run = folder.path().join("runs/tiny");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("recipe.toml"), RECIPE).unwrap();
    let recipe = folder.path().join("tiny.toml");
    let runs = folder.path().join("runs");
    let places = [recipe.as_path(), folder.path(), runs.as_path()];
    let started = Instant::now();
    let output = trainer(2, places, false).output().unwrap();
    assert!(started.elapsed() < END);
    assert_eq!(output.status.code(), Some(2));
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(
        shown.contains("error: rank 0 of 2: ") && shown.contains("--resume"),
        "{shown}"
    );
}
