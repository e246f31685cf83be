//! The pages that readers see first say what is true today.

#![cfg(all(feature = "client", feature = "server"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use signalr::TransportKind;
use signalr::server::{HubOptions, Origins};

const GUIDE: &str = include_str!("../../../docs/server.md");

/// Words of promises and excuses. What is missing stands in `docs/spec-coverage.md`, with what it waits for.
const STALE: &[&str] = &[
    "are next",
    "is next",
    "not offered yet",
    "not supported yet",
    "not implemented",
    "will follow",
    "coming soon",
    "todo",
    "wip",
    "only web sockets",
    "only websockets",
    "the server knows websockets with stateful reconnect",
    "hubs, with axum |",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The front pages by their paths: of the repository and, as far as they are documentation, of each crate.
fn pages() -> Vec<(String, String)> {
    let root = root();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let mut pages: Vec<_> = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/embedding.md",
        "docs/server.md",
    ]
    .map(|path| (path.to_owned(), read(path)))
    .into();
    for entry in std::fs::read_dir(root.join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = format!("crates/{name}/src/lib.rs");
        if root.join(&path).exists() {
            let page = read(&path);
            let page = page.lines().filter_map(|line| line.strip_prefix("//!"));
            pages.push((path, page.collect::<Vec<_>>().join("\n")));
        }
    }
    pages
}

#[test]
fn front_pages_make_no_stale_promises() {
    let mut found = Vec::new();
    for (path, page) in pages() {
        let words = page.to_lowercase();
        let words: Vec<_> = words.split_whitespace().collect();
        let page = format!(" {} ", words.join(" "));
        for stale in STALE {
            if page.contains(&format!(" {stale}")) {
                found.push(format!("{path}: {stale}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn links_of_the_front_pages_lead_somewhere() {
    let mut found = Vec::new();
    for (path, page) in pages() {
        let directory = root().join(&path).parent().unwrap().to_owned();
        let targets = page.split("](").skip(1).filter_map(|rest| {
            let end = rest.find(')')?;
            rest.get(..end)
        });
        for target in targets.filter(|target| target.ends_with(".md") && !target.contains("://")) {
            if !directory.join(target).exists() {
                found.push(format!("{path}: {target}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Viewers of Markdown show lines that rustdoc would hide, and whoever copies an example copies them too.
#[test]
fn examples_on_pages_of_the_repository_hide_no_lines() {
    let mut found = Vec::new();
    for (path, page) in pages() {
        if !path.ends_with(".md") {
            continue;
        }
        let mut in_rust = false;
        for line in page.lines() {
            match line.strip_prefix("```") {
                Some(language) => in_rust = language.starts_with("rust"),
                None if in_rust && (line == "#" || line.starts_with("# ")) => {
                    found.push(format!("{path}: {line}"));
                }
                None => {}
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_guide_names_every_example() {
    for entry in std::fs::read_dir(root().join("crates/signalr/examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            name == "client" || GUIDE.contains(&format!("`{name}`")),
            "{name}"
        );
    }
}

/// The options and their defaults as the guide tells them.
fn told() -> BTreeMap<&'static str, &'static str> {
    let (_, table) = GUIDE.split_once("| option | default |").expect("a table");
    table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let option = cells.next().unwrap().trim_matches('`');
            (option, cells.next().unwrap())
        })
        .collect()
}

#[test]
fn the_guide_tells_every_option() {
    let told: BTreeSet<_> = told().into_keys().map(str::to_owned).collect();
    assert_eq!(told, options());
}

/// All options, as the sources have them.
fn options() -> BTreeSet<String> {
    let mut options = BTreeSet::new();
    let mut add = |prefix: &str, path: &str, name: &str, but: &[&str]| {
        let source = std::fs::read_to_string(root().join(path)).unwrap();
        let (_, fields) = source
            .split_once(&format!("pub struct {name} {{\n"))
            .expect("the struct is there");
        let (fields, _) = fields.split_once("\n}\n").expect("it ends");
        let fields = fields
            .lines()
            .filter_map(|line| line.trim().strip_prefix("pub "))
            .filter_map(|line| line.split(':').next());
        let fields = fields.filter(|field| !but.contains(field));
        options.extend(fields.map(|field| format!("{prefix}{field}")));
    };
    add(
        "",
        "crates/signalr-server/src/options.rs",
        "HubOptions",
        &["endpoint", "connection"],
    );
    add(
        "endpoint.",
        "crates/signalr-proto/src/server/endpoint/mod.rs",
        "EndpointConfig",
        &[],
    );
    add(
        "connection.",
        "crates/signalr-proto/src/server/config.rs",
        "ServerConfig",
        &["limits"],
    );
    add(
        "connection.limits.",
        "crates/signalr-proto/src/limits.rs",
        "Limits",
        // Those of clients.
        &["max_pending_invocations", "max_response_size"],
    );
    options
}

#[test]
fn the_guide_tells_the_true_defaults() {
    let options = HubOptions::default();
    let (endpoint, connection) = (&options.endpoint, &options.connection);
    let limits = &connection.limits;
    assert_eq!(endpoint.transports, TransportKind::ALL);
    let same = Origins::Same {
        forwarded_host: false,
    };
    assert_eq!(endpoint.origins, same);
    assert_eq!(endpoint.max_connections, usize::MAX);
    assert_eq!(endpoint.maximum_authentication_expiration, None);
    assert_eq!(connection.max_messages_per_second, None);
    let protocols: Vec<_> = connection
        .protocols
        .iter()
        .map(|protocol| format!("{protocol:?}"))
        .collect();
    let truth = [
        ("slow_clients", format!("`{:?}`", options.slow_clients)),
        ("outgoing_limit", size(options.outgoing_limit)),
        ("outgoing_budget", size(options.outgoing_budget)),
        (
            "maximum_group_name_length",
            format!("{} bytes", number(options.maximum_group_name_length)),
        ),
        (
            "maximum_groups_per_connection",
            number(options.maximum_groups_per_connection),
        ),
        ("endpoint.transports", "all three".to_owned()),
        (
            "endpoint.minimum_negotiate_version",
            endpoint.minimum_negotiate_version.to_string(),
        ),
        (
            "endpoint.stateful_reconnect",
            switch(endpoint.stateful_reconnect),
        ),
        ("endpoint.max_waiting", number(endpoint.max_waiting)),
        ("endpoint.max_connections", "no limit".to_owned()),
        ("endpoint.origins", "the same origin".to_owned()),
        (
            "endpoint.authentication_refresh",
            switch(endpoint.authentication_refresh),
        ),
        (
            "endpoint.close_on_authentication_expiration",
            switch(endpoint.close_on_authentication_expiration),
        ),
        (
            "endpoint.maximum_authentication_expiration",
            "no limit".to_owned(),
        ),
        (
            "connection.protocols",
            protocols.join(", ").replace("Json", "JSON"),
        ),
        (
            "connection.handshake_timeout",
            seconds(connection.handshake_timeout),
        ),
        (
            "connection.keep_alive_interval",
            seconds(connection.keep_alive_interval),
        ),
        (
            "connection.client_timeout_interval",
            seconds(connection.client_timeout_interval),
        ),
        ("connection.send_timeout", seconds(connection.send_timeout)),
        (
            "connection.close_timeout",
            seconds(connection.close_timeout),
        ),
        (
            "connection.disconnect_timeout",
            seconds(connection.disconnect_timeout),
        ),
        ("connection.poll_timeout", seconds(connection.poll_timeout)),
        (
            "connection.stateful_reconnect_buffer_size",
            format!(
                "{} bytes",
                number(connection.stateful_reconnect_buffer_size)
            ),
        ),
        (
            "connection.application_max_buffer_size",
            size(connection.application_max_buffer_size),
        ),
        ("connection.max_posts", number(connection.max_posts)),
        (
            "connection.minimum_body_rate",
            connection.minimum_body_rate.map_or_else(
                || "no limit".to_owned(),
                |rate| {
                    let rest = seconds(rate.grace_period);
                    format!("{} bytes/s after {rest}", rate.bytes_per_second)
                },
            ),
        ),
        (
            "connection.maximum_parallel_invocations",
            number(connection.maximum_parallel_invocations),
        ),
        (
            "connection.maximum_streams",
            number(connection.maximum_streams),
        ),
        (
            "connection.stream_buffer_capacity",
            format!("{} items", connection.stream_buffer_capacity),
        ),
        ("connection.max_messages_per_second", "no limit".to_owned()),
        (
            "connection.enable_detailed_errors",
            switch(connection.enable_detailed_errors),
        ),
        (
            "connection.limits.max_message_size",
            size(limits.max_message_size),
        ),
        (
            "connection.limits.max_outgoing_bytes",
            size(limits.max_outgoing_bytes),
        ),
        (
            "connection.limits.max_incoming_bytes",
            size(limits.max_incoming_bytes),
        ),
        (
            "connection.limits.max_handshake_size",
            size(limits.max_handshake_size),
        ),
        (
            "connection.limits.max_id_length",
            size(limits.max_id_length),
        ),
        (
            "connection.limits.max_target_length",
            size(limits.max_target_length),
        ),
        ("connection.limits.max_headers", number(limits.max_headers)),
        (
            "connection.limits.max_stream_ids",
            number(limits.max_stream_ids),
        ),
    ];
    let told = told();
    for (option, default) in &truth {
        assert_eq!(told.get(option), Some(&default.as_str()), "{option}");
    }
    assert_eq!(told.len(), truth.len());
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}

fn switch(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

fn size(bytes: usize) -> String {
    match bytes {
        1_048_576.. => format!("{} MiB", bytes >> 20),
        _ => format!("{} KiB", bytes >> 10),
    }
}

fn number(number: usize) -> String {
    if number < 1_000 {
        number.to_string()
    } else {
        format!("{},{:03}", number / 1_000, number % 1_000)
    }
}
