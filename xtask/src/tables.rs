//! The tables of the documents, made of the records: `cargo xtask tables`.
//!
//! A table stands between the lines `<!-- table`, a [`Mark`] as TOML, `-->` and `<!-- end -->`. A
//! test compares what stands there with the records.

mod mark;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use crate::record;
use mark::Mark;

const BEGIN: &str = "<!-- table";
const MARK_END: &str = "-->";
const END: &str = "<!-- end -->";
/// Where the documents are.
const FOLDERS: [&str; 3] = ["", "docs", "docs/log"];

/// Writes the tables of all documents again, and returns how many there are; `check` writes nothing
/// and fails where a document differs from the records.
pub fn fill(root: &Path, check: bool) -> Result<usize> {
    let mut tables = 0;
    for path in documents(root)? {
        let cause = || path.display().to_string();
        let text = fs::read_to_string(&path).with_context(cause)?;
        let (filled, count) = filled(&text, |mark| table(root, mark)).with_context(cause)?;
        tables += count;
        if filled == text {
            continue;
        }
        if check {
            bail!(
                "{}: a table differs from benches/record; `cargo xtask tables` writes what was \
                 recorded",
                path.display()
            );
        }
        fs::write(&path, filled).with_context(cause)?;
        println!("wrote the tables of {}", path.display());
    }
    Ok(tables)
}

fn documents(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in FOLDERS.map(|folder| root.join(folder)) {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.with_context(|| folder.display().to_string())?.path();
            if path.extension().is_some_and(|end| end == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The table of a mark, from the machine's record.
fn table(root: &Path, mark: &str) -> Result<String> {
    let mark = Mark::parse(mark)?;
    mark.render(record::read(root, &mark.machine, &mark.record)?)
}

/// A document with its tables written again by `render`, and how many they are.
fn filled(text: &str, render: impl Fn(&str) -> Result<String>) -> Result<(String, usize)> {
    let mut out = String::new();
    let mut count = 0;
    let mut rest = text;
    while let Some((before, after)) = split_at_line(rest, BEGIN) {
        let line = text[..text.len() - after.len()].lines().count();
        let cause = || format!("line {line}: the mark of a table");
        let (mark, after) = split_at_line(after, MARK_END)
            .ok_or_else(|| anyhow!("a line {MARK_END} is expected to end it"))
            .with_context(cause)?;
        let (_, after) = split_at_line(after, END)
            .ok_or_else(|| anyhow!("a line {END} is expected after the table"))
            .with_context(cause)?;
        let table = render(mark).with_context(cause)?;
        out += &format!("{before}{BEGIN}\n{mark}{MARK_END}\n\n{table}\n{END}\n");
        rest = after;
        count += 1;
    }
    Ok((out + rest, count))
}

/// What is before a line and what is after it.
fn split_at_line<'t>(text: &'t str, line: &str) -> Option<(&'t str, &'t str)> {
    let mut at = 0;
    for found in text.split_inclusive('\n') {
        if found.trim_end_matches('\n') == line {
            return Some((&text[..at], &text[at + found.len()..]));
        }
        at += found.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_say_what_was_recorded() {
        let tables = fill(&crate::root(), true).unwrap();
        assert!(tables > 0, "no document has a table");
    }

    #[test]
    fn a_table_is_replaced_and_what_is_around_it_kept() {
        let text = format!("a\n{BEGIN}\nx = 1\n-->\n\nold\n\n{END}\nb\n{BEGIN}\n-->\n{END}\n");
        let (once, count) = filled(&text, |mark| Ok(format!("new {mark}"))).unwrap();
        let first = format!("a\n{BEGIN}\nx = 1\n-->\n\nnew x = 1\n\n{END}\nb\n");
        assert_eq!(
            (once, count),
            (format!("{first}{BEGIN}\n-->\n\nnew \n{END}\n"), 2)
        );
    }

    #[test]
    fn a_mark_that_does_not_end_is_refused() {
        for (text, part) in [
            (
                format!("a\n{BEGIN}\n"),
                "line 2: the mark of a table: a line -->",
            ),
            (format!("{BEGIN}\n-->\n"), "a line <!-- end -->"),
        ] {
            let reason = format!("{:#}", filled(&text, |_| Ok(String::new())).unwrap_err());
            assert!(reason.contains(part), "{reason}");
        }
    }
}
