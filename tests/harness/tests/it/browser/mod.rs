//! Microsoft's JavaScript client in a real browser: the page is of another origin than the hubs, as it often is in life.
//!
//! Needs Chromium (Debian's `chromium`; `SIGNALR_CHROMIUM` names another program) and npm. When `CI` is `true` they must be there.
//! `SIGNALR_SERVER` points the page at another server than ours.

mod site;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join_all;
use signalr_harness::npm;
use signalr_harness::program::{self, Program};
use tokio::process::{Child, Command};

use site::Site;

/// How long the page may take for everything.
const PATIENCE: Duration = Duration::from_secs(240);

/// Transports and protocols: event streams carry text only.
const WAYS: [(&str, &str); 5] = [
    ("websockets", "json"),
    ("websockets", "messagepack"),
    ("sse", "json"),
    ("longpolling", "json"),
    ("longpolling", "messagepack"),
];

/// Scenarios of the page.
const SCENARIOS: usize = 12;
/// Scenarios of the official suite.
const OFFICIAL: usize = 27;
/// Those that it passes over on other transports.
const WEB_SOCKETS_ONLY: usize = 3;

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

/// What there is to show, and where to.
struct Shown {
    browser: String,
    packages: PathBuf,
    /// The official suite instead of the page's own scenarios.
    suite: Option<PathBuf>,
}

impl Shown {
    /// Nothing when something is not there.
    fn find(suite: Option<PathBuf>) -> Option<Self> {
        let Some(browser) = browser() else {
            program::missing("no Chromium to show a page in");
            return None;
        };
        let packages = npm::install(
            Path::new(env!("CARGO_TARGET_TMPDIR")),
            include_str!("../package.json"),
        );
        match packages {
            Ok(packages) => Some(Self {
                browser,
                packages,
                suite,
            }),
            Err(why) => {
                program::missing(&format!("no JavaScript client: {why}"));
                None
            }
        }
    }

    /// What the page reports of each way, line by line. Most of what it does is waiting, so each way has a browser and hubs of its
    /// own, all at the same time: one browser opens six connections to a server at most, too few for polls and event streams.
    async fn reports(&self) -> Vec<Vec<String>> {
        join_all(WAYS.map(|way| self.report(way))).await
    }

    async fn report(&self, (transport, protocol): (&str, &str)) -> Vec<String> {
        let hubs = tokio::task::spawn_blocking(Program::hubs);
        let hubs = hubs.await.unwrap().unwrap();
        let mut site = Site::open(&self.packages, self.suite.as_deref()).await;
        let page = format!(
            "{}/?hubs={}&transport={transport}&protocol={protocol}&only={}{}",
            site.url,
            hubs.url,
            only().unwrap_or_default(),
            if self.suite.is_some() { "&suite" } else { "" }
        );
        let kind = if self.suite.is_some() {
            "suite"
        } else {
            "page"
        };
        let name = format!("{kind}-{transport}-{protocol}");
        let browser = Browser::open(&self.browser, &name, &page);
        let mut lines = Vec::new();
        let read = async {
            while let Some(line) = site.reports.recv().await.filter(|line| line != "done") {
                lines.push(line);
            }
        };
        let finished = tokio::time::timeout(PATIENCE, read).await;
        browser.close().await;
        assert!(finished.is_ok(), "not done after {PATIENCE:?}: {lines:#?}");
        lines
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_uses_the_hubs_over_every_transport() {
    let Some(shown) = Shown::find(None) else {
        return;
    };
    for (way, lines) in WAYS.iter().zip(shown.reports().await) {
        let failed: Vec<_> = lines
            .iter()
            .filter(|line| !line.ends_with(": ok"))
            .collect();
        assert!(failed.is_empty(), "{failed:#?}");
        if only().is_none() {
            assert_eq!(lines.len(), SCENARIOS, "{way:?}: {lines:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_suite_passes_in_a_browser_too() {
    let suite = program::reference_script().with_file_name("../js-client/suite.js");
    if !suite.exists() {
        return program::missing("the official JavaScript suite");
    }
    let Some(shown) = Shown::find(Some(suite)) else {
        return;
    };
    for (way, lines) in WAYS.iter().zip(shown.reports().await) {
        let failed: Vec<_> = lines
            .iter()
            .filter(|line| line.starts_with("FAIL"))
            .collect();
        assert!(failed.is_empty(), "{failed:#?}");
        let count = |word: &str| lines.iter().filter(|line| line.starts_with(word)).count();
        let skipped = if way.0 == "websockets" {
            0
        } else {
            WEB_SOCKETS_ONLY
        };
        if only().is_none() {
            let counts = (count("ok"), count("skip"));
            assert_eq!(counts, (OFFICIAL - skipped, skipped), "{way:?}: {lines:#?}");
        }
    }
}
