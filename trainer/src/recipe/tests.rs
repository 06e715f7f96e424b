//! Recipes that must be refused, with the line and key that the error names.

use super::*;

const MINI: &str = include_str!("../../../recipes/mini.toml");

fn error(text: &str) -> String {
    Recipe::parse(Path::new("r.toml"), text)
        .unwrap_err()
        .to_string()
}

#[test]
fn the_bundled_recipe_is_valid() {
    Recipe::parse(Path::new("mini.toml"), MINI).unwrap();
}

#[test]
fn errors_name_line_and_key() {
    let line = |needle: &str| MINI.lines().position(|l| l.starts_with(needle)).unwrap() + 1;
    for (from, to, place, mention) in [
        (
            "vocabulary = 16000",
            "vocabulary = 16000\nspelling = 1",
            line("vocabulary") + 1,
            "spelling",
        ),
        (
            "vocabulary = 16000",
            "vocabulary = \"many\"",
            line("vocabulary"),
            "invalid type",
        ),
        (
            "vocabulary = 16000",
            "vocabulary = 12",
            line("vocabulary"),
            "257",
        ),
        ("kv_heads = 2", "kv_heads = 5", line("kv_heads"), "divisor"),
        (
            "validation_fraction = 0.04",
            "validation_fraction = 0.9",
            line("validation_fraction"),
            "(0, 0.5]",
        ),
        (
            "loss = \"log_sum_exp\"",
            "loss = \"hinge\"",
            line("loss"),
            "hinge",
        ),
    ] {
        assert!(MINI.contains(from), "{from}");
        let found = error(&MINI.replacen(from, to, 1));
        assert!(
            found.starts_with(&format!("r.toml:{place}: ")) && found.contains(mention),
            "{found}"
        );
    }
}
