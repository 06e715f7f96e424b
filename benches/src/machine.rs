//! The folder of records that a machine has, and how rows get into it. `cargo xtask`, which is
//! built without the runtime, takes this file too.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Appends rows to the record `name` in a machine's folder, each with the time of day before it
/// (`unix_s`), and gives the file's path. `rows` is CSV: a line of the columns' names, then the
/// rows.
///
/// # Errors
/// Rows that are no CSV, columns that are not those of the record, or a file that cannot be read or
/// written.
pub fn append(folder: &Path, name: &str, rows: &str) -> io::Result<PathBuf> {
    let mut rows = csv::Reader::from_reader(rows.as_bytes());
    let mut columns = rows.headers()?.clone();
    columns = ["unix_s"].into_iter().chain(&columns).collect();
    let rows = rows.records().collect::<Result<Vec<_>, _>>()?;
    fs::create_dir_all(folder)?;
    let path = folder.join(name).with_extension("csv");
    let is_new = !path.exists();
    if !is_new {
        let found = csv::Reader::from_path(&path)?.headers()?.clone();
        if found != columns {
            return Err(io::Error::other(format!(
                "{}: the columns are {found:?}, expected {columns:?}",
                path.display()
            )));
        }
    }
    let file = File::options().create(true).append(true).open(&path)?;
    let mut writer = csv::Writer::from_writer(file);
    if is_new {
        writer.write_record(&columns)?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |time| time.as_secs()).to_string();
    for row in &rows {
        writer.write_record([&now[..]].into_iter().chain(row))?;
    }
    writer.flush()?;
    Ok(path)
}

/// `DUOGUARD_MACHINE`, or the processor's name and its cores, as a folder's name.
pub fn machine() -> String {
    if let Ok(name) = std::env::var("DUOGUARD_MACHINE") {
        return name;
    }
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let name = line.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    let plain = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_ascii_lowercase(),
        false => '-',
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let name: String = name.chars().map(plain).collect();
    format!("{name}-{cores}-cores")
}
