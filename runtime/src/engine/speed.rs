//! How fast the engines were, remembered in a small file beside the bundle, or among the user's
//! caches where that cannot be written.

use std::fs;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::graph::Origin;

/// The file's name.
pub(super) const FILE: &str = "engine-speed.json";
/// The largest file that is read; it has an entry for each machine and number of threads that
/// opened the bundle.
const MAX_BYTES: u64 = 64 << 10;
/// The entries that are kept, the newest.
const MAX_ENTRIES: usize = 32;

/// What a measurement holds for. On another machine, or for another version, it is made again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Key {
    /// The SHA-256 of graph and weights.
    files: String,
    /// The GPU, with its driver's version.
    adapter: String,
    /// The engine that it was compared with.
    cpu: String,
    threads: usize,
    /// Processors of the machine, and their kind.
    machine: String,
    /// The version of this crate.
    version: String,
}

impl Key {
    pub(super) fn new(origin: &Origin, adapter: &str, cpu: &str, threads: NonZeroUsize) -> Self {
        let processors = std::thread::available_parallelism().map_or(0, NonZeroUsize::get);
        Self {
            files: origin.files.clone(),
            adapter: adapter.to_owned(),
            cpu: cpu.to_owned(),
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

/// Where the file may lie, best first: beside the bundle, then among the user's caches.
pub(super) fn places(folder: Option<&Path>) -> Vec<PathBuf> {
    let user = user_caches().map(|caches| caches.join("duoguard"));
    let folders = folder.map(Path::to_owned).into_iter().chain(user);
    folders.map(|folder| folder.join(FILE)).collect()
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

/// What was measured for `key`, if any of the files says.
pub(super) fn read(places: &[PathBuf], key: &Key) -> Option<Speed> {
    let mut entries = places.iter().flat_map(|path| entries(path));
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

/// Notes a measurement in the first file that can be written. Where none can, the next process
/// measures again.
pub(super) fn write(places: &[PathBuf], key: &Key, speed: Speed) {
    for path in places {
        if write_file(path, key, speed).is_ok() {
            return;
        }
    }
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
    // The bundle's folder is there; the user's own is made.
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
        let origin = Origin {
            folder: None,
            files: "ab".to_owned(),
            model_type: "qwen2".to_owned(),
            scheme: None,
        };
        Key::new(&origin, adapter, "rten", NonZeroUsize::MIN)
    }

    const SPEED: Speed = Speed {
        cpu_ms: 1.5,
        gpu_ms: 0.5,
    };

    #[test]
    fn the_second_place_is_taken_where_the_first_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        // A file where a folder would have to be: not even root can write below it.
        let blocked = folder.path().join("blocked");
        fs::write(&blocked, "").unwrap();
        let places = [blocked.join(FILE), folder.path().join("caches").join(FILE)];
        write(&places, &key("a"), SPEED);
        assert!(places[1].is_file());
        assert_eq!(read(&places, &key("a")), Some(SPEED));
        assert_eq!(read(&places, &key("b")), None);
        write(&places[..1], &key("b"), SPEED);
        assert_eq!(read(&places, &key("b")), None);
    }

    #[test]
    fn the_newest_entries_are_kept_and_damaged_files_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let places = [folder.path().join(FILE)];
        for i in 0..MAX_ENTRIES + 2 {
            write(&places, &key(&i.to_string()), SPEED);
        }
        assert_eq!(read(&places, &key("0")), None);
        assert_eq!(read(&places, &key("2")), Some(SPEED));
        for damaged in ["", "[", "{}", r#"[{"key": 3}]"#] {
            fs::write(&places[0], damaged).unwrap();
            assert_eq!(read(&places, &key("2")), None, "{damaged}");
        }
        write(&places, &key("2"), SPEED);
        assert_eq!(read(&places, &key("2")), Some(SPEED));
        let negative = Speed {
            cpu_ms: -1.0,
            ..SPEED
        };
        write(&places, &key("2"), negative);
        assert_eq!(read(&places, &key("2")), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
