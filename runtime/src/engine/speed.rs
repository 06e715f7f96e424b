//! How fast the engines were, remembered in a small file among the user's caches. A bundle's folder
//! is only read.

use std::fs;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file's name.
const FILE: &str = "engine-speed.json";
/// The largest file that is read; it has an entry for each bundle, machine and number of threads.
const MAX_BYTES: u64 = 256 << 10;
/// The entries that are kept, the newest.
const MAX_ENTRIES: usize = 128;

/// What a measurement holds for. On another machine, or for another version, it is made again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Key {
    /// The SHA-256 of graph and weights.
    files: String,
    /// The GPU, with its driver's version.
    adapter: String,
    /// The engines that were compared: one for CPUs, one for GPUs.
    cpu: String,
    gpu: String,
    threads: usize,
    /// Processors of the machine, and their kind.
    machine: String,
    /// The version of this crate.
    version: String,
}

impl Key {
    /// A measurement of the engines `cpu` and `gpu`, the latter on `adapter`, with a bundle whose
    /// graph and weights have the SHA-256 `files`.
    pub(super) fn new(
        files: &str,
        (cpu, gpu): (&str, &str),
        adapter: &str,
        threads: NonZeroUsize,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(0, NonZeroUsize::get);
        Self {
            files: files.to_owned(),
            adapter: adapter.to_owned(),
            cpu: cpu.to_owned(),
            gpu: gpu.to_owned(),
            threads: threads.get(),
            machine: format!("{processors} x {}", std::env::consts::ARCH),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// What was measured, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Speed {
    pub(super) cpu_ms: f64,
    pub(super) gpu_ms: f64,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: Key,
    speed: Speed,
}

/// Where the file lies: in the folder `duoguard` of the user's caches. `None` for a user who has
/// none, for whom every process measures again.
pub(super) fn file() -> Option<PathBuf> {
    Some(user_caches()?.join("duoguard").join(FILE))
}

fn user_caches() -> Option<PathBuf> {
    let variable = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    if cfg!(windows) {
        return variable("LOCALAPPDATA");
    }
    let home = variable("HOME");
    if cfg!(target_os = "macos") {
        return home.map(|home| home.join("Library/Caches"));
    }
    variable("XDG_CACHE_HOME").or(home.map(|home| home.join(".cache")))
}

/// What was measured for `key`, if the file says.
pub(super) fn read(path: &Path, key: &Key) -> Option<Speed> {
    let mut entries = entries(path).into_iter();
    let entry = entries.find(|entry| entry.key == *key)?;
    let is_time = |ms: f64| ms.is_finite() && ms >= 0.0;
    Some(entry.speed).filter(|speed| is_time(speed.cpu_ms) && is_time(speed.gpu_ms))
}

/// The entries of a file. One that is missing or damaged has none: it is a cache, and is written
/// again.
fn entries(path: &Path) -> Vec<Entry> {
    let read = || -> Option<Vec<Entry>> {
        let mut bytes = Vec::new();
        fs::File::open(path)
            .ok()?
            .take(MAX_BYTES)
            .read_to_end(&mut bytes)
            .ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    read().unwrap_or_default()
}

/// Notes a measurement. Where the file cannot be written, the next process measures again.
pub(super) fn write(path: &Path, key: &Key, speed: Speed) {
    drop(write_file(path, key, speed));
}

fn write_file(path: &Path, key: &Key, speed: Speed) -> std::io::Result<()> {
    let mut all = entries(path);
    all.retain(|entry| entry.key != *key);
    all.insert(
        0,
        Entry {
            key: key.clone(),
            speed,
        },
    );
    all.truncate(MAX_ENTRIES);
    let json = serde_json::to_vec_pretty(&all)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // Whole or not at all, even if two processes write at once.
    let aside = folder.join(format!(".{FILE}.{}", std::process::id()));
    fs::write(&aside, json)
        .and_then(|()| fs::rename(&aside, path))
        .inspect_err(|_| drop(fs::remove_file(&aside)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(adapter: &str) -> Key {
        Key::new("ab", ("native", "wgpu"), adapter, NonZeroUsize::MIN)
    }

    const SPEED: Speed = Speed {
        cpu_ms: 1.5,
        gpu_ms: 0.5,
    };

    #[test]
    fn a_speed_is_kept_where_it_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("caches").join(FILE);
        write(&file, &key("a"), SPEED);
        assert_eq!(read(&file, &key("a")), Some(SPEED));
        assert_eq!(read(&file, &key("b")), None);
        // A file where a folder would have to be: not even root can write below it.
        let blocked = file.join(FILE);
        write(&blocked, &key("b"), SPEED);
        assert_eq!(read(&blocked, &key("b")), None);
    }

    #[test]
    fn the_newest_entries_are_kept_and_damaged_files_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        for i in 0..MAX_ENTRIES + 2 {
            write(&file, &key(&i.to_string()), SPEED);
        }
        assert!(file.metadata().unwrap().len() < MAX_BYTES);
        assert_eq!(read(&file, &key("0")), None);
        assert_eq!(read(&file, &key("2")), Some(SPEED));
        for damaged in ["", "[", "{}", r#"[{"key": 3}]"#] {
            fs::write(&file, damaged).unwrap();
            assert_eq!(read(&file, &key("2")), None, "{damaged}");
        }
        write(&file, &key("2"), SPEED);
        assert_eq!(read(&file, &key("2")), Some(SPEED));
        let negative = Speed {
            cpu_ms: -1.0,
            ..SPEED
        };
        write(&file, &key("2"), negative);
        assert_eq!(read(&file, &key("2")), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
