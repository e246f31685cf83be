//! The README's client and server, each in a fresh project with nothing but the README's `[dependencies]`, against each other.
//!
//! As printed, but for the port, which must be free, and for the crates of this repository, which are taken from it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Compiling is not in it.
const PATIENCE: Duration = Duration::from_secs(30);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The blocks of this language with these words in them.
fn block(page: &str, language: &str, words: &str) -> String {
    let fence = format!("```{language}");
    let mut blocks = page.split("```").collect::<Vec<_>>();
    blocks.retain(|block| format!("```{block}").starts_with(&fence) && block.contains(words));
    let [block] = blocks[..] else {
        panic!("{} blocks of {language} have '{words}'", blocks.len());
    };
    block.split_once('\n').unwrap().1.to_owned()
}

struct Fresh {
    directory: PathBuf,
}

impl Fresh {
    fn new() -> Self {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| root().join("target"), PathBuf::from);
        let directory = target.join("readme");
        fs::create_dir_all(&directory).unwrap();
        let directory = directory.canonicalize().unwrap();
        let crates = root().join("crates/signalr").canonicalize().unwrap();
        let manifest = format!(
            "[workspace]\nmembers = [\"client\", \"server\"]\nresolver = \"3\"\n\
             [profile.dev]\ndebug = false\n\
             [patch.crates-io]\nsignalr = {{ path = {crates:?} }}\n"
        );
        fs::write(directory.join("Cargo.toml"), manifest).unwrap();
        // The versions that are known to be here.
        fs::copy(root().join("Cargo.lock"), directory.join("Cargo.lock")).unwrap();
        Self { directory }
    }

    fn write(&self, name: &str, dependencies: &str, program: &str) {
        let package = self.directory.join(name);
        fs::create_dir_all(package.join("src")).unwrap();
        let manifest = format!(
            "[package]\nname = \"readme-{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n{dependencies}"
        );
        fs::write(package.join("Cargo.toml"), manifest).unwrap();
        fs::write(package.join("src/main.rs"), program).unwrap();
    }

    /// Tells whether there is something to run: cargo may have to fetch a crate that nothing else here needs, and without a network
    /// it cannot. In CI it must.
    fn build(&self) -> bool {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet"])
            .current_dir(&self.directory)
            .env("CARGO_TARGET_DIR", self.directory.join("target"))
            // As a program of tests it may have that; see `tests/timed.sh`.
            .env_remove("RUSTC_BOOTSTRAP")
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&built.stderr);
        let is_offline = ["failed to download", "failed to fetch", "failed to query"]
            .iter()
            .any(|sign| words.contains(sign));
        if is_offline && std::env::var("CI").as_deref() != Ok("true") {
            println!("skipped: cargo has no network: {words}");
            return false;
        }
        assert!(built.status.success(), "{words}");
        assert!(!words.contains("warning"), "{words}");
        true
    }

    fn run(&self, name: &str) -> Program {
        let program = self.directory.join(format!("target/debug/readme-{name}"));
        let mut child = Command::new(program)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Program { child, lines }
    }
}

struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    fn says(&self, line: &str) {
        let began = Instant::now();
        let mut others = Vec::new();
        while let Some(left) = PATIENCE.checked_sub(began.elapsed()) {
            match self.lines.recv_timeout(left) {
                Ok(said) if said == line => return,
                Ok(said) => others.push(said),
                Err(_) => break,
            }
        }
        panic!("'{line}' is not among {others:?}");
    }

    fn ends_well(mut self) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                let mut words = String::new();
                let mut stderr = self.child.stderr.take().unwrap();
                stderr.read_to_string(&mut words).unwrap();
                assert!(status.success(), "{words}");
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn the_client_and_the_server_of_the_front_page_talk_to_each_other() {
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    let port = free_port();
    let program = |words| block(&page, "rust", words).replace("5000", &port.to_string());
    let fresh = Fresh::new();
    let dependencies = |words| block(&page, "toml", words);
    fresh.write(
        "client",
        &dependencies("signalr = \"0.1\""),
        &program("in the lobby"),
    );
    fresh.write(
        "server",
        &dependencies("features = [\"axum\"]"),
        &program("impl Hub for Chat"),
    );
    if !fresh.build() {
        return;
    }

    let server = fresh.run("server");
    let began = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        assert!(began.elapsed() < PATIENCE, "the server does not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
    let client = fresh.run("client");
    client.says("1 in the lobby");
    client.ends_well();
    drop(server);
}
