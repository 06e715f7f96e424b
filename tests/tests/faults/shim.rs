//! The library that makes one call fail, and a program run under it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;

/// What a program asks of the system, of which one call is made to fail.
pub const KINDS: [&str; 7] = ["open", "read", "write", "rename", "map", "sync", "allocate"];
/// How long a program may take: far more than it does, on a busy machine too.
const LIMIT: Duration = Duration::from_secs(600);

/// The compiled library.
pub struct Shim {
    library: PathBuf,
    /// Where it says that the call came.
    fired: PathBuf,
    output: PathBuf,
}

/// How a program ended.
pub struct Ending {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// Which call failed, and on which descriptor; `None` where the program made fewer calls.
    pub failed: Option<String>,
    pub hung: bool,
    /// What its client was answered, where that was no good answer.
    pub refused: Option<String>,
}

impl Shim {
    /// Compiles it into `folder`.
    pub fn compile(folder: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
        let library = folder.join("shim.so");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(source)
            .status()
            .expect("this test needs a C compiler named cc");
        assert!(status.success(), "cc could not compile the shim");
        Self {
            library,
            fired: folder.join("fired"),
            output: folder.join("output"),
        }
    }

    /// Runs `command` with the call number `n` of a kind failing; with none where `fault` is
    /// `None`. A server is asked by its client. What takes too long is killed.
    pub fn run(
        &self,
        mut command: Command,
        client: Option<&Client>,
        fault: Option<(&str, usize)>,
    ) -> Ending {
        let _ = fs::remove_file(&self.fired);
        if let Some((kind, n)) = fault {
            command
                .env("LD_PRELOAD", &self.library)
                .env("DUOGUARD_FAULT", format!("{kind}:{n}"))
                .env("DUOGUARD_FAULT_FIRED", &self.fired);
        }
        // Into files: a pipe that nobody empties would hang a program that says much.
        let (stdout, stderr) = (self.output.clone(), self.output.with_extension("error"));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(fs::File::create(&stdout).unwrap())
            .stderr(fs::File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let refused = client.and_then(|client| client.visit(&mut child).err());
        let started = Instant::now();
        let mut hung = false;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > LIMIT {
                hung = true;
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        Ending {
            status,
            stdout: fs::read(&stdout).unwrap(),
            stderr: String::from_utf8_lossy(&fs::read(&stderr).unwrap()).into_owned(),
            failed: fs::read_to_string(&self.fired).ok(),
            hung,
            refused,
        }
    }
}
