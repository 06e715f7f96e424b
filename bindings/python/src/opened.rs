//! A bundle that this process has opened, and its sessions.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use duoguard::{EngineChoice, Model, ModelOptions, Session, SessionOptions};

use crate::error::{Failure, guarded};

/// How many times this process's ancestors have forked on the way to it.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Notes that this process is the child of a fork.
pub fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Which bundle, on what.
#[derive(Clone, Debug)]
pub struct Source {
    pub path: PathBuf,
    /// The text of the key whose signature the bundle must have.
    pub public_key: Option<String>,
    pub engine: EngineChoice,
    pub threads: NonZeroUsize,
}

/// A model and sessions on it that wait for work. Threads share it; each computes with a session
/// that it takes.
pub struct Opened {
    pub model: Model,
    /// The name of each category, in the order of scores.
    pub categories: Arc<[String]>,
    /// What computes, as the automatic choice chose it.
    pub engine: String,
    options: SessionOptions,
    waiting: Mutex<Vec<Session>>,
    generation: u64,
}

impl Opened {
    /// Opens a bundle and one session.
    pub fn new(source: &Source) -> Result<Self, Failure> {
        let model = open_model(&source.path, source.public_key.as_deref())?;
        let options = SessionOptions {
            engine: source.engine.clone(),
            threads: source.threads,
        };
        let session = open_session(&model, &options)?;
        Ok(Self {
            categories: model.categories().into(),
            engine: session.engine().to_owned(),
            model,
            options,
            waiting: Mutex::new(vec![session]),
            generation: GENERATION.load(Ordering::Relaxed),
        })
    }

    /// Whether it was opened before this process was forked off, and must not be touched.
    pub fn is_stale(&self) -> bool {
        self.generation != GENERATION.load(Ordering::Relaxed)
    }

    /// A session that waits; `None` if all are at work. With the interpreter's lock held.
    pub fn take(&self) -> Option<Session> {
        self.lock().pop()
    }

    /// As many of them as there are, up to `most`.
    pub fn take_many(&self, most: usize) -> Vec<Session> {
        let mut waiting = self.lock();
        let rest = waiting.len().saturating_sub(most);
        waiting.split_off(rest)
    }

    /// Puts sessions back. With the interpreter's lock held.
    pub fn put(&self, sessions: impl IntoIterator<Item = Session>) {
        self.lock().extend(sessions);
    }

    /// Opens another session. Without the interpreter's lock.
    pub fn session(&self) -> Result<Session, Failure> {
        open_session(&self.model, &self.options)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        // A list of sessions is whole whatever happened to who held it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a bundle; with a key, one that has its signature.
pub fn open_model(path: &Path, public_key: Option<&str>) -> Result<Model, Failure> {
    guarded(|| {
        let options = ModelOptions {
            public_key: public_key.map(str::parse).transpose()?,
            ..ModelOptions::default()
        };
        Model::open_with(path, &options)
    })
}

fn open_session(model: &Model, options: &SessionOptions) -> Result<Session, Failure> {
    guarded(|| model.session(options))
}

/// A folder as an absolute path, so that it means the same when the working directory changes.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|cause| Failure::argument(format!("{}: {cause}", path.display())))
}
