//! What this machine measured last, from `benches/record/<machine>`.

use std::collections::BTreeMap;
use std::path::Path;

use time::OffsetDateTime;

#[path = "../../benches/src/machine.rs"]
mod machine;

pub use machine::machine;

/// Where the records are; a folder in it is a machine.
const RECORDS: &str = "benches/record";

/// The rows that the last run of one benchmark appended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    rows: Vec<BTreeMap<String, String>>,
}

/// A row of a record.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a>(&'a BTreeMap<String, String>);

impl Record {
    /// The last run in a machine's file; one without rows where there is no such file.
    pub fn last(root: &Path, machine: &str, name: &str) -> Result<Self, String> {
        let path = root.join(RECORDS).join(machine).join(name);
        match path.exists() {
            true => Self::parse(&crate::library::read(&path)?)
                .map_err(|reason| format!("{}: {reason}", path.display())),
            false => Ok(Self::default()),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let columns: Vec<&str> = lines.next().ok_or("it is empty")?.split(',').collect();
        if columns[0] != "unix_s" {
            return Err(format!(
                "the first column is {:?}, expected unix_s",
                columns[0]
            ));
        }
        let mut rows: Vec<BTreeMap<String, String>> = Vec::new();
        for (number, line) in lines.enumerate() {
            let cells: Vec<&str> = line.split(',').collect();
            if cells.len() != columns.len() {
                return Err(format!(
                    "line {}: {} values, expected {}",
                    number + 2,
                    cells.len(),
                    columns.len()
                ));
            }
            let pairs = columns.iter().zip(cells);
            rows.push(
                pairs
                    .map(|(column, cell)| ((*column).to_owned(), cell.to_owned()))
                    .collect(),
            );
        }
        let last = rows.last().map(|row| row["unix_s"].clone());
        rows.retain(|row| Some(&row["unix_s"]) == last.as_ref());
        Ok(Self { rows })
    }

    /// The rows, in their order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(Row)
    }

    /// The first row that has these values in these columns.
    pub fn find(&self, wanted: &[(&str, &str)]) -> Option<Row<'_>> {
        self.rows().find(|row| {
            wanted
                .iter()
                .all(|(column, value)| row.text(column) == *value)
        })
    }

    /// The different values of a column, in the order of the rows.
    pub fn distinct(&self, column: &str) -> Vec<&str> {
        let mut found = Vec::new();
        for row in self.rows() {
            if !found.contains(&row.text(column)) {
                found.push(row.text(column));
            }
        }
        found
    }

    /// The day of the run, as year-month-day.
    pub fn day(&self) -> String {
        let seconds = self.rows().next().and_then(|row| row.number("unix_s"));
        let time = OffsetDateTime::from_unix_timestamp(seconds.unwrap_or(0.0) as i64);
        time.map_or_else(|_| String::new(), |time| time.date().to_string())
    }
}

impl<'a> Row<'a> {
    /// A value; empty where there is no such column.
    pub fn text(self, column: &str) -> &'a str {
        self.0.get(column).map_or("", String::as_str)
    }

    /// A value as a number, where it is one.
    pub fn number(self, column: &str) -> Option<f64> {
        self.text(column).parse().ok()
    }
}

/// Appends rows to a machine's file, with the time before each.
pub fn append(
    root: &Path,
    machine: &str,
    name: &str,
    columns: &str,
    rows: &[String],
) -> Result<(), String> {
    let records = root.join(RECORDS);
    machine::append(&records, machine, name, columns, rows)
        .map(drop)
        .map_err(|cause| format!("{name} of {}: {cause}", records.join(machine).display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_run_counts() {
        let text = "unix_s,engine,p50_ms\n1,a,5\n1,b,6\n1795539219,a,7.5\n1795539219,b,\n";
        let record = Record::parse(text).unwrap();
        assert_eq!(record.distinct("engine"), ["a", "b"]);
        assert_eq!(record.day(), "2026-11-24");
        let found = |engine| {
            record
                .find(&[("engine", engine)])
                .and_then(|row| row.number("p50_ms"))
        };
        assert_eq!(
            (found("a"), found("b"), found("c")),
            (Some(7.5), None, None)
        );
    }

    #[test]
    fn damaged_records_are_refused() {
        for (text, part) in [
            ("", "empty"),
            ("date,a\n1,2\n", "unix_s"),
            ("unix_s,a\n1,2\n1\n", "line 3: 1 values, expected 2"),
        ] {
            let reason = Record::parse(text).unwrap_err();
            assert!(reason.contains(part), "{reason}");
        }
    }
}
