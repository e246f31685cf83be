//! `docs/backplane.md` and its example: NATS between the servers.
//!
//! The tests start a `nats-server` of their own: `SIGNALR_NATS` names the program, else it is looked for on the path. Where it is
//! not there they are skipped, except in CI.

#[path = "../../examples/nats_backplane.rs"]
#[allow(dead_code, reason = "the example has a beginning of its own")]
mod nats_backplane;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nats_backplane::serve;
use signalr::server::testing::TestClient;
use signalr_harness::program;

/// How long something may take that is bound to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs until it is dropped.
struct Nats {
    program: String,
    port: u16,
    child: Child,
}

impl Nats {
    fn start() -> Option<Self> {
        let program = std::env::var("SIGNALR_NATS").unwrap_or_else(|_| "nats-server".to_owned());
        if !program::is_installed(&program) {
            program::missing("nats-server; set SIGNALR_NATS to the program");
            return None;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let child = spawn(&program, port);
        Some(Self {
            program,
            port,
            child,
        })
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.child = spawn(&self.program, self.port);
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        // What has ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts it, and waits until it listens.
fn spawn(program: &str, port: u16) -> Child {
    let child = Command::new(program)
        .args(["-a", "127.0.0.1", "-p", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(began.elapsed() < PATIENCE, "NATS does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_find_each_other_over_nats_and_again_after_it_was_killed() {
    let Some(mut nats) = Nats::start() else {
        return;
    };
    let (one, other) = (
        serve(&nats.url()).await.unwrap(),
        serve(&nats.url()).await.unwrap(),
    );
    let mut here = TestClient::connect(&one).await.unwrap();
    let mut there = TestClient::connect(&other).await.unwrap();
    // Neither a space nor a wildcard of NATS is one to the farm.
    let room = "room *.> ü";
    there.invoke::<()>("Join", (room,)).await.unwrap();
    here.invoke::<()>("Say", ("room 1.2 ü", "elsewhere"))
        .await
        .unwrap();
    here.invoke::<()>("Say", (room, "before")).await.unwrap();
    assert_eq!(heard(&mut there).await, "before");
    let everybody = one.backplane().unwrap().count().await;
    assert_eq!(everybody, Ok(2));

    nats.kill();
    here.invoke::<()>("Say", (room, "lost")).await.unwrap_err();
    nats.restart();
    let began = Instant::now();
    for server in [&one, &other] {
        let ready = server.backplane().unwrap().ready();
        tokio::time::timeout(PATIENCE, ready).await.unwrap();
    }
    println!("killed and restarted: back after {:?}", began.elapsed());
    here.invoke::<()>("Say", (room, "after")).await.unwrap();
    assert_eq!(heard(&mut there).await, "after");
}

async fn heard(client: &mut TestClient) -> String {
    let heard = client.received::<(String,)>("Said");
    let heard = tokio::time::timeout(PATIENCE, heard).await;
    heard.expect("a message comes").unwrap().0
}
