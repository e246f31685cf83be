//! The recorded conversations of Microsoft's server, held again over real sockets: with ours, or with the one that `SIGNALR_SERVER`
//! names. Microsoft's own passes without a difference, and so shows that the conversations are held as they were.

mod calls;
mod differences;
mod http;
mod web_socket;
mod wire;

use std::net::SocketAddr;

use futures_util::{StreamExt as _, stream};
use signalr_harness::hubs::test_hubs;
use signalr_harness::program::{self, Program};
use tokio::net::TcpListener;

/// Conversations at the same time.
const AT_ONCE: usize = 24;

/// A server for as long as the test runs.
struct Server {
    address: SocketAddr,
    _program: Option<Program>,
}

impl Server {
    async fn start() -> Self {
        if program::hubs_are_ours() {
            let (router, _) = test_hubs().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async move { signalr_server::serve(listener, router).await });
            return Self {
                address,
                _program: None,
            };
        }
        let program = tokio::task::spawn_blocking(Program::hubs)
            .await
            .unwrap()
            .unwrap();
        Self {
            address: program.url.trim_start_matches("http://").parse().unwrap(),
            _program: Some(program),
        }
    }
}

/// Fails unless exactly those conversations differ that are known to, each for a reason.
fn check(held: usize, different: Vec<(String, String)>, known: &[(&str, &str)]) {
    let known = if program::hubs_are_ours() {
        known
    } else {
        differences::CHANCE
    };
    let is_known = |name: &str| known.iter().any(|(known, _)| *known == name);
    let surprises: Vec<_> = different
        .iter()
        .filter(|(name, _)| !is_known(name))
        .map(|(name, error)| format!("{name}: {error}"))
        .collect();
    let mut gone = known.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    gone.retain(|known| !different.iter().any(|(name, _)| name == known));
    if !program::hubs_are_ours() {
        gone.clear();
    }
    assert!(
        surprises.is_empty() && gone.is_empty(),
        "{} of {held} differ:\n{}\nno longer different: {gone:?}",
        surprises.len(),
        surprises.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn web_sockets_are_answered_as_by_the_official_server() {
    let server = Server::start().await;
    let cases = web_socket::cases();
    let held = cases.iter().map(|case| async {
        let outcome = web_socket::hold(server.address, case).await;
        outcome
            .err()
            .map(|error| (case["name"].as_str().unwrap().to_owned(), error))
    });
    let different = stream::iter(held).buffer_unordered(AT_ONCE);
    let different = different.filter_map(std::future::ready).collect().await;
    check(cases.len(), different, differences::WEB_SOCKET);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_as_by_the_official_server() {
    let server = Server::start().await;
    let cases = http::cases();
    let different = http::replay(server.address, &cases).await;
    check(
        cases.len() - http::NOT_REPLAYED.len(),
        different,
        differences::HTTP,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_the_test_hubs_are_answered_as_by_the_official_server() {
    let script = program::reference_script();
    if !script.exists() {
        return program::missing("the official server");
    }
    let start = move || Program::start::<&str>(&script, &[]);
    let official = tokio::task::spawn_blocking(start).await.unwrap().unwrap();
    let official_address = official.url.trim_start_matches("http://").parse().unwrap();
    let server = Server::start().await;
    let different = calls::compare(official_address, server.address).await;
    check(calls::count(), different, calls::DIFFERENT);
}
