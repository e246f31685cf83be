//! `docs/spec-coverage.md` names code and tests that exist, and leaves no requirement of `docs/spec` out; whoever cites one finds it.

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
    let text = read("docs/spec-coverage.md");
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
    let text = read("docs/spec-coverage.md");
    let mut seen = BTreeSet::new();
    for row in rows(&text) {
        assert!(seen.insert(row.id.clone()), "{} stands twice", row.id);
    }
    let asked: BTreeSet<_> = requirements().into_keys().collect();
    let missing: Vec<_> = asked.difference(&seen).collect();
    assert!(missing.is_empty(), "left out: {missing:?}");
    let unknown: Vec<_> = seen.difference(&asked).collect();
    assert!(unknown.is_empty(), "not asked for: {unknown:?}");
}

/// The pages of `docs/spec`, and their modules in `signalr_proto::spec`.
const PAGES: [(&str, &str); 4] = [
    ("hub-protocol.md", "hub_protocol"),
    ("client-behaviour.md", "client_behaviour"),
    ("transports.md", "transports"),
    ("server-behaviour.md", "server_behaviour"),
];

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The requirements, each with the module of its page.
fn requirements() -> BTreeMap<String, &'static str> {
    let mut all = BTreeMap::new();
    for (page, module) in PAGES {
        let text = read(&format!("docs/spec/{page}"));
        for id in text.lines().filter_map(|line| line.strip_prefix("### ")) {
            assert_eq!(ids(id), [id], "{page}: not a requirement");
            let before = all.insert(id.to_owned(), module);
            assert!(before.is_none(), "{id} stands twice");
        }
    }
    assert!(all.len() > 300, "{} requirements", all.len());
    all
}

/// The anchors that GitHub and rustdoc make of a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The requirements that a text names.
fn ids(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('-') {
        let kind = at.checked_sub(2).and_then(|from| text.get(from..at));
        if !kind.is_some_and(|kind| ["HP", "CB", "TR", "SB"].contains(&kind)) {
            continue;
        }
        let is_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        let rest = &text[at + 1..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let before = text[..at - 2].chars().next_back();
        let after = rest[digits..].chars().next();
        if digits > 0 && !before.is_some_and(is_word) && !after.is_some_and(char::is_alphanumeric) {
            found.push(&text[at - 2..=at + digits]);
        }
    }
    found
}

/// All sources and documents of the repository.
fn texts() -> Vec<(String, String)> {
    fn visit(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let skipped = name.starts_with('.') || ["target", "node_modules"].contains(&name);
            if path.is_dir() && !skipped {
                visit(&path, found);
            } else if name.ends_with(".rs") || name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    visit(&root(), &mut paths);
    assert!(paths.len() > 200, "{} files", paths.len());
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(root()).unwrap();
            (name.to_str().unwrap().to_owned(), text)
        })
        .collect()
}

#[test]
fn every_requirement_that_is_cited_is_written_down() {
    let asked = requirements();
    let mut unknown = Vec::new();
    for (path, text) in texts() {
        let cited = ids(&text).into_iter();
        let wrong = cited.filter(|id| !asked.contains_key(*id));
        unknown.extend(wrong.map(|id| format!("{path}: {id}")));
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

#[test]
fn every_link_to_a_requirement_finds_its_heading() {
    let asked = requirements();
    let mut wrong = Vec::new();
    let mut links = 0;
    let texts = texts();
    for (page, module) in PAGES {
        let anchors = anchors(&read(&format!("docs/spec/{page}")));
        for (path, text) in &texts {
            for target in [format!("spec::{module}#"), format!("{page}#")] {
                for (at, _) in text.match_indices(&target) {
                    let anchor = text[at + target.len()..].split([')', '`', ' ', '\n']);
                    let anchor = anchor.into_iter().next().unwrap_or_default();
                    links += 1;
                    if !anchors.contains(anchor) {
                        wrong.push(format!("{path}: {target}{anchor}"));
                    }
                }
            }
        }
    }
    for (path, text) in &texts {
        for (at, _) in text.match_indices("](") {
            let name = text[..at].rsplit('[').next().unwrap_or_default();
            let Some(module) = asked.get(name) else {
                continue;
            };
            let target = text[at + 2..].split(')').next().unwrap_or_default();
            let anchor = format!("#{}", name.to_lowercase());
            let page = PAGES.iter().find(|(_, of)| of == module).unwrap().0;
            let at_home = target.ends_with(&format!("spec::{module}{anchor}"))
                || target.ends_with(&format!("{page}{anchor}"));
            if !at_home {
                wrong.push(format!("{path}: [{name}]({target})"));
            }
        }
    }
    assert!(links > 100, "{links} links");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn documentation_cites_requirements_by_links() {
    let mut bare = Vec::new();
    for (path, text) in texts() {
        if !path.starts_with("crates/") || !path.contains("/src/") || !path.ends_with(".rs") {
            continue;
        }
        for line in text.lines() {
            let line = line.trim_start();
            if !line.starts_with("///") && !line.starts_with("//!") {
                continue;
            }
            for id in ids(line) {
                if !line.contains(&format!("[{id}](")) {
                    bare.push(format!("{path}: {line}"));
                }
            }
        }
    }
    assert!(bare.is_empty(), "{}", bare.join("\n"));
}

#[test]
fn the_core_crate_carries_the_pages_as_they_are() {
    for (page, module) in PAGES {
        let carried = read(&format!("crates/signalr-proto/src/spec/{page}"));
        assert!(
            carried == read(&format!("docs/spec/{page}")),
            "{page} differs: its place in the crate has to be a link"
        );
        let shown = read("crates/signalr-proto/src/spec.rs");
        assert!(shown.contains(&format!(
            "#[doc = include_str!(\"spec/{page}\")]\npub mod {module} {{}}"
        )));
    }
}
