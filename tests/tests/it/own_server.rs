//! The client against our own server, on every runtime and in both encodings: the scenarios that the reference server has to pass,
//! too.

use std::net::{Ipv6Addr, TcpListener};
use std::sync::{Arc, Weak};
use std::time::Duration;

use signalr_client::{
    CallErrorKind, CloseReason, ConnectionState, LifecycleEvent, Runtime, Spawn, Task,
};
use signalr_harness::hubs::test_hubs;
use signalr_smol::Smol;
use signalr_tests::{WAYS, own, run_in};
use signalr_tokio::Tokio;

/// Runs the scenarios against a server of their own: some count what happens on it.
fn check(runtime: &str, run: impl FnOnce(String) -> Vec<String>) {
    let own = own::start().expect("the test hubs can be served");
    check_at(runtime, own.url, run);
}

fn check_at(runtime: &str, url: String, run: impl FnOnce(String) -> Vec<String>) {
    let _alone = crate::alone();
    let failures = run(url);
    assert!(
        failures.is_empty(),
        "{} failures on {runtime}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Nothing of it is on tokio.
#[test]
fn every_scenario_works_with_hubs_on_smol() {
    let own = own::start_on_smol().expect("the test hubs can be served");
    check_at("hubs on smol", own.url, |url| {
        smol::block_on(run_in::<Smol>(&url, &WAYS))
    });
}

#[test]
fn every_scenario_works_on_tokio() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    check("tokio", |url| {
        runtime.block_on(run_in::<Tokio>(&url, &WAYS))
    });
}

#[test]
fn every_scenario_works_on_smol() {
    check("smol", |url| smol::block_on(run_in::<Smol>(&url, &WAYS)));
}

#[test]
fn every_scenario_works_on_async_std() {
    check("async-std", |url| {
        async_std::task::block_on(run_in::<signalr_async_std::AsyncStd>(&url, &WAYS))
    });
}

#[tokio::test]
async fn an_ipv6_address_is_a_host_like_any_other() {
    let address = (Ipv6Addr::LOCALHOST, 0).into();
    if TcpListener::bind::<std::net::SocketAddr>(address).is_err() {
        eprintln!("SKIPPED: this machine has no ::1");
        return;
    }
    let (router, _) = test_hubs().unwrap();
    let url = own::serve(address, router).unwrap();
    assert!(url.starts_with("http://[::1]:"), "{url}");
    let connection = signalr_client::HubConnection::builder(format!("{url}/hub"))
        .build()
        .unwrap();
    connection.start().await.unwrap();
    assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    let host = connection.invoke::<String>("Header", ("host",)).await;
    assert_eq!(host.as_deref(), Ok(url.trim_start_matches("http://")));
    connection.stop().await;
}

/// Their executors run in threads of their own, so whatever polls `start` may be a stranger.
#[test]
fn connections_of_smol_and_async_std_start_outside_of_their_runtimes() {
    let own = own::start().unwrap();
    let url = format!("{}/hub", own.url);
    async fn add<R: Spawn + Default>(url: &str) -> i32 {
        let connection = signalr_client::HubConnection::builder(url)
            .build_on(R::default())
            .unwrap();
        connection.start().await.unwrap();
        let sum = connection.invoke("Add", (1, 2)).await.unwrap();
        connection.stop().await;
        sum
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(add::<Smol>(&url)), 3);
    assert_eq!(
        runtime.block_on(add::<signalr_async_std::AsyncStd>(&url)),
        3
    );
}

#[test]
fn a_connection_of_tokio_outside_of_tokio_says_what_to_do_and_can_be_started_inside_afterwards() {
    let own = own::start().unwrap();
    let connection = signalr_client::HubConnection::builder(format!("{}/hub", own.url))
        .build()
        .unwrap();
    let error = smol::block_on(connection.start()).unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("start() must be called within a tokio runtime"),
        "{told}"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        connection.start().await.unwrap();
        assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
        connection.stop().await;
    });
}

/// A runtime that is shut down takes its connections along, and they say so.
#[test]
fn a_connection_on_a_certain_runtime_starts_from_anywhere_and_is_over_with_that_runtime() {
    let own = own::start().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let connection = signalr_client::HubConnection::builder(format!("{}/hub", own.url))
        .build_on(Tokio::on(runtime.handle().clone()))
        .unwrap();
    smol::block_on(is_lost(&connection, || drop(runtime)));
}

/// Sockets and timers of smol, on an executor of the application's.
#[derive(Clone, Debug)]
struct OnExecutor(Weak<smol::Executor<'static>>);

impl Runtime for OnExecutor {
    type Stream = <Smol as Runtime>::Stream;
    type Connect = <Smol as Runtime>::Connect;
    type Sleep = <Smol as Runtime>::Sleep;

    fn connect(&self, host: &str, port: u16) -> Self::Connect {
        Smol.connect(host, port)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        Smol.sleep(duration)
    }
}

impl Spawn for OnExecutor {
    fn spawn(&self, task: Task) {
        if let Some(executor) = self.0.upgrade() {
            executor.spawn(task).detach();
        }
    }
}

#[test]
fn a_connection_on_an_executor_of_smol_is_over_with_that_executor() {
    let own = own::start().unwrap();
    let executor = Arc::new(smol::Executor::new());
    let connection = signalr_client::HubConnection::builder(format!("{}/hub", own.url))
        .build_on(OnExecutor(Arc::downgrade(&executor)))
        .unwrap();
    // It ends when it is told to, and the executor with it.
    let (end, ended) = smol::channel::bounded::<()>(1);
    let runs = std::thread::spawn(move || smol::block_on(executor.run(ended.recv())));
    smol::block_on(is_lost(&connection, || {
        drop(end);
        assert!(runs.join().unwrap().is_err());
    }));
}

/// What a connection says and does when what runs it ends under it.
async fn is_lost(connection: &signalr_client::HubConnection, end: impl FnOnce()) {
    let mut events = connection.events();
    connection.start().await.unwrap();
    assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    let pending = connection.invoke::<String>("Slow", (30_000, "x"));
    end();
    let lost = pending.await.unwrap_err();
    assert_eq!(lost.kind(), &CallErrorKind::DriverGone);
    assert_eq!(connection.state(), ConnectionState::Disconnected);
    let late = connection.send("DoNothing", ()).await.unwrap_err();
    assert_eq!(late.kind(), &CallErrorKind::DriverGone);
    // The connection was told of, and then nothing more can be.
    let connected = events.next().await;
    assert!(matches!(connected, Some(LifecycleEvent::Connected { .. })));
    let reason = CloseReason::DriverGone;
    let closed = LifecycleEvent::Closed { reason };
    assert_eq!(events.next().await, Some(closed));
    assert_eq!(events.next().await, None);
    connection.stop().await;
}
