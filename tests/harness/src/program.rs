//! Servers that run as programs of their own: our test hubs, and Microsoft's server behind the same interface.
//!
//! A start script prints `READY URL` once its server listens; the server ends when its standard input does.

use std::env;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to end by itself.
const FAREWELL: Duration = Duration::from_secs(10);

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Program {
    /// Its address.
    pub url: String,
    _process: Option<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    /// Kept, so that whatever else it prints has somewhere to go.
    _output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts the server behind a script and waits until it listens. That may take as long as building it.
    ///
    /// # Errors
    /// When the script cannot be started, or ends without saying where its server listens.
    pub fn start<S: AsRef<str>>(script: &Path, arguments: &[S]) -> io::Result<Self> {
        let mut child = Command::new(script)
            .args(arguments.iter().map(AsRef::as_ref))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        match ready(&mut output)? {
            Some(url) => Ok(Self {
                url,
                _process: Some(Process {
                    child,
                    _output: output,
                }),
            }),
            None => Err(io::Error::other(format!(
                "{} ended with {} before its server listened",
                script.display(),
                child.wait()?
            ))),
        }
    }

    /// Our test hubs, in the release build; or whatever `SIGNALR_SERVER` names: the start script of another server, or the
    /// address of one that runs.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn hubs() -> io::Result<Self> {
        match env::var("SIGNALR_SERVER") {
            Ok(url) if url.starts_with("http") => Ok(Self {
                url,
                _process: None,
            }),
            Ok(script) => Self::start::<&str>(Path::new(&script), &[]),
            Err(_) => Self::start::<&str>(
                Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/hubs.sh")),
                &[],
            ),
        }
    }
}

fn ready(output: &mut BufReader<ChildStdout>) -> io::Result<Option<String>> {
    let mut line = String::new();
    while output.read_line(&mut line)? > 0 {
        if let Some(url) = line.strip_prefix("READY ") {
            return Ok(Some(url.trim().to_owned()));
        }
        line.clear();
    }
    Ok(None)
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < FAREWELL {
            thread::sleep(Duration::from_millis(20));
        }
        // What has ended already cannot be killed, and nothing more can be done about what cannot be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether [`Program::hubs`] is our own server.
#[must_use]
pub fn hubs_are_ours() -> bool {
    env::var_os("SIGNALR_SERVER").is_none()
}

/// The start script of Microsoft's server: where `SIGNALR_REFERENCE_SERVER` says, else beside the repository. Their clients lie
/// next to it.
#[must_use]
pub fn reference_script() -> PathBuf {
    env::var_os("SIGNALR_REFERENCE_SERVER").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../../shared/aspnet/server.sh"
            ))
        },
        PathBuf::from,
    )
}

/// Whether nothing may be missing.
#[must_use]
pub fn in_ci() -> bool {
    env::var("CI").as_deref() == Ok("true")
}

/// Says that a test was passed over because something is not there.
///
/// # Panics
/// When `CI` is `true`: there everything must be.
pub fn missing(what: &str) {
    assert!(!in_ci(), "in CI this must not be missing: {what}");
    skipped(what);
}

/// Says that a test was passed over, where the test runner does not swallow it.
pub fn skipped(what: &str) {
    // Not `eprintln!`, which the test runner swallows. Without a standard error there is nobody to tell.
    let _ = writeln!(io::stderr(), "skipped: {what}");
}

/// Whether a program can be started.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
