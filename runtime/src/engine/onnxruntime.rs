//! The fast engine: ONNX Runtime, a native library that is looked for at run time.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::SessionBuilder;
use ort::session::{Session, SessionInputValue, SessionOutputs};
use ort::value::TensorRef;

use super::batch::{TokenBatch, check_batch, take_logits};
use super::cache::{KeyValues, StreamEngine};
use super::entry::{Device, Engine, EngineEntry};
use crate::bundle::Weights;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, INPUT, OUTPUT};
use crate::stream_graph::StreamGraph;

const NAME: &str = "onnxruntime";

pub(super) const ENTRY: EngineEntry = EngineEntry {
    name: NAME,
    device: Device::Cpu,
    available,
    // It interprets graphs, and says what it misses when it loads one.
    knows: |_| Ok(()),
    open,
    open_stream: Some(open_stream),
};

/// The environment variable that names the library; when it is set, nothing else is looked at.
const PATH_VARIABLE: &str = "ORT_DYLIB_PATH";
const SYSTEM_FOLDERS: [&str; 8] = [
    "/usr/local/lib",
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/opt/onnxruntime/lib",
    "/opt/homebrew/lib",
    "/opt/local/lib",
];

struct Library {
    environment: Environment,
    path: PathBuf,
}

/// The library, loaded on first use. A process loads it once: neither it nor its environment can be
/// unloaded.
fn library() -> std::result::Result<&'static Library, String> {
    static LIBRARY: OnceLock<std::result::Result<Library, String>> = OnceLock::new();
    LIBRARY.get_or_init(load).as_ref().map_err(String::clone)
}

fn load() -> std::result::Result<Library, String> {
    let mut failures = Vec::new();
    let candidates = match std::env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => {
            // The crate `ort` would take a relative path as relative to the executable; people mean
            // the current folder.
            let path = std::path::absolute(&path).unwrap_or_else(|_| path.into());
            BTreeSet::from([(0, path)])
        }
        None => candidates(),
    };
    for (_, path) in candidates {
        // `ort::init_from` reports what is wrong; the path that `ort` takes without it panics.
        match ort::init_from(&path) {
            // Nothing leaves the machine: telemetry is off.
            Ok(builder) => match builder.with_name("duoguard").with_telemetry(false).build() {
                Ok(environment) => return Ok(Library { environment, path }),
                Err(cause) => {
                    return Err(format!(
                        "{}: cannot start ONNX Runtime: {cause}",
                        path.display()
                    ));
                }
            },
            Err(cause) => failures.push(cause.to_string()),
        }
    }
    if failures.is_empty() {
        failures.push(format!(
            "{} was not found next to the executable, in ../lib, in target/onnxruntime of a \
             development tree, or in the system's folders",
            library_name()
        ));
    }
    Err(format!(
        "{}; install ONNX Runtime 1.{} or later (`pip install onnxruntime` has it, as \
         onnxruntime/capi/{}) and name the file in \
         {PATH_VARIABLE}, or put it next to the executable",
        failures.join("; "),
        ort::MINOR_VERSION,
        library_name(),
    ))
}

fn library_name() -> String {
    format!(
        "{}onnxruntime{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    )
}

/// Existing files that look like the library, with the rank of the folder they are in.
fn candidates() -> BTreeSet<(usize, PathBuf)> {
    let mut folders = Vec::new();
    if let Ok(executable) = std::env::current_exe() {
        if let Some(folder) = executable.parent() {
            folders.push(folder.to_owned());
            folders.push(folder.join("../lib"));
        }
        // A development tree: the executable lies somewhere under `target`.
        let targets = executable
            .ancestors()
            .filter(|folder| folder.ends_with("target"));
        folders.extend(targets.map(|target| target.join("onnxruntime")));
    }
    folders.extend(SYSTEM_FOLDERS.map(PathBuf::from));
    let ranked = folders.iter().enumerate();
    ranked
        .flat_map(|(rank, folder)| {
            libraries_in(folder)
                .into_iter()
                .map(move |path| (rank, path))
        })
        .collect()
}

/// The library under its plain name or with a version, in a folder or in its `lib`.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let name = library_name();
    let versioned = format!("{name}.");
    // macOS puts the version before the suffix.
    let dotted = format!("{}onnxruntime.", std::env::consts::DLL_PREFIX);
    let fits = |file: &str| {
        file == name
            || file.starts_with(&versioned)
            || (file.starts_with(&dotted) && file.ends_with(std::env::consts::DLL_SUFFIX))
    };
    let entries = [folder.to_owned(), folder.join("lib")]
        .into_iter()
        .filter_map(|folder| folder.read_dir().ok());
    let paths = entries
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .filter(|path| {
            path.is_file()
                && path
                    .file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(fits)
        })
        .collect()
}

fn available() -> std::result::Result<String, String> {
    library().map(|library| library.path.display().to_string())
}

struct OnnxRuntime {
    session: Session,
    /// The graph's name in a bundle.
    file: &'static str,
}

fn open(graph: &Graph, threads: NonZeroUsize) -> Result<Box<dyn Engine>> {
    Ok(Box::new(OnnxRuntime {
        session: loaded(graph, (1, 1), threads)?,
        file: graph.file(),
    }))
}

fn loaded(
    graph: &Graph,
    (inputs, outputs): (usize, usize),
    threads: NonZeroUsize,
) -> Result<Session> {
    let library =
        library().map_err(|reason| Error::unsupported(format!("engine {NAME}: {reason}")))?;
    let refused = |cause: String| {
        Error::model(format!(
            "{}: engine {NAME} cannot load it: {cause}; get the bundle again or try another engine",
            graph.file()
        ))
    };
    let mut builder = configured(library, graph, threads)
        .map_err(|cause| failed("cannot configure a session", cause))?;
    let session = builder
        .commit_from_memory(graph.onnx())
        .map_err(|cause| refused(cause.to_string()))?;
    let found = (session.inputs().len(), session.outputs().len());
    if found != (inputs, outputs) {
        return Err(refused(format!(
            "{} inputs and {} outputs; expected {inputs} and {outputs}",
            found.0, found.1
        )));
    }
    Ok(session)
}

struct OnnxRuntimeStream {
    session: Session,
    /// The graph's name in a bundle.
    file: &'static str,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

fn open_stream(stream: &StreamGraph, threads: NonZeroUsize) -> Result<Box<dyn StreamEngine>> {
    let (inputs, outputs) = (stream.inputs(), stream.outputs());
    let count = (inputs.len(), outputs.len());
    Ok(Box::new(OnnxRuntimeStream {
        session: loaded(&stream.graph, count, threads)?,
        file: stream.graph.file(),
        inputs,
        outputs,
    }))
}

fn configured(
    library: &Library,
    graph: &Graph,
    threads: NonZeroUsize,
) -> std::result::Result<SessionBuilder, String> {
    let text = |cause: &dyn Display| cause.to_string();
    // ONNX Runtime copies the tensors out while it creates the session; this copy of the file lives
    // only until then.
    let weights: Arc<[u8]> = Arc::from(&graph.weights()[..]);
    let builder = SessionBuilder::new(&library.environment).map_err(|cause| text(&cause))?;
    // What goes wrong is in the error; a library does not write to its host's stderr.
    let builder = builder
        .with_log_level(LogLevel::Fatal)
        .map_err(|cause| text(&cause))?;
    let builder = builder
        .with_intra_threads(threads.get())
        .map_err(|cause| text(&cause))?;
    // Threads that spin while they wait take the cores that the host program needs.
    let builder = builder
        .with_intra_op_spinning(false)
        .map_err(|cause| text(&cause))?;
    let builder = builder
        .with_inter_op_spinning(false)
        .map_err(|cause| text(&cause))?;
    let builder = builder
        .with_parallel_execution(false)
        .map_err(|cause| text(&cause))?;
    builder
        .with_external_initializer_file_in_memory(Weights::FILE, weights)
        .map_err(|cause| text(&cause))
}

impl Engine for OnnxRuntime {
    fn name(&self) -> &str {
        NAME
    }

    fn run(&mut self, batch: &TokenBatch<'_>, logits: &mut [f32]) -> Result<()> {
        check_batch(NAME, batch)?;
        let ids: Vec<i64> = batch.ids.iter().map(|id| i64::from(*id)).collect();
        let ids = TensorRef::from_array_view(([batch.rows, batch.tokens], &ids[..]))
            .map_err(|cause| failed("cannot take the tokens", cause))?;
        let outputs = self
            .session
            .run(ort::inputs![INPUT => ids])
            .map_err(|cause| failed(&format!("cannot run {}", self.file), cause))?;
        let (shape, found) = output(&outputs, self.file, OUTPUT)?;
        take_logits((NAME, self.file), batch.rows, &shape, found, logits)
    }
}

impl StreamEngine for OnnxRuntimeStream {
    fn run(&mut self, past: KeyValues, ids: &[u32], logits: &mut [f32]) -> Result<KeyValues> {
        let batch = TokenBatch::one(ids);
        check_batch(NAME, &batch)?;
        let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        let take = |cause| failed("cannot take the tokens so far", cause);
        let ids = TensorRef::from_array_view(([1, ids.len()], &ids[..])).map_err(take)?;
        let mut values: Vec<SessionInputValue<'_>> = vec![ids.into()];
        let parts: Vec<_> = past.by_heads().collect();
        for (shape, part) in &parts {
            let part = TensorRef::from_array_view((*shape, &part[..])).map_err(take)?;
            values.push(part.into());
        }
        let inputs: Vec<_> = self.inputs.iter().map(String::as_str).zip(values).collect();
        let outputs = self
            .session
            .run(inputs)
            .map_err(|cause| failed(&format!("cannot run {}", self.file), cause))?;
        let file = self.file;
        let (shape, found) = output(&outputs, file, OUTPUT)?;
        take_logits((NAME, file), 1, &shape, found, logits)?;
        let part = |name: &String| {
            let (shape, values) = output(&outputs, file, name)?;
            Ok((shape, values.to_vec()))
        };
        let parts: Vec<_> = self.outputs[1..].iter().map(part).collect::<Result<_>>()?;
        past.followed_by(batch.tokens, parts)
    }
}

fn output<'a>(
    outputs: &'a SessionOutputs<'_>,
    file: &str,
    name: &str,
) -> Result<(Vec<usize>, &'a [f32])> {
    let not_found = || Error::model(format!("{file}: it has no output named {name}"));
    let output = outputs.get(name).ok_or_else(not_found)?;
    let (shape, found) = output.try_extract_tensor::<f32>().map_err(|cause| {
        Error::model(format!("{file}: {name} is not a float32 tensor: {cause}"))
    })?;
    let shape = shape.iter().map(|size| usize::try_from(*size).unwrap_or(0));
    Ok((shape.collect(), found))
}

fn failed(action: &str, cause: impl Display) -> Error {
    Error::new(
        ErrorKind::Engine,
        format!("engine {NAME}: {action}: {cause}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_under_its_plain_and_versioned_names() {
        let folder = tempfile::tempdir().unwrap();
        let lib = folder.path().join("lib");
        std::fs::create_dir(&lib).unwrap();
        let plain = folder.path().join(library_name());
        let versioned = lib.join(format!("{}.1.32.0", library_name()));
        for file in [
            &plain,
            &versioned,
            &lib.join("libonnxruntime_providers_shared.so"),
            &lib.join("libother.so"),
        ] {
            std::fs::write(file, "").unwrap();
        }
        let mut found = libraries_in(folder.path());
        found.sort();
        assert_eq!(found, [versioned, plain]);
        assert!(libraries_in(&folder.path().join("gone")).is_empty());
    }
}
