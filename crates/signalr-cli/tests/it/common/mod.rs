//! Runs the program.

pub(crate) mod hub;
pub(crate) mod process;

use std::io::Write as _;
use std::process::{Command, Stdio};

use self::process::Running;

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
    command.stdin(Stdio::null());
    command
}

pub(crate) fn run(arguments: &[&str]) -> Run {
    Running::start(&mut program(arguments)).end()
}

pub(crate) fn run_with(arguments: &[&str], input: &[u8]) -> Run {
    let mut running = Running::start(program(arguments).stdin(Stdio::piped()));
    let mut stdin = running.take_stdin();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // The program may stop reading at an error.
        let _ = stdin.write_all(&input);
    });
    let run = running.end();
    writer.join().unwrap();
    run
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
