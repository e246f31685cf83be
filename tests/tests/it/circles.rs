//! No files of a crate form a circle: whoever names a type of another file stands above it.
//!
//! A file is a node, and what it names of others its edges: in `use`, and in paths that begin with `crate`, `super`, `self` or
//! a module of its own. A name that a module merely exports belongs to the file it comes from. Methods need no import, so an
//! `impl` of a machine may stand above the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const CRATES: &[&str] = &[
    "signalr",
    "signalr-async-std",
    "signalr-cli",
    "signalr-client",
    "signalr-net",
    "signalr-proto",
    "signalr-redis",
    "signalr-server",
    "signalr-smol",
    "signalr-testkit",
    "signalr-tokio",
];

/// `["client", "state"]`. That of `mod.rs` is its directory's, and that of `lib.rs` or `main.rs` is empty.
type Module = Vec<String>;

#[derive(Default)]
struct Sources {
    files: BTreeMap<Module, String>,
    /// What a module exports, and where that comes from.
    exports: BTreeMap<Module, BTreeMap<String, Module>>,
    /// What a file names, by absolute paths.
    named: BTreeMap<Module, Vec<Module>>,
}

impl Sources {
    fn of(files: impl IntoIterator<Item = (Module, String)>) -> Self {
        let mut sources = Self {
            files: files.into_iter().collect(),
            ..Self::default()
        };
        for (module, source) in &sources.files {
            let code = code(source);
            let (uses, rest) = split_uses(&code);
            let mut named = Vec::new();
            for (public, tree) in uses {
                for path in expanded(&tree) {
                    let Some(path) = absolute(&sources.files, module, &path) else {
                        continue;
                    };
                    if public {
                        let exports = sources.exports.entry(module.clone()).or_default();
                        exports.insert(path.last().unwrap().clone(), path);
                    } else {
                        named.push(path);
                    }
                }
            }
            let paths = paths(&rest);
            named.extend(
                paths
                    .iter()
                    .filter_map(|path| absolute(&sources.files, module, path)),
            );
            sources.named.insert(module.clone(), named);
        }
        sources
    }

    /// The file that a path leads into.
    fn file_of(&self, path: &[String], depth: usize) -> Option<Module> {
        assert!(depth < 16, "{path:?} is exported in a circle");
        let (module, rest) = (0..=path.len())
            .rev()
            .map(|end| path.split_at(end))
            .find(|(module, _)| self.files.contains_key(*module))?;
        let exported = rest
            .first()
            .and_then(|name| self.exports.get(module)?.get(name));
        match exported {
            Some(origin) if origin != path => {
                let onwards: Vec<String> = origin.iter().chain(&rest[1..]).cloned().collect();
                self.file_of(&onwards, depth + 1)
            }
            Some(_) | None => Some(module.to_vec()),
        }
    }

    fn neighbours(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let of = |(module, named): (&Module, &Vec<Module>)| {
            let files = named.iter().filter_map(|path| self.file_of(path, 0));
            let others = files.filter(|other| other != module);
            (module.clone(), others.collect())
        };
        self.named.iter().map(of).collect()
    }

    /// Files that name each other, directly or not: each that can be reached from itself.
    fn circles(&self) -> Vec<String> {
        let neighbours = self.neighbours();
        let reached = |from: &Module| {
            let mut seen = BTreeSet::new();
            let mut next: Vec<&Module> = neighbours[from].iter().collect();
            while let Some(module) = next.pop() {
                if seen.insert(module) {
                    next.extend(&neighbours[module]);
                }
            }
            seen
        };
        let of = |module: &Module| {
            let back = |other: &&Module| reached(other).contains(module);
            let seen = reached(module);
            let partners = neighbours[module].iter().filter(back);
            let names: Vec<String> = partners.map(|partner| partner.join("/")).collect();
            seen.contains(module)
                .then(|| format!("{} names {}", module.join("/"), names.join(", ")))
        };
        neighbours.keys().filter_map(of).collect()
    }
}

/// Without comments and without tests.
fn code(source: &str) -> String {
    let end = source
        .find("#[cfg(test)]\nmod tests {")
        .unwrap_or(source.len());
    let lines = source.get(..end).unwrap().lines();
    lines
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The trees of all imports, each with whether it is public, and what is left of the code.
fn split_uses(code: &str) -> (Vec<(bool, String)>, String) {
    let mut uses = Vec::new();
    let mut rest = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let begin = line.trim_start();
        let after = begin.strip_prefix("pub").map(|after| {
            let scope = after.starts_with('(').then(|| after.find(')')).flatten();
            scope.map_or(after, |end| &after[end + 1..]).trim_start()
        });
        let Some(tree) = after.unwrap_or(begin).strip_prefix("use ") else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_owned();
        while !tree.contains(';') {
            tree.push_str(lines.next().expect("an import ends"));
        }
        uses.push((after.is_some(), tree.replace(';', "")));
    }
    (uses, rest)
}

/// `a::{b, c::{self, d}}` as its paths.
fn expanded(tree: &str) -> Vec<Vec<String>> {
    let names = |path: &str| -> Vec<String> {
        let names = path.split("::").map(str::trim);
        names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let Some((prefix, inner)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap();
        return vec![names(path)];
    };
    let inner = inner.get(..inner.rfind('}').unwrap()).unwrap();
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, character) in inner.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(inner.get(begin..at).unwrap());
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(inner.get(begin..).unwrap());
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    parts
        .flat_map(expanded)
        .map(|path| names(prefix).into_iter().chain(path).collect())
        .collect()
}

/// Everything of the form `a::b` in code.
fn paths(code: &str) -> Vec<Vec<String>> {
    let words = code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    words
        .filter(|word| word.contains("::") && !word.starts_with("::"))
        .map(|word| word.split("::").map(str::to_owned).collect())
        .collect()
}

/// From the crate's root; none for other crates.
fn absolute(files: &BTreeMap<Module, String>, module: &Module, path: &[String]) -> Option<Module> {
    let first = path.first()?.as_str();
    let (mut base, rest) = match first {
        "crate" => (Vec::new(), &path[1..]),
        "self" => (module.clone(), &path[1..]),
        "super" => {
            let levels = path.iter().take_while(|name| *name == "super").count();
            let up = module.len().checked_sub(levels)?;
            (module[..up].to_vec(), &path[levels..])
        }
        _ => {
            let child: Module = module.iter().cloned().chain([first.to_owned()]).collect();
            files.contains_key(&child).then(|| (module.clone(), path))?
        }
    };
    base.extend(rest.iter().filter(|name| *name != "self").cloned());
    Some(base)
}

fn read(root: &Path, directory: &Path, found: &mut Vec<(Module, String)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            read(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let inner = path.strip_prefix(root).unwrap().with_extension("");
            let names = inner.iter().map(|name| name.to_str().unwrap().to_owned());
            let module = names.filter(|name| !matches!(name.as_str(), "mod" | "lib" | "main"));
            let source = std::fs::read_to_string(&path).unwrap();
            found.push((module.collect(), source));
        }
    }
}

/// The sources of a crate, without its tests.
fn sources(name: &str) -> Sources {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let root = crates.join(name).join("src");
    let mut files = Vec::new();
    read(&root, &root, &mut files);
    let is_test = |module: &Module| module.last().is_some_and(|name| name == "tests");
    files.retain(|(module, _)| !is_test(module));
    Sources::of(files)
}

#[test]
fn no_files_name_each_other() {
    let circles = |name: &&str| {
        let circles = sources(name).circles().into_iter();
        circles
            .map(|circle| format!("{name}: {circle}"))
            .collect::<Vec<_>>()
    };
    let circles: Vec<String> = CRATES.iter().flat_map(circles).collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

/// A finder that understood nothing would find nothing.
#[test]
fn names_of_other_files_are_understood() {
    let sources = sources("signalr-proto");
    assert!(sources.files.len() > 80, "{}", sources.files.len());
    let named: usize = sources.neighbours().values().map(BTreeSet::len).sum();
    assert!(named > 200, "only {named} names were understood");
}

fn circles(files: &[(&str, &str)]) -> Vec<String> {
    let files = files.iter().map(|(name, source)| {
        let names = name.split('/').filter(|name| !name.is_empty());
        (names.map(str::to_owned).collect(), (*source).to_owned())
    });
    Sources::of(files).circles()
}

#[test]
fn a_circle_is_found_through_imports_paths_and_exports() {
    let machine = (
        "client",
        "mod state;\nmod timer;\npub use timer::Timer;\nuse state::State;\n",
    );
    let found = circles(&[
        ("", "pub mod client;\n"),
        machine,
        (
            "client/state",
            "use std::fmt;\nuse crate::client::{\n    Timer,\n};\n",
        ),
        ("client/timer", "fn f(_: super::state::State) {}\n"),
    ]);
    assert_eq!(
        found,
        [
            "client/state names client/timer",
            "client/timer names client/state"
        ]
    );
}

#[test]
fn exports_comments_and_tests_make_no_circle() {
    let found = circles(&[
        ("", "pub mod client;\npub use client::Machine;\n"),
        (
            "client",
            "mod start;\nmod state;\npub use state::Phase;\nuse state::State;\npub struct Machine;\n",
        ),
        (
            "client/start",
            "use super::Machine;\nuse super::state::State;\nimpl Machine {}\n",
        ),
        (
            "client/state",
            "// See super::Machine.\npub struct State;\n#[cfg(test)]\nmod tests { use super::super::Machine; }\n",
        ),
    ]);
    assert_eq!(found, Vec::<String>::new());
}
