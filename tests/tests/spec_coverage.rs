//! `docs/spec-coverage.md` names code and tests that exist, and leaves no requirement out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
        .to_owned()
}

/// A row of one of the tables: `| HP-1 | code | tests |`.
struct Row {
    id: String,
    code: String,
    tests: String,
}

fn rows(text: &str) -> Vec<Row> {
    let cells = |line: &str| {
        line.trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let is_id = |id: &str| {
        ["HP-", "CB-", "TR-", "SB-"].iter().any(|kind| {
            id.strip_prefix(kind)
                .is_some_and(|number| number.parse::<u32>().is_ok())
        })
    };
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(cells)
        .filter(|cells| is_id(&cells[0]));
    rows.map(|cells| match <[String; 3]>::try_from(cells) {
        Ok([id, code, tests]) => Row { id, code, tests },
        Err(cells) => panic!("expected three cells: {cells:?}"),
    })
    .collect()
}

/// The references of a cell: `path#item` in backticks.
fn references(cell: &str) -> Vec<(&str, &str)> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(|reference| reference.split_once('#').unwrap_or((reference, "")))
        .collect()
}

fn names(file: &str, item: &str) -> bool {
    let mut rest = file;
    while let Some(at) = rest.find(item) {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let before = rest[..at].chars().next_back().is_none_or(|c| !is_word(c));
        let after = rest[at + item.len()..]
            .chars()
            .next()
            .is_none_or(|c| !is_word(c));
        if before && after {
            return true;
        }
        rest = &rest[at + item.len()..];
    }
    false
}

#[test]
fn every_row_names_code_and_tests_that_exist() {
    let root = root();
    let text = std::fs::read_to_string(root.join("docs/spec-coverage.md")).unwrap();
    let mut files = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in rows(&text) {
        let open = ["later", "different", "not ours"]
            .iter()
            .any(|word| row.code.starts_with(word));
        if open {
            assert!(row.code.len() > 12, "{}: say when or why", row.id);
            continue;
        }
        for (cell, what) in [(&row.code, "code"), (&row.tests, "tests")] {
            let references = references(cell);
            if references.is_empty() {
                wrong.push(format!("{}: no {what} named", row.id));
            }
            for (path, item) in references {
                let file = files.entry(path.to_owned()).or_insert_with(|| {
                    std::fs::read_to_string(root.join(path)).unwrap_or_default()
                });
                if file.is_empty() || !names(file, item) {
                    wrong.push(format!("{}: `{path}#{item}` does not exist", row.id));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_requirement_is_left_out_or_named_twice() {
    let text = std::fs::read_to_string(root().join("docs/spec-coverage.md")).unwrap();
    let mut seen = BTreeSet::new();
    for row in rows(&text) {
        assert!(seen.insert(row.id.clone()), "{} stands twice", row.id);
    }
    let spec = root().join("../shared/spec");
    if !spec.exists() {
        signalr_tests::reference::skipped(
            "the specification is not beside the checkout, so only the document itself was checked",
        );
        return;
    }
    let mut missing = Vec::new();
    for file in [
        "hub-protocol.md",
        "client-behaviour.md",
        "transports.md",
        "server-behaviour.md",
    ] {
        let text = std::fs::read_to_string(spec.join(file)).unwrap();
        for line in text.lines().filter(|line| line.starts_with("- ")) {
            let id: String = line[2..]
                .trim_start_matches('*')
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                .collect();
            let is_requirement = ["HP-", "CB-", "TR-", "SB-"]
                .iter()
                .any(|kind| id.starts_with(kind));
            if is_requirement && !seen.contains(&id) {
                missing.push(id);
            }
        }
    }
    assert!(missing.is_empty(), "left out: {}", missing.join(" "));
}
