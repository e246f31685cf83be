//! The official parsers and writers, as a process of node.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::thread;

use serde_json::{Value, json};

const FILES: [(&str, &str); 2] = [
    ("package.json", include_str!("package.json")),
    ("peer.mjs", include_str!("peer.mjs")),
];

/// Where the packages are installed, or why they are not.
static PROGRAM: LazyLock<Result<PathBuf, String>> = LazyLock::new(install);

fn install() -> Result<PathBuf, String> {
    let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("differential");
    let package = into.join("package.json");
    let (_, wanted) = FILES[0];
    let complete = into.join("complete");
    if std::fs::read_to_string(&package).is_ok_and(|there| there != wanted) {
        std::fs::remove_dir_all(&into).unwrap();
    }
    std::fs::create_dir_all(&into).unwrap();
    for (name, text) in FILES {
        std::fs::write(into.join(name), text).unwrap();
    }
    run("node", &["--version"])?;
    if !complete.exists() {
        let prefix = into.display().to_string();
        run(
            "npm",
            &[
                "install",
                "--prefix",
                &prefix,
                "--no-audit",
                "--no-fund",
                "--no-package-lock",
                "--silent",
            ],
        )?;
        std::fs::write(complete, "").unwrap();
    }
    Ok(into.join("peer.mjs"))
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "{program} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
        Err(error) => Err(format!("{program} is not there: {error}")),
    }
}

/// One answer for each question, or `None` where the packages cannot be had.
///
/// # Panics
/// When they cannot be had but `CI` is `true`.
pub(crate) fn ask(questions: Vec<Value>) -> Option<Vec<Value>> {
    let program = match &*PROGRAM {
        Ok(program) => program,
        Err(why) => {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "the official parsers must be there in CI: {why}"
            );
            // Not `eprintln!`, which the test runner swallows.
            let _ = writeln!(
                std::io::stderr(),
                "skipped: no official parsers to compare with: {why}"
            );
            return None;
        }
    };
    let mut process = Command::new("node")
        .arg(program)
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
