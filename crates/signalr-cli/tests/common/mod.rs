//! Runs the program.

#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

pub(crate) mod hub;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// What a run of the program gave.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).expect("output is UTF-8")
    }

    pub(crate) fn lines(&self) -> Vec<&str> {
        self.text().lines().collect()
    }

    /// The output of a run that must have gone well.
    pub(crate) fn ok(self) -> Vec<u8> {
        assert_eq!(self.code, 0, "{}", self.err);
        assert_eq!(self.err, "");
        self.out
    }

    pub(crate) fn ok_text(self) -> String {
        String::from_utf8(self.ok()).expect("output is UTF-8")
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let err = String::from_utf8(output.stderr).expect("messages are UTF-8");
        assert!(!err.contains("panicked"), "{err}");
        Self {
            code: output.status.code().expect("the program was not killed"),
            out: output.stdout,
            err,
        }
    }
}

pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalr"));
    command
        .args(arguments)
        .env_remove("SIGNALR_TOKEN")
        .env_remove("RUST_LOG");
    for variable in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command
            .env_remove(variable)
            .env_remove(variable.to_uppercase());
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn run(arguments: &[&str]) -> Run {
    program(arguments)
        .output()
        .expect("the program starts")
        .into()
}

pub(crate) fn run_with(arguments: &[&str], input: &[u8]) -> Run {
    let mut child = program(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // The program may stop reading at an error.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.into()
}

pub(crate) fn decode(protocol: &str, input: &[u8]) -> Run {
    run_with(&["decode", "--protocol", protocol], input)
}

pub(crate) fn decode_hex(protocol: &str, digits: &str) -> Run {
    run_with(
        &["decode", "--protocol", protocol, "--hex"],
        digits.as_bytes(),
    )
}

pub(crate) fn encode(protocol: &str, lines: &str) -> Run {
    run_with(&["encode", "--protocol", protocol], lines.as_bytes())
}

pub(crate) fn encode_hex(protocol: &str, lines: &str) -> Run {
    run_with(
        &["encode", "--protocol", protocol, "--hex"],
        lines.as_bytes(),
    )
}
