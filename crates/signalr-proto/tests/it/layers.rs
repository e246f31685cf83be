//! Types live below their users: no module names one that stands above it, so none of them form a circle.

use std::path::{Path, PathBuf};

/// The modules from the bottom to the top. The machines stand side by side and know nothing of each other.
const LAYERS: [&[&str]; 8] = [
    &[
        "arity",
        "decimal",
        "time",
        "timestamp",
        "limits",
        "domain",
        "spec",
    ],
    &["codec"],
    &["error"],
    &["timers", "incoming", "replay"],
    &["transport"],
    &["outbox"],
    &["client", "server", "backplane"],
    &["lib"],
];

fn layer(module: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&module));
    found.unwrap_or_else(|| panic!("{module} has no place among the layers"))
}

/// The modules of this crate that a source names, in code and outside of its tests.
fn named(source: &str) -> impl Iterator<Item = &str> {
    let end = source
        .find("#[cfg(test)]\nmod tests {")
        .unwrap_or(source.len());
    let code = source.get(..end).unwrap().lines();
    code.filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .filter_map(|rest| {
            rest.split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
        })
        .filter(|name| name.starts_with(char::is_lowercase))
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_module_names_one_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 60, "{}", files.len());
    for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
        let inner = file.strip_prefix(&root).unwrap();
        let first = inner.iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        let source = std::fs::read_to_string(file).unwrap();
        for other in named(&source) {
            let (here, there) = (layer(module), layer(other));
            let fits = module == other || there < here;
            assert!(fits, "{} names `{other}`", inner.display());
        }
    }
}

#[test]
fn names_are_seen_in_code_and_not_in_comments_or_tests() {
    let source = "use crate::error::CloseReason;\n/// [`X`](crate::client::X)\nfn f() { crate::codec::g(); }\n\
                  #[cfg(test)]\nmod tests { use crate::server::Y; }\n";
    assert_eq!(named(source).collect::<Vec<_>>(), ["error", "codec"]);
}
