//! A student of another guard: its run survives being killed while it asks and while it learns, and
//! answers that are not of this run are refused.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use duoguard::{Model, SessionOptions};

use crate::program::{finish, trainer};
use crate::tiny::{RECIPE, contents, lines, write_data};

/// The student of the tiny recipe's model: of fewer steps, without the linear teacher, and with a
/// language head. It learns the teacher's state too, and its rows are rounded.
fn student() -> String {
    let start = RECIPE.find("[classifier.teacher]").unwrap();
    let recipe = RECIPE[..start].replacen("name = \"tiny\"", "name = \"student\"", 1);
    let recipe = recipe.replacen("steps = 12", "steps = 0", 1);
    let recipe = recipe.replacen(
        "vocabulary = 400",
        "vocabulary = 400\nbalance = { bytes = 2000, language_weight = { en = 2.0 } }",
        1,
    );
    recipe
        + r#"
[classifier.language_head]
languages = ["en", "de"]
weight = 0.2
crops = 0.1

[distill]
teacher = "teacher"
texts = 4000
share = 0.8
logit_error = 0.1
state_error = 2.0
round_weights = true
text_bytes = 100
cropped = 0.1
buried = 0.2
pairs = 0.2
embeddings = "base"
"#
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_killed_student_resumes_to_the_same_model_and_refuses_other_answers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_data(folder);
    let encoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../export/tests/golden/pooled");
    copy(&encoder, &folder.join("base"));
    fs::write(folder.join("student.toml"), student()).unwrap();
    finish(trainer(folder, "tiny.toml", "runs", false).spawn().unwrap());
    copy(&folder.join("runs/tiny/bundle"), &folder.join("teacher"));
    finish(
        trainer(folder, "student.toml", "whole", false)
            .spawn()
            .unwrap(),
    );
    let whole = folder.join("whole/student");
    // One line, and 12 logits of each of two pools of 2,048 texts.
    let answers = fs::read(whole.join("teacher.answers")).unwrap();
    let first = answers.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    assert_eq!(answers.len() - first, 2 * 2048 * 12 * 4);
    // The state of each, and what the student learned of it; it is gone from the result.
    let states = fs::read(whole.join("teacher.states")).unwrap();
    let values = (states.len() - first) / 4;
    assert_eq!(values % (2 * 2048), 0);
    let metrics = fs::read_to_string(whole.join("metrics.jsonl")).unwrap();
    assert!(metrics.contains("\"state_error\":") && metrics.contains("\"language_loss\":"));
    let model = Model::open(whole.join("bundle")).unwrap();
    assert_eq!(model.manifest().languages, ["en", "de"]);
    let mut session = model.session(&SessionOptions::default()).unwrap();
    assert_eq!(session.logits(&[5, 6]).unwrap().len(), 12 + 2);

    // Once after the first pool of each file, and once between saved states.
    let run = folder.join("killed/student");
    let asked = |name: &str| fs::metadata(run.join(name)).map_or(0, |file| file.len());
    let reached: [&dyn Fn() -> bool; 3] = [
        &|| asked("teacher.answers") > 2048 * 12 * 4,
        &|| asked("teacher.states") > states.len() as u64 / 2,
        &|| lines(run.join("metrics.jsonl")) >= 13,
    ];
    for (attempt, reached) in reached.into_iter().enumerate() {
        let mut command = trainer(folder, "student.toml", "killed", attempt > 0);
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        while !reached() && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "attempt {attempt} came nowhere");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!run.join("bundle").exists(), "killed too late");
    }
    finish(
        trainer(folder, "student.toml", "killed", true)
            .spawn()
            .unwrap(),
    );
    let [whole, killed] = [contents(&whole), contents(&run)];
    assert_eq!(
        whole.keys().collect::<Vec<_>>(),
        killed.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &whole {
        assert!(*bytes == killed[name], "{} differs", name.display());
    }

    // Another teacher's answers, and a text more.
    let other = folder.join("other/student");
    fs::create_dir_all(&other).unwrap();
    fs::copy(run.join("recipe.toml"), other.join("recipe.toml")).unwrap();
    fs::write(other.join("teacher.answers"), &answers).unwrap();
    let seed = fs::read_to_string(folder.join("seed.jsonl")).unwrap();
    let row = "{\"text\": \"more soup\", \"lang\": \"en\", \"unsafe\": 0, \"categories\": [], \
               \"source\": \"made_up\", \"group\": null}\n";
    fs::write(folder.join("seed.jsonl"), seed + row).unwrap();
    let output = trainer(folder, "student.toml", "other", true)
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{shown}");
    for mention in ["teacher.answers", "other data", "remove it"] {
        assert!(shown.contains(mention), "{mention:?} is not in {shown}");
    }
}
