//! Weights in several files, whole and damaged.

use std::path::Path;

use duoguard_export::checkpoint::Checkpoint;
use serde_json::{Value, json};

use crate::support::Recipe;

const INDEX: &str = "model.safetensors.index.json";
const FIRST: &str = "model-00001-of-00003.safetensors";
const SECOND: &str = "model-00002-of-00003.safetensors";
const SCORE: &str = "score.weight";

#[test]
fn several_files_hold_what_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let (one, several) = (folder.path().join("one"), folder.path().join("several"));
    let files = Recipe::default().files();
    files.write(&one);
    files.write_sharded(&several, 3);
    let (one, several) = (
        Checkpoint::open(&one).unwrap(),
        Checkpoint::open(&several).unwrap(),
    );
    for name in files.tensors.keys() {
        assert_eq!(one.tensor(name), several.tensor(name), "{name}");
    }
}

/// Changes the index, or the files.
type Damage = fn(&Path, &mut Value);

const CASES: &[(&str, Damage, &[&str])] = &[
    (
        "an index that points nowhere",
        |_, index| index["weight_map"][SCORE] = json!("model-00009-of-00003.safetensors"),
        &[
            INDEX,
            "model-00009-of-00003.safetensors, which is not there",
        ],
    ),
    (
        "an index that leads out of the folder",
        |_, index| index["weight_map"][SCORE] = json!("../../etc/passwd"),
        &[INDEX, "\"../../etc/passwd\"", "in the same folder"],
    ),
    (
        "a tensor that the file lacks",
        |_, index| index["weight_map"]["model.extra"] = json!(FIRST),
        &[INDEX, "tensor model.extra in model-00001", "not there"],
    ),
    (
        "a tensor that the index lacks",
        |_, index| drop(index["weight_map"].as_object_mut().unwrap().remove(SCORE)),
        &[SCORE, "not listed"],
    ),
    (
        "a tensor in another file than listed",
        |_, index| index["weight_map"][SCORE] = json!(FIRST),
        &[SCORE, "expected it once"],
    ),
    (
        "a tensor in two files",
        |folder, _| {
            std::fs::copy(folder.join(FIRST), folder.join(SECOND)).unwrap();
        },
        &[SECOND, "expected it once"],
    ),
    (
        "a file that is missing",
        |folder, _| std::fs::remove_file(folder.join(SECOND)).unwrap(),
        &[INDEX, SECOND, "not there"],
    ),
    (
        "a file cut short",
        |folder, _| {
            let file = std::fs::File::options()
                .write(true)
                .open(folder.join(SECOND))
                .unwrap();
            let size = file.metadata().unwrap().len();
            file.set_len(size - 1).unwrap();
        },
        &[SECOND, "not a whole safetensors file"],
    ),
    (
        "an empty file",
        |folder, _| std::fs::write(folder.join(SECOND), b"").unwrap(),
        &[SECOND],
    ),
    (
        "an empty index",
        |_, index| index["weight_map"] = json!({}),
        &[INDEX, "names no tensor"],
    ),
    (
        "an index without a map",
        |_, index| *index = json!({ "metadata": {} }),
        &[INDEX, "weight_map"],
    ),
    (
        "an index of numbers",
        |_, index| index["weight_map"][SCORE] = json!(5),
        &[INDEX, "not as expected"],
    ),
];

#[test]
fn damage_is_named() {
    for (what, damage, expected) in CASES {
        let folder = tempfile::tempdir().unwrap();
        Recipe::default().files().write_sharded(folder.path(), 3);
        let path = folder.path().join(INDEX);
        let mut index = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        damage(folder.path(), &mut index);
        std::fs::write(&path, index.to_string()).unwrap();
        let message = Checkpoint::open(folder.path()).unwrap_err().to_string();
        for part in *expected {
            assert!(message.contains(part), "{what}: {message}");
        }
    }
}

#[test]
fn a_tensor_listed_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Recipe::default().files().write(folder.path());
    let path = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length])
        .unwrap()
        .trim_end();
    // The entry of the head once more, the same bytes under the same name.
    let tensors: Value = serde_json::from_str(header).unwrap();
    let entry = format!(",\"{SCORE}\":{}}}", tensors[SCORE]);
    let header = format!("{}{entry}", header.strip_suffix('}').unwrap());
    let file = [
        &(header.len() as u64).to_le_bytes()[..],
        header.as_bytes(),
        &bytes[8 + length..],
    ];
    std::fs::write(&path, file.concat()).unwrap();
    let message = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(
        message.contains("tensor score.weight is listed twice"),
        "{message}"
    );
}

#[test]
fn an_index_that_lists_a_tensor_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Recipe::default().files().write_sharded(folder.path(), 3);
    let index = format!(r#"{{"weight_map": {{"{SCORE}": "{FIRST}", "{SCORE}": "{SECOND}"}}}}"#);
    std::fs::write(folder.path().join(INDEX), index).unwrap();
    let message = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("listed twice"), "{message}");
}
