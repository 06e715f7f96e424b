//! Thresholds: a line for languages that share theirs, a column for categories that do.

use std::fmt::Write as _;

use duoguard::Manifest;

/// The widest line, in characters.
const COLUMNS: usize = 100;
/// The most lines of languages that are shown at once.
const MOST_LINES: usize = 20;
/// What languages without thresholds of their own have.
const DEFAULT: &str = "default";

/// The thresholds of languages: in the order of the manifest's categories.
fn languages(manifest: &Manifest) -> Vec<(&str, Vec<f32>)> {
    let tags = manifest.policy.language_thresholds.keys();
    std::iter::once(DEFAULT)
        .chain(tags.map(String::as_str))
        .map(|tag| {
            // "und" is no one's language: it takes the default thresholds.
            let language = if tag == DEFAULT { "und" } else { tag };
            let thresholds = manifest.policy.thresholds(&manifest.categories, language);
            (tag, thresholds)
        })
        .collect()
}

/// Puts together what has the same key, in the order in which each key is first seen.
fn grouped<'a, K: PartialEq>(items: impl Iterator<Item = (&'a str, K)>) -> Vec<(Vec<&'a str>, K)> {
    let mut groups: Vec<(Vec<&str>, K)> = Vec::new();
    for (name, key) in items {
        match groups.iter_mut().find(|(_, of)| *of == key) {
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], key)),
        }
    }
    groups
}

/// Adds the thresholds as one table, as small as the differences allow.
pub(super) fn summarise(text: &mut String, manifest: &Manifest) {
    text.push_str("thresholds   a score above its threshold is unsafe\n");
    let languages = languages(manifest);
    let of_category = |index: usize| -> Vec<f32> {
        let columns = languages.iter().map(|(_, thresholds)| thresholds[index]);
        columns.collect()
    };
    let names = manifest.categories.iter().map(String::as_str);
    let columns = grouped(
        names
            .enumerate()
            .map(|(index, name)| (name, of_category(index))),
    );
    for (number, (categories, _)) in columns.iter().enumerate() {
        let label = match columns.len() {
            1 => format!("all {} categories", categories.len()),
            _ => format!("{}: {}", number + 1, categories.join(", ")),
        };
        wrapped(text, "    ", &label);
    }
    if columns.len() > 1 {
        let heads = (1..=columns.len()).map(|number| format!("{number:>7}"));
        let _ = writeln!(text, "  {}", heads.collect::<String>());
    }
    let values = |place: usize| columns.iter().map(move |(_, thresholds)| thresholds[place]);
    let rows = languages.iter().enumerate();
    let rows = grouped(rows.map(|(place, (tag, _))| (*tag, values(place).collect::<Vec<_>>())));
    for (tags, thresholds) in rows.iter().take(MOST_LINES) {
        let cells = thresholds
            .iter()
            .map(|threshold| format!("{threshold:>7.3}"));
        wrapped(
            text,
            &format!("  {}  ", cells.collect::<String>()),
            &tags.join(" "),
        );
    }
    if let Some(left) = rows.len().checked_sub(MOST_LINES).filter(|left| *left > 0) {
        let _ = writeln!(text, "  and {left} more lines of languages: --verbose");
    }
}

/// Adds words behind `head`; further lines begin where the first word stands.
fn wrapped(text: &mut String, head: &str, words: &str) {
    let indent = head.chars().count();
    let mut line = head.to_owned();
    let mut width = indent;
    for word in words.split(' ') {
        let length = word.chars().count();
        if width > indent && width + 1 + length > COLUMNS {
            let _ = writeln!(text, "{line}");
            line = " ".repeat(indent);
            width = indent;
        }
        if width > indent {
            line.push(' ');
            width += 1;
        }
        line.push_str(word);
        width += length;
    }
    let _ = writeln!(text, "{line}");
}

/// Adds every threshold: a line per language, and in it every category.
pub(super) fn list(text: &mut String, manifest: &Manifest) {
    text.push_str("thresholds   a score above its threshold is unsafe\n");
    for (tag, thresholds) in languages(manifest) {
        let categories = manifest.categories.iter().zip(thresholds);
        let cells: Vec<_> = categories
            .map(|(category, threshold)| format!("{category} {threshold:.3}"))
            .collect();
        wrapped(text, &format!("  {tag:9}  "), &cells.join(", "));
    }
}
