//! The name of a machine's folder of records, and how rows get into it. `cargo xtask`, which is
//! built without the guard, takes this file too.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Appends rows to a machine's file in the folder of records, each with the time of day before it
/// (`unix_s`), and gives the file's path.
///
/// # Errors
/// A folder or file that cannot be written.
pub fn append(
    records: &Path,
    machine: &str,
    name: &str,
    columns: &str,
    rows: &[String],
) -> io::Result<PathBuf> {
    let folder = records.join(machine);
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    let is_new = !path.exists();
    let mut file = File::options().create(true).append(true).open(&path)?;
    let mut text = String::new();
    if is_new {
        text += &format!("unix_s,{columns}\n");
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    for row in rows {
        text += &format!("{now},{row}\n");
    }
    file.write_all(text.as_bytes())?;
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
