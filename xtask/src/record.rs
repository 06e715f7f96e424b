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
