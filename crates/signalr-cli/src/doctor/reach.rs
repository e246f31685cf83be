//! From the name to an open socket.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::address::Place;
use super::report::{Finding, milliseconds, number};

/// No name has more that matter.
const MOST_ADDRESSES: usize = 16;

/// Looks the name up.
pub(super) async fn look_up(place: &Place, bound: Duration) -> (Finding, Vec<SocketAddr>) {
    if let Some(address) = place.ip() {
        let finding = Finding::ok(format!(
            "{address} is an address: there is nothing to look up"
        ));
        return (finding, vec![SocketAddr::new(address, place.port)]);
    }
    let begun = Instant::now();
    let looked_up = timeout(bound, tokio::net::lookup_host((&*place.host, place.port))).await;
    let found = match looked_up {
        Err(_) => Err(format!("no answer within {} seconds", bound.as_secs_f64())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(found)) => Ok(distinct(found)),
    };
    match found {
        Ok(addresses) if !addresses.is_empty() => {
            let list: Vec<String> = addresses
                .iter()
                .map(|found| found.ip().to_string())
                .collect();
            let finding = Finding::ok(format!("{} is {}", place.host, list.join(", ")))
                .fact("addresses", list)
                .took(begun.elapsed());
            (finding, addresses)
        }
        Ok(_) => (unknown(place, "it has no address"), Vec::new()),
        Err(why) => (unknown(place, &why), Vec::new()),
    }
}

fn distinct(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) && addresses.len() < MOST_ADDRESSES {
            addresses.push(address);
        }
    }
    addresses
}

fn unknown(place: &Place, why: &str) -> Finding {
    Finding::failed(format!("the name {} cannot be resolved: {why}", place.host)).advice(
        "check how it is spelled, and whether this computer is online and in the network (VPN) where the name is known",
    )
}

/// Connects to all addresses at once; gives the first that answers, in their order.
pub(super) async fn connect(
    addresses: &[SocketAddr],
    bound: Duration,
) -> (Finding, Option<SocketAddr>) {
    let tries = join_all(addresses.iter().map(|address| attempt(*address, bound))).await;
    let facts: Vec<_> = tries.iter().map(Try::fact).collect();
    let good = tries
        .iter()
        .find_map(|tried| Some((tried.address, tried.outcome.as_ref().ok()?)));
    let bad = tries
        .iter()
        .find_map(|tried| Some((tried.address, tried.outcome.as_ref().err()?)));
    let finding = match (good, bad) {
        (Some((address, time)), None) => {
            Finding::ok(format!("{address} accepts connections")).took(*time)
        }
        (Some((address, time)), Some((other, error))) => Finding::warning(format!(
            "{address} accepts connections (after {}), but {other} does not: {}",
            milliseconds(*time),
            in_words(error)
        ))
        .advice("clients that try this address first lose time: remove it from the name, or have the server listen there"),
        (None, Some((address, error))) => {
            Finding::failed(format!("{address} cannot be reached: {}", in_words(error)))
                .advice(advice(error))
        }
        (None, None) => Finding::failed("there is no address to connect to"),
    };
    (
        finding.fact("addresses", facts),
        good.map(|(address, _)| address),
    )
}

struct Try {
    address: SocketAddr,
    outcome: Result<Duration, io::Error>,
}

impl Try {
    fn fact(&self) -> serde_json::Value {
        match &self.outcome {
            Ok(time) => {
                json!({"address": self.address.to_string(), "milliseconds": number(*time)})
            }
            Err(error) => json!({"address": self.address.to_string(), "error": in_words(error)}),
        }
    }
}

async fn attempt(address: SocketAddr, bound: Duration) -> Try {
    let begun = Instant::now();
    let outcome = match timeout(bound, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(begun.elapsed()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
    };
    Try { address, outcome }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the others speak for themselves"
)]
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "there is no way to it from here".to_owned()
        }
        _ => error.to_string(),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "there is no advice for the others"
)]
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "nobody listens at this port: is the server running, and is the port right?"
        }
        io::ErrorKind::TimedOut => {
            "a firewall may drop what is sent to it, or the host is off or elsewhere: check the address and the port"
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "is this computer online, and in the network (VPN) of the server?"
        }
        _ => "check host and port",
    }
}

/// Opens a socket for one of the later steps.
pub(super) async fn open(address: SocketAddr, bound: Duration) -> Result<TcpStream, String> {
    match timeout(bound, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(in_words(&error)),
        Err(_) => Err("no answer in time".to_owned()),
    }
}
