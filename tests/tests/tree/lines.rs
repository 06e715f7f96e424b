//! Widths of lines and lengths of files.

use std::path::Path;

use super::{read, root, tracked};

/// The widest line of a comment, and of the C header, in characters.
const CODE_COLUMNS: usize = 100;
/// The widest line of a document; tables, and lines that are one link, may be wider.
const DOCUMENT_COLUMNS: usize = 120;
const LONGEST_FILE: usize = 450;
/// The C header is one file, and most of it is the documentation of its functions.
const LONGEST_HEADER: usize = 500;
const MEDIAN_FILE: usize = 170;
/// xtask drives what others do: it stays smaller than what it serves.
const XTASK_LINES: usize = 1500;

const CODE: [&str; 8] = ["rs", "c", "h", "hpp", "cpp", "wgsl", "py", "sh"];

/// Where a line is wider than it may be.
fn too_wide(path: &Path, limit: usize, counts: impl Fn(&str) -> bool) -> Vec<String> {
    let text = read(path);
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| counts(line) && line.chars().count() > limit)
        .map(|(index, line)| {
            let columns = line.chars().count();
            format!("{}:{}: {columns} columns", path.display(), index + 1)
        })
        .collect()
}

#[test]
fn comments_keep_to_100_columns() {
    let is_comment = |line: &str| {
        let line = line.trim_start();
        ["//", "/*", "* ", "# "]
            .iter()
            .any(|mark| line.starts_with(mark))
    };
    let files = tracked(&[&CODE[..], &["toml"]].concat());
    let found: Vec<_> = files
        .iter()
        .flat_map(|path| too_wide(path, CODE_COLUMNS, is_comment))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_header_keeps_to_100_columns() {
    let found: Vec<_> = tracked(&["h"])
        .iter()
        .flat_map(|path| too_wide(path, CODE_COLUMNS, |_| true))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn documents_keep_to_120_columns() {
    let is_text = |line: &str| {
        let line = line.trim_start();
        let one_link = !line.contains(' ') && line.contains("://");
        !line.starts_with('|') && !line.starts_with("<!--") && !one_link
    };
    let found: Vec<_> = tracked(&["md"])
        .iter()
        .flat_map(|path| too_wide(path, DOCUMENT_COLUMNS, is_text))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn rows_of_tables_stand_on_lines() {
    for path in tracked(&["md"]) {
        for (number, line) in (1..).zip(read(&path).lines()) {
            let is_joined = line.contains("| |--");
            assert!(
                !is_joined,
                "{}:{number}: a row joins another",
                path.display()
            );
        }
    }
}

#[test]
fn files_are_short() {
    let lengths = |path: &std::path::PathBuf| (read(path).lines().count(), path.clone());
    let mut lengths: Vec<_> = tracked(&CODE).iter().map(lengths).collect();
    lengths.sort();
    let (median, _) = lengths[lengths.len() / 2];
    lengths.retain(|(lines, path)| !(path.ends_with("duoguard.h") && *lines <= LONGEST_HEADER));
    let (longest, path) = &lengths[lengths.len() - 1];
    assert!(
        *longest <= LONGEST_FILE,
        "{} has {longest} lines; expected at most {LONGEST_FILE}: two nouns share a room",
        path.display()
    );
    assert!(
        median <= MEDIAN_FILE,
        "the median file has {median} lines; expected at most {MEDIAN_FILE}"
    );
}

#[test]
fn xtask_is_small() {
    let files = tracked(&["rs"]);
    let own = files.iter().filter(|path| path.starts_with("xtask"));
    let lines: usize = own.map(|path| read(path).lines().count()).sum();
    assert!(
        lines <= XTASK_LINES,
        "xtask has {lines} lines; expected at most {XTASK_LINES}: what only drives Python or a \
         shell is a script in scripts/"
    );
}

#[test]
fn papers_are_cited_by_their_number() {
    // Spelt in two parts, so that this file does not find itself.
    let absent = concat!("PAPER", ".md");
    let mut names = CODE.to_vec();
    names.extend(["toml", "md", "json"]);
    let citing = |path: &std::path::PathBuf| {
        std::fs::read_to_string(root().join(path)).is_ok_and(|text| text.contains(absent))
    };
    let found: Vec<_> = tracked(&names).into_iter().filter(citing).collect();
    assert!(
        found.is_empty(),
        "{absent} is not in the repository: {found:?}"
    );
}
