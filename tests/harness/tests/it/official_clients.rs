//! Microsoft's own clients against our server, when they are there: they are not part of this repository.
//!
//! `SIGNALR_REFERENCE_SERVER` names the start script of the reference server; the .NET client's script lies next to it and
//! the JavaScript client's in `../js-client`. When `CI` is `true` they must be there. `SIGNALR_SERVER` points the suites at another
//! server than ours: what they expect is what they find with Microsoft's.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use signalr_harness::program::{self, Program};
use tokio::process::Command;

/// How long one transport may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// The transports, as the suites name them on their command lines.
const TRANSPORTS: [&str; 3] = ["websockets", "sse", "longpolling"];

/// What a suite passes over on transports other than WebSockets.
const WEB_SOCKETS_ONLY: [&str; 3] = [
    "skips negotiation",
    "reconnects after a cut",
    "resumes statefully, losing nothing",
];

/// Fails now and then with Microsoft's server, too: the clients' clocks and the token's, which is cut to whole seconds, run a race.
const RACE: &str = "is closed when its token expires, and reconnects";
const RACES: usize = 8;

/// An official client and its scenarios.
struct Suite {
    script: PathBuf,
    /// What stands before the address on its command line.
    verb: Option<&'static str>,
    scenarios: usize,
}

impl Suite {
    fn dot_net() -> Self {
        Self {
            script: program::reference_script().with_file_name("client.sh"),
            verb: Some("suite"),
            scenarios: 38,
        }
    }

    fn javascript() -> Self {
        let aspnet = program::reference_script();
        let shared = aspnet.parent().unwrap_or(&aspnet);
        Self {
            script: shared.join("../js-client/run.sh"),
            verb: None,
            scenarios: 27,
        }
    }

    /// Its report about a server.
    async fn run(&self, url: &str, options: &[&str]) -> String {
        let mut command = Command::new(&self.script);
        command.args(self.verb).arg(url).args(options);
        let output = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output())
            .await
            .unwrap_or_else(|_| panic!("{options:?} took longer than {PATIENCE:?}"))
            .unwrap();
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        // A suite that breaks off has no last line.
        assert!(report.contains(" passed, "), "{report}\n{errors}");
        report
    }

    /// What is wrong with a server on one transport. The suites count on the server's counters, so each run has a server of its
    /// own.
    async fn failures(&self, transport: &str) -> Vec<String> {
        let server = tokio::task::spawn_blocking(Program::hubs);
        let server = server.await.unwrap().unwrap();
        let report = self.run(&server.url, &["--transport", transport]).await;
        let mut lines = Lines::of(&report);
        let mut failures = Vec::new();
        for line in lines.failed {
            if line.name == RACE && self.wins(&server.url, transport, &line.protocol).await {
                lines.passed += 1;
            } else {
                failures.push(line.text);
            }
        }
        let expected = self.expected(transport);
        if (lines.passed, &lines.skipped) != (expected.passed, &expected.skipped) {
            failures.push(format!(
                "{transport}: {} passed and {:?} were skipped, instead of {} and {:?}",
                lines.passed, lines.skipped, expected.passed, expected.skipped
            ));
        }
        failures
    }

    /// Whether the race can be won at all.
    async fn wins(&self, url: &str, transport: &str, protocol: &str) -> bool {
        let only = [
            "--transport",
            transport,
            "--protocol",
            protocol,
            "--only",
            RACE,
        ];
        for _ in 0..RACES {
            if Lines::of(&self.run(url, &only).await).passed == 1 {
                return true;
            }
        }
        false
    }

    /// What Microsoft's server gets.
    fn expected(&self, transport: &str) -> Lines {
        // Server-sent events carry text only.
        let protocols = if transport == "sse" { 1 } else { 2 };
        let skipped = match transport {
            "websockets" => Vec::new(),
            _ => WEB_SOCKETS_ONLY.repeat(protocols),
        };
        Lines {
            passed: self.scenarios * protocols - skipped.len(),
            skipped: skipped.into_iter().map(str::to_owned).collect(),
            failed: Vec::new(),
        }
    }
}

/// A report: each scenario has a line such as `FAIL  WebSockets/json streams: what is wrong`.
#[derive(Debug, Default)]
struct Lines {
    passed: usize,
    skipped: Vec<String>,
    failed: Vec<Failed>,
}

#[derive(Debug)]
struct Failed {
    name: String,
    protocol: String,
    text: String,
}

impl Lines {
    fn of(report: &str) -> Self {
        let mut lines = Self::default();
        for line in report.lines() {
            let Some((word, rest)) = line.split_once("  ") else {
                continue;
            };
            let (way, rest) = rest.trim_start().split_once(' ').unwrap_or_default();
            let name = rest.split(": ").next().unwrap_or_default().to_owned();
            match word {
                "ok" => lines.passed += 1,
                "skip" => lines.skipped.push(name),
                "FAIL" => lines.failed.push(Failed {
                    name,
                    protocol: way.split('/').nth(1).unwrap_or_default().to_owned(),
                    text: line.to_owned(),
                }),
                _ => {}
            }
        }
        lines
    }
}

async fn content(suite: Suite) {
    let runs = TRANSPORTS.map(|transport| suite.failures(transport));
    let failures = join_all(runs).await.concat();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_dotnet_client_is_content_with_our_server() {
    let suite = Suite::dot_net();
    if !suite.script.exists() {
        return program::missing("the official .NET client");
    }
    content(suite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_javascript_client_is_content_with_our_server() {
    let suite = Suite::javascript();
    if !suite.script.exists() || !["node", "npm"].into_iter().all(program::is_installed) {
        return program::missing("the official JavaScript client, or node or npm");
    }
    content(suite).await;
}

#[test]
fn a_report_is_read_line_by_line() {
    let lines = Lines::of(
        "ok    WebSockets/json echoes text\n\
         skip  LongPolling/json skips negotiation: WebSockets only\n\
         FAIL  sse/json is closed when its token expires, and reconnects: Exception: expected long, got short\n\
         1 passed, 1 failed, 1 skipped\n",
    );
    assert_eq!(
        (lines.passed, lines.skipped),
        (1, vec!["skips negotiation".to_owned()])
    );
    let failed: Vec<_> = lines
        .failed
        .iter()
        .map(|line| (&*line.name, &*line.protocol))
        .collect();
    assert_eq!(failed, [(RACE, "json")]);
}
