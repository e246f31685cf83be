//! Microsoft's JavaScript client in a real browser: the page is of another origin than the hubs, as it often is in life.
//!
//! Needs Chromium (Debian's `chromium`; `SIGNALR_CHROMIUM` names another program) and npm. When `CI` is `true` they must be there.
//! `SIGNALR_SERVER` points the page at another server than ours.

mod site;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use signalr_harness::npm;
use signalr_harness::program::{self, Program};
use tokio::process::{Child, Command};

use site::Site;

/// How long the page may take for everything.
const PATIENCE: Duration = Duration::from_secs(240);

/// The transports, with the ways of each: event streams carry text only.
const TRANSPORTS: [(&str, usize); 3] = [("websockets", 2), ("sse", 1), ("longpolling", 2)];

/// Scenarios of the page.
const SCENARIOS: usize = 12;
/// Scenarios of the official suite; three of them are for WebSockets only.
const OFFICIAL: usize = 27;

/// A browser that shows one page, with a profile of its own.
struct Browser {
    process: Child,
    profile: PathBuf,
}

impl Browser {
    fn open(program: &str, name: &str, page: &str) -> Self {
        let profile = format!("{name}-{}", std::process::id());
        let profile = Path::new(env!("CARGO_TARGET_TMPDIR")).join(profile);
        let process = Command::new(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(page)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { process, profile }
    }

    async fn close(mut self) {
        self.process.kill().await.unwrap();
        // Its helpers notice a little later, and may still write: the folder is only temporary.
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

fn browser() -> Option<String> {
    let named = std::env::var("SIGNALR_CHROMIUM").ok();
    let known = ["chromium", "chromium-browser", "google-chrome"].map(str::to_owned);
    let found = |program: &String| program::is_installed(program);
    named.into_iter().chain(known).find(found)
}

/// Picks the scenarios whose names contain it.
fn only() -> Option<String> {
    std::env::var("SIGNALR_ONLY").ok()
}

/// What the page reports, line by line; nothing when something is not there. `name` tells the tests apart.
async fn reports(name: &str, suite: Option<&Path>) -> Option<Vec<String>> {
    let Some(browser) = browser() else {
        program::missing("no Chromium to show a page in");
        return None;
    };
    let packages = npm::install(
        Path::new(env!("CARGO_TARGET_TMPDIR")),
        include_str!("../package.json"),
    );
    let packages = match packages {
        Ok(packages) => packages,
        Err(why) => {
            program::missing(&format!("no JavaScript client: {why}"));
            return None;
        }
    };
    let hubs = tokio::task::spawn_blocking(Program::hubs)
        .await
        .unwrap()
        .unwrap();
    let mut site = Site::open(&packages, suite).await;
    let names: Vec<_> = TRANSPORTS.iter().map(|(name, _)| *name).collect();
    let page = format!(
        "{}/?hubs={}&transports={}&only={}{}",
        site.url,
        hubs.url,
        names.join(","),
        only().unwrap_or_default(),
        if suite.is_some() { "&suite" } else { "" }
    );
    let browser = Browser::open(&browser, name, &page);
    let mut lines = Vec::new();
    let read = async {
        while let Some(line) = site.reports.recv().await.filter(|line| line != "done") {
            lines.push(line);
        }
    };
    let finished = tokio::time::timeout(PATIENCE, read).await;
    browser.close().await;
    assert!(finished.is_ok(), "not done after {PATIENCE:?}: {lines:#?}");
    Some(lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_uses_the_hubs_over_every_transport() {
    let Some(lines) = reports("page", None).await else {
        return;
    };
    let failed: Vec<_> = lines
        .iter()
        .filter(|line| !line.ends_with(": ok"))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    if only().is_some() {
        return;
    }
    let ways: usize = TRANSPORTS.iter().map(|(_, ways)| ways).sum();
    assert_eq!(lines.len(), ways * SCENARIOS, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_suite_passes_in_a_browser_too() {
    let suite = program::reference_script().with_file_name("../js-client/suite.js");
    if !suite.exists() {
        return program::missing("the official JavaScript suite");
    }
    let Some(lines) = reports("suite", Some(&suite)).await else {
        return;
    };
    let count = |word: &str| lines.iter().filter(|line| line.starts_with(word)).count();
    let failed: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("FAIL"))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    if only().is_some() {
        return;
    }
    let web_sockets_only = |name| if name == "websockets" { 0 } else { 3 };
    let expected = TRANSPORTS
        .iter()
        .fold((0, 0), |(passed, skipped), (name, ways)| {
            let less = web_sockets_only(*name);
            (passed + ways * (OFFICIAL - less), skipped + ways * less)
        });
    assert_eq!((count("ok"), count("skip")), expected, "{lines:#?}");
}
