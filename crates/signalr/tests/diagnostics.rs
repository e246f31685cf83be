//! What the compiler says of mistakes that users make, word for word.
//!
//! The words are the compiler's, too, and change with it: they are compared on the toolchain that they were written with, and
//! rewritten by `TRYBUILD=overwrite cargo test -p signalr --features axum --test diagnostics`. Other toolchains skip this.

use std::process::Command;

/// The compiler whose words are kept.
const TOOLCHAIN: &str = "rustc 1.95.";

#[test]
fn mistakes_are_told_in_words_that_help() {
    let version = Command::new("rustc").arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    if !version.starts_with(TOOLCHAIN) {
        println!("skipped: the words are those of {TOOLCHAIN}, and this is {version}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/diagnostics/*.rs");
}

/// What underlines a path is as long as the path, which is another one in each checkout.
#[test]
fn no_words_are_as_long_as_a_path() {
    for entry in std::fs::read_dir("tests/diagnostics").unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "stderr")
        {
            continue;
        }
        let words = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = words.lines().collect();
        for pair in lines.windows(2) {
            let underlined = pair[1].contains("++") || pair[1].contains("^^");
            let path = path.display();
            assert!(
                !(underlined && pair[0].contains("$DIR")),
                "{path}: {}",
                pair[0]
            );
        }
    }
}
