//! The pages that readers see first say what is true today.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use signalr::proto::client::ClientConfig;
use signalr::proto::server::Refusal;
use signalr::server::{HubOptions, Origins};
use signalr::{Limits, TransportKind};

const GUIDE: &str = include_str!("../../../../docs/server.md");
const CLIENT: &str = include_str!("../../../../docs/client.md");
const ERRORS: &str = include_str!("../../../../docs/errors.md");
const SECURITY: &str = include_str!("../../../../docs/security.md");

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
    "stateful reconnect is not offered",
    "reach the clients of this process only",
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
        "docs/backplane.md",
        "docs/client.md",
        "docs/embedding.md",
        "docs/errors.md",
        "docs/scale-out.md",
        "docs/security.md",
        "docs/server.md",
        "docs/spec/README.md",
        "docs/testing.md",
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
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let there = match file {
                "" if path.ends_with(".md") => page.clone(),
                file if file.ends_with(".md") => {
                    std::fs::read_to_string(directory.join(file)).unwrap_or_default()
                }
                _ => continue,
            };
            if there.is_empty() || !(anchor.is_empty() || has_anchor(&there, anchor)) {
                found.push(format!("{path}: {target}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Whether a heading has this anchor: its text in small letters, with dashes for spaces and without punctuation.
fn has_anchor(page: &str, anchor: &str) -> bool {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let mut anchors = headings.map(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c })
            .collect::<String>()
    });
    anchors.any(|of| of == anchor)
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
fn the_guide_names_every_example_and_the_front_page_those_of_clients() {
    let front = std::fs::read_to_string(root().join("README.md")).unwrap();
    for entry in std::fs::read_dir(root().join("crates/signalr/examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let named = format!("`{name}`");
        assert!(GUIDE.contains(&named) || front.contains(&named), "{name}");
    }
}

/// The rows of the table whose first row begins with `head`: the first cell without its backticks, and the next two.
fn table(page: &'static str, head: &str) -> BTreeMap<&'static str, [&'static str; 2]> {
    let (_, table) = page.split_once(head).expect("a table");
    table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let first = cells.next().unwrap().trim_matches('`');
            (first, [cells.next().unwrap(), cells.next().unwrap()])
        })
        .collect()
}

/// The options of a server, with their defaults and those of the official server.
fn options_told() -> BTreeMap<&'static str, [&'static str; 2]> {
    table(GUIDE, "| option | default |")
}

/// The options and their defaults as the guide tells them.
fn told() -> BTreeMap<&'static str, &'static str> {
    options_told()
        .into_iter()
        .map(|(option, [default, _])| (option, default))
        .collect()
}

#[test]
fn the_limits_of_a_server_are_those_of_its_guide() {
    let limits = table(
        SECURITY,
        "| option | default | official server | beyond it |",
    );
    assert!(limits.len() > 20, "{}", limits.len());
    let told = options_told();
    for (option, cells) in limits {
        assert_eq!(told.get(option), Some(&cells), "{option}");
    }
}

#[test]
fn the_limits_of_a_client_are_true() {
    let limits = Limits::CLIENT;
    let config = ClientConfig::new("http://localhost/hub").unwrap();
    assert_eq!(config.offline_queue, None);
    let mut sources = String::new();
    read_sources(&root().join("crates/signalr-client/src"), &mut sources);
    let constant = |name: &str| {
        let (_, rest) = sources
            .split_once(&format!("const {name}: usize = "))
            .expect("the constant is there");
        let digits = rest.split(';').next().unwrap().replace('_', "");
        number(digits.parse().unwrap())
    };
    let truth = [
        ("limits.max_message_size", size(limits.max_message_size)),
        ("limits.max_incoming_bytes", size(limits.max_incoming_bytes)),
        ("limits.max_outgoing_bytes", size(limits.max_outgoing_bytes)),
        (
            "limits.max_pending_invocations",
            number(limits.max_pending_invocations),
        ),
        ("limits.max_handshake_size", size(limits.max_handshake_size)),
        ("limits.max_response_size", size(limits.max_response_size)),
        (
            "handler_queue",
            format!("{} calls", constant("HANDLER_QUEUE")),
        ),
        ("max_waiting", "no limit".to_owned()),
        (
            "stateful_reconnect_buffer",
            format!("{} bytes", constant("STATEFUL_BUFFER")),
        ),
        ("offline_queue", "off".to_owned()),
        ("connect_timeout", seconds(config.connect_timeout)),
        ("handshake_timeout", seconds(config.handshake_timeout)),
        ("server_timeout", seconds(config.server_timeout)),
        ("request_timeout", seconds(config.request_timeout)),
        ("close_timeout", seconds(config.close_timeout)),
    ];
    let told = table(
        SECURITY,
        "| option | default | official clients | beyond it |",
    );
    for (option, default) in &truth {
        let told = told.get(option).map(|[default, _]| *default);
        assert_eq!(told, Some(default.as_str()), "{option}");
    }
    assert_eq!(told.len(), truth.len());
    // The guide to the client tells some of them again.
    for (option, [default, _]) in told {
        if option.ends_with("_timeout") {
            let row = format!("| `{option}` | {default}");
            assert!(CLIENT.contains(&row), "{row}");
        }
    }
}

fn read_sources(directory: &Path, into: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_sources(&path, into);
        } else {
            into.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn the_guide_to_the_client_names_all_that_can_be_set() {
    let sources = root().join("crates/signalr-client/src");
    let read = |file: &str| std::fs::read_to_string(sources.join(file)).unwrap();
    let builder = read("builder.rs") + &read("net/mod.rs");
    let methods = builder.lines().filter_map(|line| {
        let line = line.strip_prefix("    pub ")?;
        let line = line.strip_prefix("const ").unwrap_or(line);
        line.strip_prefix("fn ")?.split(['(', '<']).next()
    });
    let methods: Vec<_> = methods.collect();
    assert!(methods.len() > 25, "{methods:?}");
    let is_named = |method: &&str| {
        let names = [
            format!("`{method}"),
            format!(".{method}("),
            format!("::{method}("),
        ];
        names
            .iter()
            .any(|name| CLIENT.contains(name) || SECURITY.contains(name))
    };
    let missing: Vec<_> = methods.iter().filter(|method| !is_named(method)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_page_of_errors_has_the_words_that_clients_see() {
    let refusals = [
        Refusal::NoSuchMethod,
        Refusal::ArgumentCount {
            given: 3,
            expected: 2,
        },
        Refusal::ArgumentTypes,
        Refusal::Unauthorized,
        Refusal::Streaming,
        Refusal::NotStreaming,
        Refusal::UploadCount {
            given: 1,
            expected: 2,
        },
        Refusal::TooManyCalls,
        Refusal::InUse { id: "1".into() },
    ];
    for refusal in refusals {
        let words = format!("`{}`", refusal.text("Join", false));
        assert!(ERRORS.contains(&words), "{words}");
    }
    let counted = Refusal::ArgumentCount {
        given: 3,
        expected: 2,
    };
    let detailed = counted.text("Join", true);
    let detail = detailed.strip_prefix(&counted.text("Join", false)).unwrap();
    assert!(ERRORS.contains(&format!("`{}`", detail.trim())), "{detail}");
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
            "connection.limits.max_headers_size",
            size(limits.max_headers_size),
        ),
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
