//! What a machine measured, in `benches/record/MACHINE/NAME.csv`.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

#[path = "../../benches/src/machine.rs"]
mod machine;

/// Where the records are; a folder in it is a machine.
const RECORDS: &str = "benches/record";
/// The column with the time of a run.
pub const TIME: &str = "unix_s";

/// A row of a record, by column.
pub type Row = HashMap<String, String>;

/// The folder of this machine's records.
pub fn folder(root: &Path) -> PathBuf {
    root.join(RECORDS).join(machine::machine())
}

/// `cargo xtask record NAME < ROWS.csv`.
pub fn append(root: &Path, name: &str) -> Result<()> {
    let rows = io::read_to_string(io::stdin()).context("cannot read the rows from stdin")?;
    let path = machine::append(&folder(root), name, &rows)
        .with_context(|| format!("cannot append to the record {name}"))?;
    println!("appended to {}", path.display());
    Ok(())
}

/// The rows of a record, in their order.
pub fn read(root: &Path, machine: &str, name: &str) -> Result<Vec<Row>> {
    let path = root
        .join(RECORDS)
        .join(machine)
        .join(name)
        .with_extension("csv");
    let cause = || format!("cannot read the record {}", path.display());
    let mut reader = csv::Reader::from_path(&path).with_context(cause)?;
    let columns = reader.headers().with_context(cause)?;
    ensure!(
        columns.get(0) == Some(TIME),
        "{}: the first column is {:?}, expected {TIME}",
        path.display(),
        columns.get(0).unwrap_or_default()
    );
    let rows = reader.deserialize().collect::<Result<_, _>>();
    rows.with_context(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_appended_to_the_same_columns_alone() {
        let folder = xshell::Shell::new().unwrap().create_temp_dir().unwrap();
        let append = |rows| machine::append(folder.path(), "r", rows);
        append("what,size\n\"a, b\",1\n").unwrap();
        let path = append("what,size\nc,2\nd,3\n").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let rows: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_once(','))
            .collect();
        assert_eq!(rows[0], (TIME, "what,size"));
        assert_eq!([1, 2, 3].map(|at| rows[at].1), ["\"a, b\",1", "c,2", "d,3"]);

        for (rows, part) in [
            ("size,what\n1,a\n", "the columns are"),
            ("what,size\na\n", "record"),
        ] {
            let reason = append(rows).unwrap_err().to_string();
            assert!(reason.contains(part), "{reason}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
