//! Recipes of runs that take a second or a few, and what they read.

use std::fs;
use std::path::Path;

use duoguard_tests::root;

use crate::{tiny_encoder, tiny_players};

/// What a recipe has in place of the demo's base, so that there are more stages to fail in.
const SCRATCH: &str = include_str!("../../../trainer/tests/tiny/scratch.toml");

/// Writes into `folder` the recipes `training.toml` and `game.toml`, which take the demo's texts;
/// and, with data of their own, `encoder/encoder.toml` and `players/players.toml`, whose writer and
/// judge are asked at `endpoint`.
pub fn write(folder: &Path, endpoint: &str) {
    let sources = root().join("recipes/sources.toml");
    fs::copy(sources, folder.join("sources.toml")).unwrap();
    for (name, rounds) in [("training", 0), ("game", 1)] {
        fs::write(folder.join(name).with_extension("toml"), demo(rounds)).unwrap();
    }
    let encoder = folder.join("encoder");
    fs::create_dir(&encoder).unwrap();
    tiny_encoder::write_data(&encoder);
    let recipe = shorter(
        tiny_encoder::RECIPE,
        &[
            ("steps = 30", "steps = 2"),
            ("steps = 80", "steps = 2"),
            ("checkpoint_every = 5", "checkpoint_every = 1"),
        ],
    );
    fs::write(encoder.join("encoder.toml"), recipe).unwrap();
    let players = folder.join("players");
    fs::create_dir(&players).unwrap();
    tiny_players::write_data(&players, endpoint);
    let recipe = fs::read_to_string(players.join("players.toml")).unwrap();
    let recipe = shorter(
        &recipe,
        &[
            ("steps = 10", "steps = 2"),
            ("steps = 5", "steps = 2"),
            ("rounds = 2", "rounds = 1"),
            ("seeds = 12", "seeds = 4"),
        ],
    );
    fs::write(players.join("players.toml"), recipe).unwrap();
}

/// A recipe with each of these replaced where it first stands.
fn shorter(recipe: &str, changes: &[(&str, &str)]) -> String {
    changes
        .iter()
        .fold(recipe.to_owned(), |recipe, (from, to)| {
            assert!(recipe.contains(from), "{from}");
            recipe.replacen(from, to, 1)
        })
}

/// The demo's recipe from random weights, at a size that trains in a second; with a round of the
/// game in a few, since so small a generator must write something that the filters keep.
fn demo(rounds: i64) -> String {
    let text = fs::read_to_string(root().join("recipes/demo.toml")).unwrap();
    let mut recipe: toml::Table = text.parse().unwrap();
    recipe.remove("base").unwrap();
    recipe.extend(SCRATCH.parse::<toml::Table>().unwrap());
    let mut set = |path: &[&str], value: toml::Value| {
        let (key, tables) = path.split_last().unwrap();
        let table = tables.iter().fold(&mut recipe, |table, name| {
            table[*name].as_table_mut().unwrap()
        });
        table.insert((*key).to_owned(), value);
    };
    set(&["name"], "faults".into());
    let training: &[(&[&str], i64)] = &[
        (&["tokenizer", "vocabulary"], 400),
        (&["model", "hidden"], 32),
        (&["model", "heads"], 2),
        (&["pretrain", "steps"], 2),
        (&["pretrain", "checkpoint_every"], 1),
        (&["classifier", "steps"], 2),
        (&["classifier", "checkpoint_every"], 1),
        (&["classifier", "teacher", "texts"], 500),
    ];
    let game: &[(&[&str], i64)] = &[
        (&["model", "hidden"], 48),
        (&["model", "heads"], 3),
        (&["pretrain", "steps"], 20),
        (&["pretrain", "checkpoint_every"], 10),
        (&["classifier", "steps"], 4),
        (&["classifier", "checkpoint_every"], 2),
        (&["classifier", "teacher", "texts"], 500),
        (&["game", "rounds"], rounds),
        (&["game", "seeds"], 40),
        (&["game", "proposals"], 2),
        (&["game", "max_tokens"], 16),
        (&["game", "generator", "translation", "steps"], 60),
        (
            &["game", "generator", "translation", "checkpoint_every"],
            30,
        ),
        (&["game", "preference", "checkpoint_every"], 1),
        (&["game", "judge", "least_agreement"], 0),
    ];
    for (path, value) in if rounds == 0 { training } else { game } {
        set(path, (*value).into());
    }
    if rounds == 0 {
        recipe.remove("game");
    }
    recipe.to_string()
}
