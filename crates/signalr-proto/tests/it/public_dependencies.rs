//! Which other crates signatures may name: a new major version of one of those is a new major version of this crate, too.
//! Read from the source, as a compiler of the stable channel does not tell.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Crates that signatures may name.
const PUBLIC: [&str; 4] = ["bytes", "bytestring", "http", "serde"];

/// Crates that serve inside only.
const PRIVATE: [&str; 6] = [
    "idna",
    "memchr",
    "rmp_serde",
    "serde_json",
    "thiserror",
    "time",
];

/// Crates that programs get with this one, itself included, without procedural macros and what those are made of.
const MOST_CRATES: usize = 20;

/// The pieces of a text that can be paths: `a::b`, and single names.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| !c.is_alphanumeric() && c != '_' && c != ':';
    text.split(ends)
        .map(|path| path.trim_matches(':'))
        .filter(|path| !path.is_empty())
}

/// The source without its tests and comments.
fn code(source: &str) -> String {
    let end = source.find("#[cfg(test)]\nmod tests {");
    let code = source.get(..end.unwrap_or(source.len())).unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// What `use` statements bring in: the name, and the crate that it is of.
fn imports(code: &str) -> BTreeMap<&str, &str> {
    let statements = code
        .split(';')
        .filter_map(|statement| statement.rsplit_once("use ").map(|(_, tree)| tree.trim()));
    let mut names = BTreeMap::new();
    for tree in statements {
        let root = paths(tree).next().unwrap_or_default();
        let root = root.split("::").next().unwrap_or_default();
        for path in paths(tree) {
            let name = path.rsplit("::").next().unwrap_or_default();
            names.insert(name, root);
        }
    }
    names
}

/// The public declarations: without bodies of functions, and without private fields.
fn signatures(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        let is_public = line.starts_with("pub ") && !line.starts_with("pub mod ");
        if !is_public && !line.starts_with("impl From<") {
            continue;
        }
        let mut signature = line.to_owned();
        let is_block = ["pub enum ", "pub struct ", "pub trait "]
            .iter()
            .any(|start| line.starts_with(start));
        let is_whole = |text: &str| {
            if is_block {
                let count = |c| text.matches(c).count();
                (count('{') == count('}')) && text.contains(['}', ';'])
            } else {
                text.contains(['{', ';', ','])
                    && text.matches('(').count() <= text.matches(')').count()
            }
        };
        while !is_whole(&signature) {
            let Some(next) = lines.next() else { break };
            let next = next.trim();
            let is_private_field =
                line.starts_with("pub struct ") && !next.starts_with("pub ") && next.contains(':');
            if !is_private_field {
                signature.push(' ');
                signature.push_str(next);
            }
        }
        found.push(signature);
    }
    found
}

/// The crates that public declarations of this source name.
fn named(source: &str) -> BTreeSet<(String, String)> {
    let code = code(source);
    let imports = imports(&code);
    // A module hides the crate of its name.
    let is_module = |root: &str| code.contains(&format!("mod {root};"));
    let mut crates = BTreeSet::new();
    for signature in signatures(&code) {
        for path in paths(&signature) {
            let first = path.split("::").next().unwrap_or_default();
            let root = if path.contains("::") && !imports.contains_key(first) {
                first
            } else {
                imports.get(first).copied().unwrap_or_default()
            };
            if !is_module(root) {
                crates.insert((root.to_owned(), signature.clone()));
            }
        }
    }
    crates
}

fn sources(directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn signatures_name_only_crates_that_are_meant_to_be_seen() {
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&root, &mut files);
    let named: Vec<_> = files.iter().flat_map(|source| named(source)).collect();
    let hidden: Vec<_> = named
        .iter()
        .filter(|(root, _)| PRIVATE.contains(&root.as_str()))
        .collect();
    assert!(hidden.is_empty(), "{hidden:#?}");
    for used in PUBLIC {
        let is_used = named.iter().any(|(root, _)| root == used);
        assert!(is_used, "{used} is named nowhere");
    }
}

#[test]
fn each_dependency_is_either_seen_or_not() {
    let manifest = include_str!("../../Cargo.toml");
    let (_, rest) = manifest.split_once("[dependencies]\n").expect("a section");
    let (section, _) = rest.split_once("\n[").expect("others follow");
    let names = section
        .lines()
        .filter(|line| line.starts_with(char::is_alphabetic));
    let names: BTreeSet<String> = names
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .map(|name| name.replace('-', "_"))
        .collect();
    let known: BTreeSet<String> = PUBLIC
        .iter()
        .chain(&PRIVATE)
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, known);
}

/// Counted by cargo, for this crate alone: what other crates of the workspace enable does not count.
#[test]
fn programs_get_few_crates_with_this_one() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--prefix", "none"])
        .args(["--package", "signalr-proto", "--edges"])
        .arg("normal,no-proc-macro")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&tree.stderr);
    assert!(tree.status.success(), "{errors}");
    let text = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<_> = text
        .lines()
        .map(|line| line.trim_end_matches(" (*)"))
        .filter(|line| !line.is_empty())
        .collect();
    for known in ["signalr-proto v", "bytes v", "serde_json v"] {
        let is_there = crates.iter().any(|name| name.starts_with(known));
        assert!(is_there, "{known}: {crates:#?}");
    }
    assert!(crates.len() <= MOST_CRATES, "{}: {crates:#?}", crates.len());
}

#[test]
fn what_is_seen_is_found_wherever_it_stands() {
    for seen in [
        "pub fn value() -> serde_json::Value {\n",
        "use serde_json::Value;\npub fn value(\n    &self,\n    value: &Value,\n) {\n",
        "use serde_json::{Map, Value as Json};\npub struct Held {\n    pub map: Map,\n}\n",
        "pub enum Either {\n    One(serde_json::Value),\n}\n",
        "pub trait Read {\n    fn read(&self) -> serde_json::Value;\n}\n",
        "impl From<serde_json::Error> for Error {\n",
        "pub use serde_json::Value;\n",
        "pub type Json = serde_json::Value;\n",
    ] {
        let found = named(seen);
        assert!(found.iter().any(|(root, _)| root == "serde_json"), "{seen}");
    }
    for hidden in [
        "pub(crate) fn value() -> serde_json::Value {\n",
        "pub fn value() {\n    serde_json::Value::Null;\n}\n",
        "pub struct Held {\n    value: serde_json::Value,\n}\n",
        "/// [`serde_json::Value`]\npub struct Held;\n",
        "#[cfg(test)]\nmod tests {\n    pub use serde_json::Value;\n}\n",
    ] {
        let found = named(hidden);
        assert!(
            !found.iter().any(|(root, _)| root == "serde_json"),
            "{hidden}"
        );
    }
}
