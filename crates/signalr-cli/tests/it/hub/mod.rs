//! The commands that talk to a hub.

mod calls;
mod connections;
mod options;
mod tokens;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Shutdown, TcpStream};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use signalr_tests::wire::Wire;

use crate::common::hub::{closed_port, serve, serve_answers, serve_bytes};
use crate::common::process::Running;
use crate::common::{Run, program, run, run_with};

/// The lines without the id of the connection, which differs each time.
fn without_id(run: &Run) -> Vec<String> {
    let cut = |line: &&str| {
        line.split_once("\"connectionId\":")
            .map_or_else(|| (*line).to_owned(), |(head, _)| format!("{head}…"))
    };
    run.lines().iter().map(cut).collect()
}

const CONNECTED: &str = "{\"event\":\"connected\",…";
const CLOSED: &str = "{\"event\":\"closed\"}";

/// A server in front of another, and the connections through it.
fn relay(base: &str) -> (String, Arc<Mutex<Vec<TcpStream>>>) {
    let target = base.strip_prefix("http://").unwrap().to_owned();
    let streams = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&streams);
    let wire = Wire::serve(move |peer| {
        let server = TcpStream::connect(&target).unwrap();
        kept.lock().unwrap().push(peer.stream.try_clone().unwrap());
        let pump = |mut from: TcpStream, mut to: TcpStream| {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        };
        let (client, other) = (
            peer.stream.try_clone().unwrap(),
            server.try_clone().unwrap(),
        );
        std::thread::spawn(move || pump(client, other));
        pump(server, peer.stream);
    });
    (wire.unwrap().url(""), streams)
}

fn listening(arguments: &[&str]) -> (Running, BufReader<ChildStdout>) {
    let mut running = Running::start(&mut program(arguments));
    let lines = running.take_stdout();
    (running, lines)
}

/// Reads the line that tells of the connection.
fn next_connection_id(lines: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let id = line
        .strip_prefix("{\"event\":\"connected\",\"connectionId\":\"")
        .unwrap();
    id.split('"').next().unwrap().to_owned()
}
