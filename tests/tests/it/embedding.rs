//! `docs/embedding.md` and its examples: they run, they end, and the tables leave nothing out.

#[path = "../../examples/embed_memory.rs"]
mod embed_memory;
#[path = "../../examples/embed_tcp.rs"]
mod embed_tcp;
#[cfg(unix)]
#[path = "../../examples/embed_unix_smol.rs"]
mod embed_unix_smol;
#[path = "../../examples/embed_upload.rs"]
mod embed_upload;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

const CLIENT: &str = include_str!("../../../crates/signalr-proto/src/client/api.rs");
const SERVER: &str = include_str!("../../../crates/signalr-proto/src/server/api.rs");
const GUIDE: &str = include_str!("../../../docs/embedding.md");

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A program must end by itself, and well.
fn ends_well(program: fn() -> Result<(), Failure>) {
    let (sender, outcome) = mpsc::channel();
    std::thread::spawn(move || sender.send(program()));
    outcome
        .recv_timeout(Duration::from_secs(20))
        .expect("it hung or panicked")
        .expect("it failed");
}

#[test]
fn the_machines_run_over_tcp_with_threads() {
    ends_well(embed_tcp::main);
}

#[cfg(unix)]
#[test]
fn the_machines_run_over_a_unix_domain_socket_on_smol() {
    ends_well(embed_unix_smol::main);
}

#[test]
fn the_machines_run_in_memory_under_a_virtual_clock() {
    ends_well(embed_memory::main);
}

#[test]
fn an_upload_goes_through_both_machines_at_the_speed_of_its_method() {
    ends_well(embed_upload::main);
}

#[test]
fn each_example_has_at_most_150_lines() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for name in [
        "embed_tcp",
        "embed_unix_smol",
        "embed_memory",
        "embed_upload",
    ] {
        let text = std::fs::read_to_string(examples.join(format!("{name}.rs"))).unwrap();
        assert!(text.lines().count() <= 150, "{name}");
        assert!(GUIDE.contains(&format!("--example {name}`")), "{name}");
    }
}

/// The variants of an enum, from its source, as the guide names them.
fn variants(source: &str, path: &str) -> BTreeSet<String> {
    let name = path.rsplit("::").next().unwrap_or(path);
    let (_, body) = source
        .split_once(&format!("pub enum {name} {{\n"))
        .expect("the enum is there");
    let (body, _) = body.split_once("\n}\n").expect("it ends");
    body.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(char::is_uppercase))
        .map(|line| {
            let end = line.find(|c: char| !c.is_alphanumeric());
            format!("{path}::{}", &line[..end.unwrap_or(line.len())])
        })
        .collect()
}

/// The first cells of the guide's table rows that name a variant of this enum.
fn explained(name: &str) -> Vec<String> {
    GUIDE
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(cell, _)| cell.to_owned())
        .filter(|cell| {
            cell.rsplit_once("::")
                .is_some_and(|(owner, _)| owner == name)
        })
        .collect()
}

#[test]
fn the_tables_explain_each_input_action_and_event_once() {
    for (source, name, least) in [
        (CLIENT, "Input", 11),
        (CLIENT, "Action", 6),
        (CLIENT, "Event", 15),
        (SERVER, "server::Input", 6),
        (SERVER, "server::Action", 3),
        (SERVER, "server::Event", 9),
    ] {
        let there = variants(source, name);
        assert!(there.len() >= least, "{name}: {there:?}");
        let rows = explained(name);
        let told: BTreeSet<String> = rows.iter().cloned().collect();
        assert_eq!(told, there);
        assert_eq!(rows.len(), told.len(), "{name}: a row comes twice");
    }
}
