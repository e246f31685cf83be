//! Programs of Microsoft's JavaScript client beside ours: those in `examples` run in node against the hubs of the examples, and the
//! guide says truly how long they are.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use signalr::HubConnection;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::examples::{chat, dashboard_hub};

const PACKAGE: &str = r#"{
  "name": "signalr-examples",
  "private": true,
  "type": "module",
  "dependencies": {
    "@microsoft/signalr": "10.0.11"
  }
}
"#;

/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(30);

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(signalr::server::serve(listener, app).into_future());
    format!("http://{address}")
}

/// What the program of that name wrote. `None` where node or the package cannot be had.
async fn node(name: &str, arguments: &[&str], input: &str) -> Option<String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples");
    std::fs::create_dir_all(&folder).unwrap();
    let packages = match signalr_harness::npm::install(&folder, PACKAGE) {
        Ok(packages) => packages,
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{error}");
            eprintln!("skipped: {error}");
            return None;
        }
    };
    // A module finds its packages beside itself.
    let program = packages.join(name);
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    std::fs::copy(examples.join(name), &program).unwrap();
    let mut child = Command::new("node")
        .arg(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(input.as_bytes()).await.unwrap();
    drop(pipe);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output());
    let output = output.await.expect("node hangs").unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn a_chat_in_node_is_heard_by_a_client_in_rust() {
    let url = serve(chat::app(None).unwrap().1).await + "/chat";
    let watcher = HubConnection::builder(&url).build().unwrap();
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    watcher.on("Receive", move |user: String, text: String| {
        drop(heard.send(format!("{user}: {text}")));
    });
    watcher.start().await.unwrap();
    let Some(said) = node("chat.mjs", &[&url, "node"], "hello\nthere\n").await else {
        return;
    };
    assert_eq!(said, "node: hello\nnode: there\n");
    let mut all = Vec::new();
    while all.last().is_none_or(|line| line != "chat: somebody left") {
        let next = tokio::time::timeout(PATIENCE, hears.recv());
        all.push(next.await.expect("in time").unwrap());
    }
    let expected = [
        "chat: somebody came",
        "node: hello",
        "node: there",
        "chat: somebody left",
    ];
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_dashboard_in_node_tells_what_ours_tells() {
    let url = serve(dashboard_hub::app().unwrap()).await + "/dashboard";
    if let Some(told) = node("dashboard.mjs", &[&url], "").await {
        let expected = "kitchen: 2 readings, 20.5 °C on average\ncellar: 2 readings, 8.5 °C on average\n\
            cellar: 9 °C, 40 %\nkitchen: 21.5 °C, 40 %\n";
        assert_eq!(told, expected);
    }
}

/// The lines of a program without comments and blank ones.
fn length(name: &str) -> usize {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let text = std::fs::read_to_string(examples.join(name)).unwrap();
    let lines = text.lines().map(str::trim_start);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

#[test]
fn the_guide_says_how_long_the_programs_are() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/client.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let table = guide
        .split("### How long programs are")
        .nth(1)
        .and_then(|rest| rest.split("\n### ").next())
        .expect("the guide has the table");
    let mut rows = 0;
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        // | `chat.mjs` | 20 | `client` | 30 |
        let cells: Vec<_> = line
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        assert_eq!(cells[2].parse(), Ok(length(cells[1])), "{}", cells[1]);
        for (ours, lines) in cells[3].split("`, `").zip(cells[4].split(", ")) {
            assert_eq!(lines.parse(), Ok(length(&format!("{ours}.rs"))), "{ours}");
        }
        rows += 1;
    }
    assert_eq!(rows, 2);
}
