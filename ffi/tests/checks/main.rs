//! One suite of checks, two doors: every case of `tests/data/checks.toml` goes through the Rust API
//! and through the C library, which a program in C calls through the header. Both must say what the
//! case expects, and the same to the last bit.

mod c;
mod case;
mod outcome;
mod rust;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use case::{Case, Door};
use outcome::Outcome;

/// The bundled model, which the cases are about.
fn bundle() -> PathBuf {
    root().join("models/mini")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

static CASES: LazyLock<Vec<Case>> =
    LazyLock::new(|| case::read(&root().join("tests/data/checks.toml")));

/// What a door says to each case; `None` where the case is for the other door.
type Outcomes = Vec<Option<Outcome>>;

static RUST: LazyLock<Outcomes> = LazyLock::new(|| of_door(Door::Rust, rust::check));
static C: LazyLock<Outcomes> = LazyLock::new(|| of_door(Door::C, c::check));

fn of_door(door: Door, check: fn(&[&Case]) -> Vec<Outcome>) -> Outcomes {
    let for_door = |case: &&Case| case.is_for(door);
    let outcomes = check(&CASES.iter().filter(for_door).collect::<Vec<_>>());
    let mut outcomes = outcomes.into_iter();
    let outcomes = CASES.iter().map(|case| match for_door(&case) {
        true => Some(outcomes.next().expect("an outcome for every case")),
        false => None,
    });
    outcomes.collect()
}

/// Fails with everything that is wrong, case by case.
fn assert_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn expected_of(outcomes: &Outcomes) {
    let by_name = |name: &str| {
        let place = CASES.iter().position(|case| case.name == name);
        place.and_then(|place| outcomes[place].as_ref())
    };
    let given = CASES.iter().zip(outcomes);
    let given = given.filter_map(|(case, outcome)| Some((case, outcome.as_ref()?)));
    assert_none(
        given
            .flat_map(|(case, outcome)| {
                let wrong = case.expect.differences(outcome, &by_name).into_iter();
                wrong.map(|what| format!("{}: {what}", case.name))
            })
            .collect(),
    );
}

#[test]
fn the_rust_api_says_what_is_expected() {
    expected_of(&RUST);
}

#[test]
fn the_c_library_says_what_is_expected() {
    expected_of(&C);
}

#[test]
fn both_say_the_same_to_the_last_bit() {
    let pairs = CASES.iter().zip(RUST.iter().zip(C.iter()));
    let pairs = pairs.filter_map(|(case, (rust, c))| Some((case, rust.as_ref()?, c.as_ref()?)));
    assert!(pairs.clone().count() >= 30, "{} cases", pairs.count());
    assert_none(
        pairs
            .filter(|(_, rust, c)| rust != c)
            .map(|(case, rust, c)| format!("{}: Rust says\n{rust:?}\nbut C\n{c:?}", case.name))
            .collect(),
    );
}
