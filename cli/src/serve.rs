//! `duoguard serve`: checks over HTTP, and a proxy that guards a model.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use duoguard::SessionOptions;
use duoguard_serve::{Limits, Listen, PolicyOverrides, ServeOptions, Tls, UpstreamOptions, serve};

use crate::Outcome;
use crate::cli::ModelArgs;
use crate::failure::Failure;
use crate::model_path;

/// Check texts over HTTP, and guard a model as a proxy before it
///
/// Answers /v1/moderations, /v1/classify and LiteLLM's guardrail; a page for people is at /, and
/// /openapi.json describes all of it. With --upstream, every prompt is checked before the upstream
/// sees it, and every response before the client does. SIGHUP reads the policy again; SIGTERM ends
/// the server when requests in flight are answered.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  duoguard serve
  duoguard serve --upstream http://127.0.0.1:8000 --policy policy.toml
  duoguard serve --listen unix:/run/duoguard/duoguard.sock

The policy's fields are in docs/serving.md.")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Where to listen: an address and a port, or unix: and a path
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8477", value_parser = parse_listen)]
    listen: Listen,
    /// The OpenAI-compatible server to guard
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// A file with the key that the upstream is sent in place of the client's
    #[arg(long, value_name = "FILE", requires = "upstream")]
    upstream_key: Option<PathBuf>,
    /// How long the upstream's answer may take to begin
    #[arg(long, value_name = "SECONDS", requires = "upstream", default_value = "600",
          value_parser = clap::value_parser!(u64).range(1..=86400))]
    upstream_timeout: u64,
    /// The policy: what is unsafe, and what happens then
    #[arg(long, value_name = "FILE.toml")]
    policy: Option<PathBuf>,
    /// Bytes of a streamed response that are held back, in place of the policy's
    #[arg(long, value_name = "BYTES")]
    holdback: Option<usize>,
    /// Block nothing, and only record
    #[arg(long)]
    audit: bool,
    /// Let pass what cannot be checked; without, it is refused
    #[arg(long)]
    fail_open: bool,
    /// Ask for an API key: a file with the SHA-256 of one key a line
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Speak TLS with this certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Texts that are checked at a time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = parse_workers)]
    workers: Option<NonZeroUsize>,
    /// Texts that may wait or be worked on, before the answer is 429
    #[arg(long, value_name = "N", default_value = "256",
          value_parser = clap::value_parser!(u32).range(1..=65536))]
    queue: u32,
    /// Texts in one request, at most
    #[arg(long, value_name = "N", default_value = "128",
          value_parser = clap::value_parser!(u32).range(1..=65536))]
    max_texts: u32,
    /// Tokens of one text, at most
    #[arg(long, value_name = "N", default_value = "32768",
          value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// Bytes of a request's body, at most
    #[arg(long, value_name = "N", default_value = "1048576",
          value_parser = clap::value_parser!(u32).range(1..))]
    max_body: u32,
    /// How long a text may wait and be worked on
    #[arg(long, value_name = "SECONDS", default_value = "30",
          value_parser = clap::value_parser!(u64).range(1..=86400))]
    timeout: u64,
    /// How the log is written to standard error
    #[arg(long, value_enum, default_value = "text")]
    log: LogFormat,
    /// Log every request, and not only warnings and what is unsafe
    #[arg(long)]
    log_requests: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// A line for people
    Text,
    /// A JSON object a line
    Json,
}

/// More would only wait for each other.
const MAX_WORKERS: usize = 1024;

pub(crate) fn run(arguments: &ServeArgs) -> Result<Outcome, Failure> {
    write_log(arguments);
    let model = model_path::open(&arguments.model)?;
    let session = SessionOptions {
        engine: arguments.model.engine.clone(),
        threads: arguments.model.threads,
    };
    serve(&model, &session, &options(arguments))?;
    Ok(Outcome::Safe)
}

fn options(arguments: &ServeArgs) -> ServeOptions {
    let defaults = ServeOptions::default();
    let tls = arguments
        .tls_certificate
        .clone()
        .zip(arguments.tls_key.clone());
    ServeOptions {
        listen: arguments.listen.clone(),
        tls: tls.map(|(certificate, key)| Tls { certificate, key }),
        keys: arguments.keys.clone(),
        policy: arguments.policy.clone(),
        overrides: PolicyOverrides {
            holdback_bytes: arguments.holdback,
            audit: arguments.audit,
            fail_open: arguments.fail_open,
        },
        upstream: arguments.upstream.clone().map(|url| UpstreamOptions {
            url,
            key: arguments.upstream_key.clone(),
            timeout: Duration::from_secs(arguments.upstream_timeout),
        }),
        workers: arguments.workers.unwrap_or(defaults.workers),
        limits: Limits {
            queue: arguments.queue as usize,
            texts: arguments.max_texts as usize,
            tokens: arguments.max_tokens as usize,
            body_bytes: arguments.max_body as usize,
            timeout: Duration::from_secs(arguments.timeout),
            ..defaults.limits
        },
    }
}

/// Begins the log. It never holds a text.
fn write_log(arguments: &ServeArgs) {
    use tracing_subscriber::filter::LevelFilter;
    use tracing_subscriber::fmt;
    let level = match arguments.log_requests {
        true => LevelFilter::DEBUG,
        false => LevelFilter::INFO,
    };
    let log = fmt()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_max_level(level);
    match arguments.log {
        LogFormat::Text => log.with_ansi(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

fn parse_listen(text: &str) -> Result<Listen, String> {
    match text.strip_prefix("unix:") {
        Some("") => Err("expected a path after unix:".to_owned()),
        Some(path) => Ok(Listen::Unix(path.into())),
        None => {
            let address = text.parse::<SocketAddr>();
            let wrong = "expected an address and a port, as in 127.0.0.1:8477, or unix: and a path";
            address.map(Listen::Tcp).map_err(|_| wrong.to_owned())
        }
    }
}

fn parse_workers(text: &str) -> Result<NonZeroUsize, String> {
    let parsed = text.parse::<NonZeroUsize>().ok();
    parsed
        .filter(|workers| workers.get() <= MAX_WORKERS)
        .ok_or_else(|| format!("expected a number from 1 to {MAX_WORKERS}"))
}
