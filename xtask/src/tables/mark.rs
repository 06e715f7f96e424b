//! What a mark in a document says of its table, and the one renderer of tables.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::record::{Row, TIME};

/// A table of a record: which rows of it count, and what of them stands where.
///
/// A column of the table is a column of the record, `p50_ms`, or a template,
/// `{p50_ms} ({p10_ms}-{p90_ms})`; `as` gives it a heading, in which `{columns}` may stand too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The record's file, without its ending.
    pub record: String,
    /// The record's folder.
    pub machine: String,
    /// Column -> the values that count, with `|` between.
    #[serde(default)]
    r#where: BTreeMap<String, String>,
    /// What names a row of the table.
    rows: Vec<String>,
    /// The column of the record whose values have columns of their own.
    across: Option<String>,
    /// What stands in a row.
    cells: Vec<String>,
    /// A column of numbers: rows with the least first.
    sort: Option<String>,
}

impl Mark {
    /// Reads a mark.
    pub fn parse(mark: &str) -> Result<Self> {
        toml::from_str(mark).context("not the TOML that a table's mark is")
    }

    /// The caption and the table, of the last run that `where` allows.
    pub fn render(&self, mut rows: Vec<Row>) -> Result<String> {
        for (column, values) in &self.r#where {
            for row in &rows {
                value(row, column)?;
            }
            rows.retain(|row| values.split('|').any(|allowed| allowed == row[column]));
        }
        let seconds = |row: &Row| value(row, TIME)?.parse::<i64>().context(TIME);
        let times = rows.iter().map(seconds).collect::<Result<Vec<_>>>()?;
        let last = *times
            .iter()
            .max()
            .context("no row of the record fits `where`")?;
        let mut is_last = times.iter().map(|time| *time == last);
        rows.retain(|_| is_last.next() == Some(true));

        let date = OffsetDateTime::from_unix_timestamp(last)?.date();
        let table = self.table(&rows)?;
        Ok(format!("{}, {date}:\n\n{table}", self.machine))
    }

    fn table(&self, rows: &[Row]) -> Result<String> {
        let group = |row| match &self.across {
            Some(column) => value(row, column),
            None => Ok(""),
        };
        let names = self.rows.len();
        let mut head = Vec::new();
        for name in &self.rows {
            head.push(Column::of(name).heading(&rows[0])?);
        }
        let mut groups = Vec::new();
        for row in rows {
            if !groups.contains(&group(row)?) {
                groups.push(group(row)?);
                for cell in &self.cells {
                    head.push(Column::of(cell).heading(row)?);
                }
            }
        }
        let mut lines: Vec<Vec<String>> = Vec::new();
        for row in self.sorted(rows)? {
            let name = self.rows.iter().map(|name| Column::of(name).cell(row));
            let mut line = name.collect::<Result<Vec<_>>>()?;
            let known = lines.iter().position(|known| known[..names] == line);
            let at = known.unwrap_or_else(|| {
                line.resize(head.len(), String::new());
                lines.push(line);
                lines.len() - 1
            });
            let group = group(row)?;
            let before = groups.iter().take_while(|known| **known != group).count();
            for (offset, cell) in self.cells.iter().enumerate() {
                let column = names + before * self.cells.len() + offset;
                ensure!(
                    lines[at][column].is_empty(),
                    "two rows of the record fall into the row {:?}, column {:?}: tell them apart \
                     in `rows`, or leave one out by `where`",
                    lines[at][..names].join(" "),
                    head[column]
                );
                lines[at][column] = Column::of(cell).cell(row)?;
            }
        }
        let mut out = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len()));
        for line in lines {
            out += &format!("| {} |\n", line.join(" | ")).replace("|  |", "| |");
        }
        Ok(out)
    }

    fn sorted<'r>(&self, rows: &'r [Row]) -> Result<Vec<&'r Row>> {
        let mut keyed = Vec::new();
        for row in rows {
            let key = match &self.sort {
                Some(column) => number(value(row, column)?)
                    .with_context(|| format!("`sort`: {column} has a value that is no number"))?,
                None => 0.0,
            };
            keyed.push((key, row));
        }
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(keyed.into_iter().map(|(_, row)| row).collect())
    }
}

/// A column of the table, as the mark has it.
struct Column<'m> {
    template: String,
    heading: Option<&'m str>,
}

impl<'m> Column<'m> {
    fn of(text: &'m str) -> Self {
        let (template, heading) = match text.split_once(" as ") {
            Some((template, heading)) => (template, Some(heading)),
            None => (text, None),
        };
        let template = match template.contains('{') {
            true => template.to_owned(),
            false => format!("{{{template}}}"),
        };
        Self { template, heading }
    }

    /// By default the template, in words.
    fn heading(&self, row: &Row) -> Result<String> {
        match self.heading {
            Some(heading) => filled(heading, row),
            None => Ok(self
                .template
                .replace(['{', '}'], "")
                .replace("_bytes", " MB")
                .replace('_', " ")),
        }
    }

    fn cell(&self, row: &Row) -> Result<String> {
        filled(&self.template, row)
    }
}

/// A template with the values of a row; empty where one of them is.
fn filled(template: &str, row: &Row) -> Result<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (column, after) = after
            .split_once('}')
            .with_context(|| format!("{template:?} has a {{ without a }}"))?;
        let value = value(row, column)?;
        if value.is_empty() {
            return Ok(String::new());
        }
        out = out + before + &shown(column, value);
        rest = after;
    }
    Ok(out + rest)
}

fn value<'r>(row: &'r Row, column: &str) -> Result<&'r str> {
    row.get(column).map(String::as_str).with_context(|| {
        let mut columns: Vec<&str> = row.keys().map(String::as_str).collect();
        columns.sort_unstable();
        format!(
            "the record has no column {column:?}; it has {}",
            columns.join(", ")
        )
    })
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// A value as people write it: bytes in MB, and numbers that are not whole with three digits.
fn shown(column: &str, text: &str) -> String {
    match number(text) {
        Some(bytes) if column.ends_with("_bytes") => three_digits(bytes / 1e6),
        Some(value) if text.contains('.') => three_digits(value),
        _ => text.to_owned(),
    }
}

fn three_digits(value: f64) -> String {
    // Rounded first: 9.996 is 10.0, not 10.00.
    let scientific = format!("{value:.2e}");
    let exponent = scientific
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse().ok());
    let decimals = 2_i32.saturating_sub(exponent.unwrap_or(0)).max(0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "unix_s,engine,tokens,p50_ms,p90_ms,memory_bytes\n\
                          1,native,16,9.0,9.0,1\n\
                          1795539219,native,16,0.784,0.8995,82460672\n\
                          1795539219,native,128,2.0611,,83000000\n\
                          1795539219,ort,16,0.5354,1238.44,101\n";

    fn render(mark: &str) -> Result<String> {
        let mut reader = csv::Reader::from_reader(RECORD.as_bytes());
        let rows = reader.deserialize().collect::<Result<_, _>>()?;
        Mark::parse(&format!("record = 'r'\nmachine = 'm'\n{mark}"))?.render(rows)
    }

    #[test]
    fn a_row_of_the_record_is_a_row_of_the_table() {
        let mark = "where = { engine = 'native|x' }\nrows = ['engine', 'tokens as length']\n\
                    cells = ['{p50_ms} ({p90_ms}) as ms', 'memory_bytes']";
        let expected = "m, 2026-11-24:\n\n| engine | length | ms | memory MB |\n|---|---|---|---|\n\
                        | native | 16 | 0.784 (0.899) | 82.5 |\n| native | 128 | | 83.0 |\n";
        assert_eq!(render(mark).unwrap(), expected);
    }

    #[test]
    fn values_of_a_column_stand_side_by_side() {
        let mark = "rows = ['engine']\nacross = 'tokens'\ncells = ['p50_ms as {tokens} tokens']\n\
                    sort = 'p50_ms'";
        let expected = "m, 2026-11-24:\n\n| engine | 16 tokens | 128 tokens |\n|---|---|---|\n\
                        | ort | 0.535 | |\n| native | 0.784 | 2.06 |\n";
        assert_eq!(render(mark).unwrap(), expected);
    }

    #[test]
    fn marks_that_do_not_fit_the_record_are_refused() {
        for (mark, part) in [
            (
                "rows = ['engine']\ncells = ['p50_ms']",
                "two rows of the record fall into the row \"native\"",
            ),
            (
                "rows = ['engine']\ncells = ['p99_ms']",
                "no column \"p99_ms\"; it has engine, memory_bytes",
            ),
            ("rows = ['engine']\ncells = ['{p50_ms']", "a { without a }"),
            (
                "rows = ['tokens']\ncells = []\nsort = 'engine'",
                "engine has a value that is no number",
            ),
            (
                "rows = []\ncells = []\nwhere = { tokens = '17' }",
                "no row of the record fits",
            ),
            (
                "rows = []\ncells = []\nwhere = { token = '16' }",
                "no column \"token\"",
            ),
            ("rows = []\ncells = []\nwhen = 1", "unknown field `when`"),
        ] {
            let reason = format!("{:#}", render(mark).unwrap_err());
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[test]
    fn numbers_as_people_write_them() {
        let shown = [
            "0.5354", "9.996", "31.26", "1238.44", "0.0003", "16", "0.0", "a.b",
        ];
        let shown = shown.map(|text| super::shown("x", text));
        assert_eq!(
            shown,
            [
                "0.535", "10.0", "31.3", "1238", "0.000300", "16", "0.00", "a.b"
            ]
        );
        assert_eq!(super::shown("size_bytes", "7333304"), "7.33");
    }
}
