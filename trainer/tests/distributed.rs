//! Several processes on one machine, started by `mpirun`: they train what one process trains, go on
//! where they were killed, and end together. `cargo xtask distributed` runs it.

mod tiny;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tiny::{RECIPE, contents, curve, finish, lines, tiny_game, write_data};

/// How much two losses may differ that are computed by different numbers of processes.
const LOSS_TOLERANCE: f64 = 1e-5;
/// What a run may take to end when one of its processes dies.
const END: Duration = Duration::from_secs(30);

/// `duoguard-train` in `processes` processes, or by itself.
fn trainer(processes: usize, [recipe, data, runs]: [&Path; 3], resume: bool) -> Command {
    let program = env!("CARGO_BIN_EXE_duoguard-train");
    let mut command = match processes {
        1 => Command::new(program),
        _ => {
            let mut command = Command::new("mpirun");
            let count = processes.to_string();
            command.args(["--oversubscribe", "-n", &count, program]);
            // A container has no other user.
            command.env("OMPI_ALLOW_RUN_AS_ROOT", "1");
            command.env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
            command
        }
    };
    command.arg(recipe).arg("--data").arg(data);
    command.arg("--runs").arg(runs).args(["--threads", "1"]);
    command.args(resume.then_some("--resume"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
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

#[test]
fn two_and_four_processes_train_what_one_trains() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    let recipe = folder.path().join("fifty.toml");
    let text = RECIPE
        .replace("steps = 12", "steps = 50")
        .replace("steps = 24", "steps = 50");
    fs::write(&recipe, text).unwrap();
    let curves = [1, 2, 4].map(|processes| {
        let runs = folder.path().join(processes.to_string());
        let places = [recipe.as_path(), folder.path(), runs.as_path()];
        finish(trainer(processes, places, false).spawn().unwrap());
        curve(&runs.join("tiny"))
    });
    assert_eq!(curves[0].len(), 100);
    for (curve, processes) in curves[1..].iter().zip([2, 4]) {
        let mut largest = 0.0f64;
        for (one, several) in curves[0].iter().zip(curve) {
            assert_eq!((&one.0, one.1), (&several.0, several.1));
            let off = (one.2 - several.2).abs();
            assert!(off < LOSS_TOLERANCE, "{processes}: {one:?} {several:?}");
            largest = largest.max(off);
        }
        println!("{processes} processes: losses differ by at most {largest:.1e}");
    }
}

#[test]
fn a_game_of_two_processes_killed_in_one_ends_as_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let recipe = folder.path().join("game.toml");
    fs::write(&recipe, tiny_game()).unwrap();
    let sources = folder.path().join("sources.toml");
    fs::copy(recipes.join("sources.toml"), sources).unwrap();
    let [whole, killed] = ["whole", "killed"].map(|runs| folder.path().join(runs));
    let start = |runs: &Path, resume| {
        let places = [recipe.as_path(), recipes.as_path(), runs];
        trainer(2, places, resume).spawn().unwrap()
    };
    finish(start(&whole, false));
    // In stage 0, in the generator's stage, and in the second round's classifier.
    let places = [
        ("metrics.jsonl", 8),
        ("metrics.jsonl", 45),
        ("round-2/metrics.jsonl", 3),
    ];
    for (attempt, (metrics, steps)) in places.into_iter().enumerate() {
        let run = start(&killed, attempt > 0);
        kill_rank_1(run, &killed.join("demo").join(metrics), steps);
    }
    finish(start(&killed, true));
    let [whole, killed] = [whole, killed].map(|runs| contents(&runs.join("demo")));
    assert!(whole.contains_key(Path::new("round-2/summary.json")));
    assert_eq!(Vec::from_iter(whole.keys()), Vec::from_iter(killed.keys()));
    for (name, bytes) in &whole {
        assert!(*bytes == killed[name], "{} differs", name.display());
    }
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
