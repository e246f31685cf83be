//! Microsoft's own clients against our server, when they are there: they are not part of this repository.
//!
//! `SIGNALR_REFERENCE_SERVER` names the start script of the reference server; the .NET client's script lies next to it and
//! the JavaScript client's in `../js-client`. When `CI` is `true` they must be there.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use signalr_testkit::hubs::test_hubs;
use tokio::net::TcpListener;
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(300);

/// The directory of the reference programs.
fn references() -> PathBuf {
    let server = std::env::var_os("SIGNALR_REFERENCE_SERVER").map(PathBuf::from);
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/aspnet/server.sh");
    server
        .unwrap_or(default)
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

fn skip(what: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{what} must be there in CI"
    );
    // Not `eprintln!`, which the test runner swallows.
    let _ = writeln!(std::io::stderr(), "skipped: {what} is not there");
}

async fn installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .await
        .is_ok_and(|output| output.status.success())
}

async fn serve() -> SocketAddr {
    let (router, _) = test_hubs().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Runs a suite and checks its report.
async fn passes(mut command: Command) {
    command
        .args(["--transport", "websockets"])
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .unwrap()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed: Vec<&str> = report
        .lines()
        .filter(|line| line.starts_with("FAIL"))
        .collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(failed.is_empty(), "{failed:#?}\n{errors}");
    assert!(
        report.lines().filter(|line| line.starts_with("ok")).count() > 40,
        "{report}\n{errors}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_dotnet_client_is_content_with_our_server() {
    let script = references().join("client.sh");
    if !script.exists() {
        return skip("the official .NET client");
    }
    let mut command = Command::new(script);
    command.args(["suite", &format!("http://{}", serve().await)]);
    passes(command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_javascript_client_is_content_with_our_server() {
    let script = references().join("../js-client/run.sh");
    if !script.exists() || !installed("node").await || !installed("npm").await {
        return skip("the official JavaScript client, or node or npm");
    }
    let mut command = Command::new(script);
    command.arg(format!("http://{}", serve().await));
    passes(command).await;
}
