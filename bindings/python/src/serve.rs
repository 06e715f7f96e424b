//! `python -m duoguard serve`.

use std::path::PathBuf;

use duoguard::SessionOptions;
use duoguard_serve::{Listen, PolicyOverrides, ServeError, ServeOptions, UpstreamOptions};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::error::Failure;
use crate::opened::open_model;

/// How long an upstream may take until its answer begins.
const UPSTREAM_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(600);

/// Serves until the process is asked to end; docs/serving.md describes what.
#[pyfunction]
#[pyo3(signature = (path, *, public_key, listen, policy, keys, upstream, upstream_key, audit, fail_open))]
#[allow(clippy::too_many_arguments, reason = "Python's keyword arguments")]
pub fn serve(
    py: Python<'_>,
    path: PathBuf,
    public_key: Option<&str>,
    listen: &str,
    policy: Option<PathBuf>,
    keys: Option<PathBuf>,
    upstream: Option<String>,
    upstream_key: Option<PathBuf>,
    audit: bool,
    fail_open: bool,
) -> PyResult<()> {
    let options = ServeOptions {
        listen: parse_listen(listen)?,
        policy,
        keys,
        overrides: PolicyOverrides {
            holdback_bytes: None,
            audit,
            fail_open,
        },
        upstream: upstream.map(|url| UpstreamOptions {
            url,
            key: upstream_key,
            timeout: UPSTREAM_TIMEOUT,
        }),
        ..ServeOptions::default()
    };
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr);
    // Whoever set a log before keeps it.
    let _ = log.with_target(false).with_ansi(false).try_init();
    py.detach(|| {
        let model = open_model(&path, public_key)?;
        duoguard_serve::serve(&model, &SessionOptions::default(), &options)
            .map_err(|error: ServeError| PyRuntimeError::new_err(error.to_string()))
    })
}

fn parse_listen(text: &str) -> Result<Listen, Failure> {
    match text.strip_prefix("unix:") {
        Some(path) if !path.is_empty() => Ok(Listen::Unix(path.into())),
        _ => text.parse().map(Listen::Tcp).map_err(|_| {
            Failure::argument(format!(
                "listen is {text:?}; expected an address and a port, as in 127.0.0.1:8477, or \
                 unix: and a path"
            ))
        }),
    }
}
