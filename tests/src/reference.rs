//! The official server, as a process.

use std::sync::OnceLock;

use signalr_harness::program;
pub use signalr_harness::program::{Program as Server, skipped};

static SERVER: OnceLock<Option<Server>> = OnceLock::new();

/// The address of the reference server, started once for the whole program. `None` when there is none on this machine.
///
/// It is looked for where `SIGNALR_REFERENCE_SERVER` says (the script that starts it), else beside the repository.
///
/// # Panics
/// When there is none but `CI` is `true`: there it must not be missing.
pub fn url() -> Option<&'static str> {
    let server = SERVER.get_or_init(|| start(&[]));
    if server.is_none() {
        program::missing(
            "no reference server; set SIGNALR_REFERENCE_SERVER to the script that starts it",
        );
    }
    server.as_ref().map(|server| server.url.as_str())
}

/// Starts a server of one's own, with more arguments. It runs until it is dropped.
pub fn start(arguments: &[String]) -> Option<Server> {
    let script = program::reference_script();
    script.exists().then_some(())?;
    Server::start(&script, arguments).ok()
}
