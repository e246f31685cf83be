//! The official parsers and writers, as a process of node.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread;

use serde_json::{Value, json};
use signalr_harness::{npm, program};

/// Where the program is that asks the official packages, or why it cannot be.
static PROGRAM: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = npm::install(folder, include_str!("../package.json"))?.join("peer.mjs");
    std::fs::write(&program, include_str!("peer.mjs")).map_err(|error| error.to_string())?;
    Ok(program)
});

/// One answer for each question, or `None` where the packages cannot be had.
///
/// # Panics
/// When they cannot be had but `CI` is `true`.
pub(crate) fn ask(questions: Vec<Value>) -> Option<Vec<Value>> {
    let peer = match &*PROGRAM {
        Ok(peer) => peer,
        Err(why) => {
            program::missing(&format!("no official parsers to compare with: {why}"));
            return None;
        }
    };
    let mut process = Command::new("node")
        .arg(peer)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    let output = BufReader::new(process.stdout.take().unwrap());
    let count = questions.len();
    // It answers while it is still being asked, and either pipe may be full.
    let asking = thread::spawn(move || {
        for question in questions {
            writeln!(input, "{question}").unwrap();
        }
    });
    let answers: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    asking.join().unwrap();
    assert!(process.wait().unwrap().success());
    assert_eq!(answers.len(), count, "an answer for each question");
    Some(answers)
}

/// What the parser of that name makes of the bytes.
pub(crate) fn read(name: &str, bytes: &[u8]) -> Value {
    json!({ "read": name, "bytes": hex(bytes) })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
        .collect()
}
