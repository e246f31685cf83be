//! The client against the official server, on every runtime and in both encodings.

use signalr_client::Spawn;
use signalr_tests::{WAYS, reference, run_in};

async fn suite<R: Spawn + Default>(url: &str) -> Vec<String> {
    run_in::<R>(url, &WAYS).await
}

fn check(runtime: &str, failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} failures on {runtime}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn log() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_test_writer()
        .try_init();
}

#[test]
fn every_scenario_works_on_tokio() {
    log();
    let Some(url) = reference::url() else { return };
    let _alone = crate::alone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    check(
        "tokio",
        &runtime.block_on(suite::<signalr_tokio::Tokio>(url)),
    );
}

#[test]
fn every_scenario_works_on_smol() {
    log();
    let Some(url) = reference::url() else { return };
    let _alone = crate::alone();
    check("smol", &smol::block_on(suite::<signalr_smol::Smol>(url)));
}

#[test]
fn every_scenario_works_on_async_std() {
    log();
    let Some(url) = reference::url() else { return };
    let _alone = crate::alone();
    check(
        "async-std",
        &async_std::task::block_on(suite::<signalr_async_std::AsyncStd>(url)),
    );
}

#[test]
fn starting_outside_of_tokio_is_an_error_that_says_what_to_do() {
    let connection = signalr_client::HubConnection::builder("http://127.0.0.1:1/hub")
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
    let error = runtime.block_on(connection.start()).unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}
