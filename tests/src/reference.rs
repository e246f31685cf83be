//! The official server, as a process.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

static SERVER: OnceLock<Option<Server>> = OnceLock::new();

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Its address.
    pub url: String,
    /// Its standard input ends with this process, and the server with it.
    _process: Child,
}

/// The address of the reference server, started once for the whole program. `None` when there is none on this machine.
///
/// It is looked for where `SIGNALR_REFERENCE_SERVER` says (the script that starts it), else beside the repository.
///
/// # Panics
/// When there is none but `CI` is set: there it must not be missing.
pub fn url() -> Option<&'static str> {
    let server = SERVER.get_or_init(|| start(&[]));
    assert!(
        server.is_some() || env::var_os("CI").is_none_or(|value| value != "true"),
        "the reference server is missing: set SIGNALR_REFERENCE_SERVER"
    );
    if server.is_none() {
        skipped("no reference server; set SIGNALR_REFERENCE_SERVER to the script that starts it");
    }
    server.as_ref().map(|server| server.url.as_str())
}

/// Says that a test was passed over, where the test runner does not swallow it as it does with `eprintln!`.
pub fn skipped(why: &str) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

fn script() -> PathBuf {
    env::var_os("SIGNALR_REFERENCE_SERVER").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../shared/aspnet/server.sh"
            ))
        },
        PathBuf::from,
    )
}

/// Starts a server of one's own, with more arguments. It runs until it is dropped.
pub fn start(arguments: &[String]) -> Option<Server> {
    let script = script();
    if !script.exists() {
        return None;
    }
    let mut process = Command::new(&script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let output = process.stdout.take()?;
    let ready = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            let url = line.strip_prefix("READY ")?;
            Some(url.trim().to_owned())
        });
    Some(Server {
        url: ready?,
        _process: process,
    })
}
