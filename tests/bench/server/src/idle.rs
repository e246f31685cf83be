//! What connections cost that do nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::connect::{self, Opened};
use crate::dialect::{Dialect, Language, Purpose};
use crate::http::Wire;
use crate::process;
use crate::spell::as_f64;
use crate::swarm::Swarm;

/// Connections that come and go before the memory is looked at, so that what all of them share is there.
const EARLIER: usize = 100;
/// How often an idle client says that it lives.
const PINGS: Duration = Duration::from_secs(10);

/// How they are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// WebSockets without negotiation.
    WebSockets,
    /// Event streams.
    Events,
    /// A poll of each waits.
    Polls,
}

impl Transport {
    /// The transport of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self, Failure> {
        Ok(match name {
            "websockets" => Self::WebSockets,
            "sse" => Self::Events,
            "longpolling" => Self::Polls,
            other => return Err(format!("no transport is called {other}").into()),
        })
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSockets => "websockets",
            Self::Events => "sse",
            Self::Polls => "longpolling",
        }
    }
}

/// How many, and for how long before the memory is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Connections.
    pub connections: usize,
    /// How they are connected.
    pub transport: Transport,
    /// How long they have been idle when it counts.
    pub settle: Duration,
}

fn connect(
    address: SocketAddr,
    transport: Transport,
    count: usize,
) -> Result<Vec<Opened>, Failure> {
    let dialect = Dialect::new(Language::Json, Purpose::Echo, 0);
    let mut control = Wire::connect(address)?;
    (0..count)
        .map(|_| match transport {
            Transport::WebSockets => connect::web_socket(address, &dialect),
            Transport::Events => connect::event_stream(address, &mut control),
            Transport::Polls => connect::long_poll(address, &mut control),
        })
        .collect()
}

/// The bytes of resident memory of that process that each connection takes.
///
/// # Errors
/// When the server does not play along.
pub fn run(address: SocketAddr, pid: u32, idle: Idle) -> Result<f64, Failure> {
    drop(connect(address, idle.transport, EARLIER)?);
    std::thread::sleep(Duration::from_millis(500));
    let before = process::resident(pid)?;
    let streams = connect(address, idle.transport, idle.connections)?;
    let after = match idle.transport {
        Transport::WebSockets => live(streams, pid, idle.settle)?,
        Transport::Events | Transport::Polls => wait(&streams, pid, idle.settle)?,
    };
    Ok(as_f64(after.saturating_sub(before)) / as_f64(idle.connections))
}

/// Answers pings and pings, as clients do, and gives the memory at the end.
fn live(streams: Vec<Opened>, pid: u32, settle: Duration) -> Result<usize, Failure> {
    let dialect = Dialect::new(Language::Json, Purpose::Echo, 0);
    let ping = dialect.ping();
    let mut swarm = Swarm::new(streams)?;
    let begun = Instant::now();
    let mut next_ping = begun;
    loop {
        let (now, _) = swarm.look(Duration::from_millis(20), &dialect, |_, _, _| Ok(()))?;
        if now >= begun + settle {
            break;
        }
        if now >= next_ping {
            next_ping = now + PINGS;
            for member in swarm.members() {
                member.write(&ping)?;
            }
        }
    }
    if swarm.closed() > 0 {
        return Err(format!("the server closed {} idle connections", swarm.closed()).into());
    }
    process::resident(pid)
}

/// On the other transports there is nothing to do in the time a measurement takes.
fn wait(streams: &[Opened], pid: u32, settle: Duration) -> Result<usize, Failure> {
    std::thread::sleep(settle);
    for (stream, _) in streams {
        stream.set_nonblocking(true)?;
        if stream.peek(&mut [0]).is_ok_and(|count| count == 0) {
            return Err("the server closed an idle connection".into());
        }
    }
    process::resident(pid)
}
