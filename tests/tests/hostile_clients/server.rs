//! The server under test as a process, and what it takes from the machine.

use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use signalr_tests::reference;

use crate::raw::{CLOSE, Http, LAST, Socket, frame};

pub const MIB: u64 = 1 << 20;

/// Which server the cases are played against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Own,
    /// Microsoft's, to see that the clients here are right where both must behave alike.
    Official,
}

/// As the environment wants it.
pub fn kind() -> Kind {
    match std::env::var("SIGNALR_HOSTILE").as_deref() {
        Ok("official") => Kind::Official,
        Ok(_) | Err(_) => Kind::Own,
    }
}

/// A server of one's own. It ends when this is dropped.
pub struct Server {
    pub kind: Kind,
    pub address: SocketAddr,
    process: Child,
    /// Tasks of ours before there were clients.
    idle_tasks: u64,
}

/// What a process has in use.
#[derive(Clone, Copy)]
pub struct Usage {
    pub memory: u64,
    /// The most memory since it was last asked to forget that.
    pub peak: u64,
    pub descriptors: usize,
    pub threads: usize,
}

/// What may be left when all clients are gone.
#[derive(Clone, Copy)]
pub struct Margin {
    pub memory: u64,
    pub descriptors: usize,
    pub threads: usize,
    /// Beyond those of the server without clients.
    pub tasks: u64,
    pub patience: Duration,
}

impl Default for Margin {
    fn default() -> Self {
        Self {
            memory: 16 * MIB,
            descriptors: 2,
            threads: 8,
            tasks: 4,
            patience: Duration::from_secs(20),
        }
    }
}

fn script(kind: Kind) -> PathBuf {
    let (variable, default) = match kind {
        Kind::Own => ("SIGNALR_HUBS", "/hubs.sh"),
        Kind::Official => {
            assert!(reference::url().is_some(), "there is no reference server");
            ("SIGNALR_REFERENCE_SERVER", "/../../shared/aspnet/server.sh")
        }
    };
    std::env::var_os(variable).map_or_else(
        || PathBuf::from(format!("{}{default}", env!("CARGO_MANIFEST_DIR"))),
        PathBuf::from,
    )
}

impl Server {
    /// The server that the environment names, warmed up by one connection.
    pub async fn start() -> Self {
        Self::of(kind()).await
    }

    pub async fn of(kind: Kind) -> Self {
        let mut process = Command::new(script(kind))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let address = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("READY http://")?.trim().parse().ok())
            .expect("the server says where it listens");
        let mut server = Self {
            kind,
            address,
            process,
            idle_tasks: 0,
        };
        // What is allocated once for all clients does not count.
        let mut first = Socket::connect(&server, "/hub").await;
        first.works().await;
        first.send(frame(LAST | CLOSE, [])).await;
        assert_eq!(first.end().await.code, Some(1000));
        server.idle_tasks = server.tasks().await;
        server
    }

    /// Cases in which Microsoft's server does something else end here when it is the one under test.
    pub fn official_differs(&self, how: &str) -> bool {
        let differs = self.kind == Kind::Official;
        if differs {
            reference::skipped(how);
        }
        differs
    }

    fn proc(&self, what: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{what}", self.process.id()))
    }

    pub fn usage(&self) -> Usage {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number
                .and_then(|number| number.parse::<u64>().ok())
                .unwrap()
                * 1024
        };
        Usage {
            memory: kilobytes("VmRSS:"),
            peak: kilobytes("VmHWM:"),
            descriptors: fs::read_dir(self.proc("fd")).unwrap().count(),
            threads: fs::read_dir(self.proc("task")).unwrap().count(),
        }
    }

    /// From now on the peak counts anew.
    pub fn forget_peak(&self) -> Usage {
        fs::write(self.proc("clear_refs"), "5").unwrap();
        self.usage()
    }

    /// How many tasks there are, the one that answers this included. Microsoft's server is not asked.
    async fn tasks(&self) -> u64 {
        if self.kind == Kind::Official {
            return 0;
        }
        let answer = Http::open(self).await.get("/admin/tasks").await;
        let tasks = std::str::from_utf8(&answer.body).unwrap();
        tasks.parse().unwrap()
    }

    /// Nothing is left but for the margin, soon.
    pub async fn returns_to(&self, before: Usage, margin: Margin) {
        let begin = Instant::now();
        loop {
            let (now, tasks, idle) = (self.usage(), self.tasks().await, self.idle_tasks);
            let back = now.memory <= before.memory + margin.memory
                && now.descriptors <= before.descriptors + margin.descriptors
                && now.threads <= before.threads + margin.threads
                && tasks <= idle + margin.tasks;
            if back {
                eprintln!("  afterwards {now}, {tasks} tasks, before {before}, {idle} tasks");
                return;
            }
            assert!(
                begin.elapsed() < margin.patience,
                "the clients are gone, but the server has {now}, {tasks} tasks, before {before}, {idle} tasks"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What the hubs have counted.
    pub async fn counter(&self, name: &str) -> i64 {
        let answer = Http::open(self).await.get("/admin/counters").await;
        let counters: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        counters[name].as_i64().unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(5) {
            if let Ok(Some(_)) = self.process.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} MiB (peak {:.1}), {} descriptors, {} threads",
            self.memory as f64 / MIB as f64,
            self.peak as f64 / MIB as f64,
            self.descriptors,
            self.threads
        )
    }
}

/// Watches a server while something is done to it.
pub struct Watch<'a> {
    server: &'a Server,
    what: &'static str,
    begin: Instant,
    pub before: Usage,
}

impl<'a> Watch<'a> {
    pub fn begin(server: &'a Server, what: &'static str) -> Self {
        Self {
            server,
            what,
            begin: Instant::now(),
            before: server.forget_peak(),
        }
    }

    /// The memory that it took at most, and the time.
    pub fn bounded(&self, memory: u64, time: Duration) {
        let now = self.server.usage();
        let took = self.begin.elapsed();
        let more = now.peak.saturating_sub(self.before.memory);
        eprintln!(
            "{}: {took:.1?}, {:.1} MiB more at most; {now}",
            self.what,
            more as f64 / MIB as f64
        );
        // Microsoft's server is here to check the clients; its memory is its own matter.
        assert!(
            more <= memory || self.server.kind == Kind::Official,
            "{}: {more} bytes more, not {memory}",
            self.what
        );
        assert!(took <= time, "{}: took {took:?}, not {time:?}", self.what);
    }

    pub async fn returns(&self, margin: Margin) {
        if self.server.kind == Kind::Own {
            self.server.returns_to(self.before, margin).await;
        }
    }
}
