//! The cells of the tables: names, numbers with their units, and the table itself.

use std::fmt::Write;

use crate::record::Row;

pub(super) fn engine_name(engine: &str) -> &str {
    match engine {
        "onnxruntime" => "ONNX Runtime",
        other => other,
    }
}

/// Milliseconds with three digits or two decimals, whichever is less.
pub(super) fn ms(row: Row<'_>, column: &str) -> String {
    match row.number(column) {
        Some(value) if value >= 99.95 => format!("{value:.0}"),
        Some(value) if value >= 9.995 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
        None => String::new(),
    }
}

pub(super) fn megabytes(row: Row<'_>, column: &str) -> Option<String> {
    Some(format!("{:.0}", row.number(column)? / 1e6))
}

/// A number with commas between its thousands.
pub(super) fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(super) fn markdown<S: AsRef<str>>(columns: &[S], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | ")).replace("|  |", "| |");
    let mut out = line(columns.iter().map(AsRef::as_ref).collect());
    let _ = writeln!(out, "|{}", "---|".repeat(columns.len()));
    for row in rows {
        out += &line(row.iter().map(String::as_str).collect());
    }
    out
}

/// A table under what it shows.
pub(super) fn captioned<S: AsRef<str>>(
    caption: &str,
    columns: &[S],
    rows: &[Vec<String>],
) -> String {
    format!("{caption}\n\n{}", markdown(columns, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        assert_eq!(
            ["1", "999", "1000", "23015"].map(grouped),
            ["1", "999", "1,000", "23,015"]
        );
        assert_eq!(
            markdown(&["", "b"], &[vec!["x".into(), String::new()]]),
            "| | b |\n|---|---|\n| x | |\n"
        );
    }
}
