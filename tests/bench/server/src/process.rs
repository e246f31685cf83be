//! Servers as processes: starting them, what they use, ending them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::Failure;

/// How long a server may take to listen: its script may have to build it.
const STARTING: Duration = Duration::from_secs(600);
/// How long it may take to end.
const ENDING: Duration = Duration::from_secs(20);

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    pid: u32,
}

impl Server {
    /// Starts a program that prints `READY http://HOST:PORT` and ends with its standard input, on that core.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(command: &[String], core: Option<usize>) -> Result<Self, Failure> {
        let pinned = core.map(|core| ["taskset".to_owned(), "-c".to_owned(), core.to_string()]);
        let mut words = pinned.iter().flatten().chain(command);
        let mut process = Command::new(words.next().ok_or("no command for a server")?);
        process
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = process
            .spawn()
            .map_err(|error| format!("{}: {error}", command.join(" ")))?;
        match ready(&mut child).and_then(|address| Ok((address, listener(address)?))) {
            Ok((address, pid)) => Ok(Self {
                child,
                address,
                pid,
            }),
            Err(error) => {
                end(&mut child);
                Err(format!("{}: {error}", command.join(" ")).into())
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process that listens: what was started may be a script around it.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Its standard input is what it lives by; who does not listen to that is killed.
fn end(child: &mut Child) {
    drop(child.stdin.take());
    let deadline = Instant::now() + ENDING;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn ready(child: &mut Child) -> Result<SocketAddr, Failure> {
    let output = child.stdout.take().ok_or("a server without output")?;
    let (found, finding) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(url) = line.strip_prefix("READY ") {
                let _ = found.send(url.to_owned());
            }
        }
    });
    let url = finding
        .recv_timeout(STARTING)
        .map_err(|_| "it never said READY")?;
    address(&url)
}

/// The address in a URL of that kind.
///
/// # Errors
/// When there is none.
pub fn address(url: &str) -> Result<SocketAddr, Failure> {
    let host = url.trim().split_once("://").map_or(url, |(_, host)| host);
    let host = host.trim_end_matches('/').replace("localhost", "127.0.0.1");
    host.parse()
        .map_err(|_| format!("{url} is not http://ADDRESS:PORT").into())
}

/// The process that listens there.
///
/// # Errors
/// When none of ours does.
pub fn listener(address: SocketAddr) -> Result<u32, Failure> {
    let sockets = fs::read_to_string("/proc/net/tcp")?;
    let port = format!(":{:04X}", address.port());
    let inode = sockets
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|fields| {
            fields.get(1).is_some_and(|local| local.ends_with(&port))
                && fields.get(3) == Some(&"0A")
        })
        .and_then(|fields| fields.get(9).map(|inode| format!("socket:[{inode}]")))
        .ok_or("nobody listens there")?;
    let processes = fs::read_dir("/proc")?.flatten();
    processes
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .find(|pid| holds(*pid, &inode))
        .ok_or_else(|| "a process of somebody else listens there".into())
}

fn holds(pid: u32, inode: &str) -> bool {
    fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|files| {
        files
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == inode))
    })
}

/// The resident memory of a process, in bytes.
///
/// # Errors
/// When it has gone.
pub fn resident(pid: u32) -> Result<usize, Failure> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kibibytes: usize = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Rss:")?.split_whitespace().next())
        .ok_or("no resident memory")?
        .parse()?;
    Ok(kibibytes * 1024)
}

/// For how long a process has been running on any core, to a hundredth of a second. What the kernel keeps for each thread is
/// more exact, but goes when the thread does.
#[must_use]
pub fn running_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields
        .split_whitespace()
        .skip(11)
        .map_while(|field| field.parse::<u64>().ok());
    let (user, system) = (ticks.next()?, ticks.next()?);
    Some(Duration::from_millis((user + system) * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_out_of_a_url() {
        assert_eq!(address("http://127.0.0.1:5000/").unwrap().port(), 5000);
        assert_eq!(address("http://localhost:80").unwrap().port(), 80);
        assert!(address("http://").is_err());
    }

    #[test]
    fn a_process_has_been_running_for_some_time() {
        let mut spun = 0_u64;
        while running_time(std::process::id()).unwrap() < Duration::from_millis(20) {
            spun = std::hint::black_box(spun + 1);
        }
    }

    #[test]
    fn the_process_that_listens_is_found() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = listener(socket.local_addr().unwrap()).unwrap();
        assert_eq!(found, std::process::id());
    }
}
