//! The protocol log of `-v`.

use tracing_subscriber::EnvFilter;

use crate::style::Style;

/// Begins to log to standard error, if that was asked for. The variable `RUST_LOG` chooses more finely.
pub(crate) fn start(verbosity: u8) {
    let level = match verbosity {
        0 => return,
        1 => "debug",
        _ => "trace",
    };
    let crates = [
        "signalr",
        "signalr_cli",
        "signalr_client",
        "signalr_net",
        "signalr_proto",
        "signalr_redis",
        "signalr_server",
        "signalr_tokio",
    ];
    let default = crates.map(|name| format!("{name}={level}")).join(",");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter);
    // Fails only when a log was begun before.
    let _ = log.with_ansi(Style::of_stderr().is_coloured()).try_init();
}
