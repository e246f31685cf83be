//! Where Redis is: at one address, at one of several, or where sentinels say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{FutureExt as _, select_ok};
use redis::{ErrorKind, RedisError, RedisResult};
use signalr_server::BackplaneFault;

use crate::node::Node;
use crate::security::Security;

/// Where sentinels listen if nothing else is said.
const SENTINEL_PORT: u16 = 26379;

/// What keeps connections from others whose address wants that.
pub(crate) type Secure<'a> = &'a dyn Fn() -> RedisResult<Security>;

/// Where Redis is.
#[derive(Clone)]
pub(crate) enum Place {
    /// At any of these.
    Nodes {
        nodes: Arc<[Node]>,
        /// Where to begin: with another one after each failure.
        next: Arc<AtomicUsize>,
    },
    /// Where the sentinels say that the master of this name is.
    Sentinels {
        sentinels: Arc<[Node]>,
        service: Arc<str>,
        /// How to speak to it; its host and port are only known when it has been found.
        node: Box<Node>,
    },
}

impl Place {
    fn any(nodes: Arc<[Node]>) -> Self {
        let next = Arc::new(AtomicUsize::new(0));
        Self::Nodes { nodes, next }
    }

    /// What an address stands for.
    pub(crate) fn open(url: &str, secure: Secure<'_>) -> RedisResult<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        match scheme {
            "redis" => Self::nodes(rest, &Security::Plain),
            "rediss" => Self::nodes(rest, &secure()?),
            "redis-sentinel" => Self::sentinels(rest, &Security::Plain),
            "rediss-sentinel" => Self::sentinels(rest, &secure()?),
            // Sockets of Unix are one place, with a path of their own.
            _ => Node::open(url, Security::Plain).map(|node| Self::any([node].into())),
        }
    }

    fn nodes(rest: &str, security: &Security) -> RedisResult<Self> {
        let Parts { user, hosts, tail } = Parts::of(rest);
        let nodes = hosts
            .split(',')
            .map(|host| node(&format!("{user}{host}{tail}"), security));
        nodes.collect::<RedisResult<_>>().map(Self::any)
    }

    fn sentinels(rest: &str, security: &Security) -> RedisResult<Self> {
        let Parts { user, hosts, tail } = Parts::of(rest);
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let mut path = path.trim_matches('/').split('/');
        let service = path.next().unwrap_or_default();
        let database = path.next().unwrap_or("0");
        if service.is_empty() || path.next().is_some() {
            return Err(invalid(
                "behind the sentinels, /SERVICE or /SERVICE/DATABASE is wanted",
            ));
        }
        let login = sentinel_login(query)?;
        let sentinels = hosts
            .split(',')
            .map(|host| node(&format!("{login}{}", with_port(host)), security));
        Ok(Self::Sentinels {
            sentinels: sentinels.collect::<RedisResult<_>>()?,
            service: service.into(),
            node: Box::new(node(&format!("{user}localhost/{database}"), security)?),
        })
    }

    /// The places to try, one after the other.
    pub(crate) async fn locate(&self, timeout: Duration) -> Result<Vec<Node>, BackplaneFault> {
        match self {
            Self::Nodes { nodes, next } => {
                let next = next.load(Ordering::Relaxed) % nodes.len().max(1);
                let (before, after) = nodes.split_at_checked(next).unwrap_or_default();
                Ok(after.iter().chain(before).cloned().collect())
            }
            Self::Sentinels {
                sentinels,
                service,
                node,
            } => {
                let asked = sentinels
                    .iter()
                    .map(|sentinel| master(sentinel, service, timeout).boxed());
                let ((host, port), _) = select_ok(asked).await?;
                Ok(vec![node.elsewhere(host, port)])
            }
        }
    }

    /// The first of the places to try was no good.
    pub(crate) fn failed(&self) {
        if let Self::Nodes { next, .. } = self {
            next.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether what was found may be a replica that was the master a moment ago.
    pub(crate) const fn may_be_replica(&self) -> bool {
        matches!(self, Self::Sentinels { .. })
    }
}

/// The server at an address without its scheme.
fn node(rest: &str, security: &Security) -> RedisResult<Node> {
    Node::open(&format!("redis://{rest}"), security.clone())
}

/// Asks a sentinel where the master is.
async fn master(
    sentinel: &Node,
    service: &str,
    timeout: Duration,
) -> Result<(String, u16), BackplaneFault> {
    let mut commands = sentinel.commands(timeout).await?;
    let address: Option<(String, u16)> = redis::cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(service)
        .query_async(&mut commands.connection)
        .await?;
    let unknown = || format!("the sentinels know no master named {service}");
    Ok(address.ok_or_else(unknown)?)
}

/// An address without its scheme.
struct Parts<'a> {
    /// User and password, with the `@` behind them; or nothing.
    user: &'a str,
    /// One host or several, with their ports.
    hosts: &'a str,
    /// Everything behind them.
    tail: &'a str,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Self {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let at = authority.rfind('@').map_or(0, |at| at + 1);
        let (user, hosts) = authority.split_at(at);
        Self { user, hosts, tail }
    }
}

/// `sentinel_user` and `sentinel_password`, as they stand in front of a host.
fn sentinel_login(query: &str) -> RedisResult<String> {
    let (mut user, mut password) = ("", "");
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sentinel_user", value)) => user = value,
            Some(("sentinel_password", value)) => password = value,
            _ => {
                return Err(invalid(
                    "addresses of sentinels know sentinel_user and sentinel_password behind the ? only",
                ));
            }
        }
    }
    if user.is_empty() && password.is_empty() {
        return Ok(String::new());
    }
    Ok(format!("{user}:{password}@"))
}

fn with_port(host: &str) -> String {
    let port = host.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => host.to_owned(),
        Some(Err(_)) | None => format!("{host}:{SENTINEL_PORT}"),
    }
}

fn invalid(words: &'static str) -> RedisError {
    (ErrorKind::InvalidClientConfig, words).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(url: &str) -> Place {
        Place::open(url, &|| Ok(Security::Plain)).unwrap()
    }

    fn refused(url: &str) -> String {
        let opened = Place::open(url, &|| Ok(Security::Plain));
        opened.map(drop).unwrap_err().to_string()
    }

    fn addresses(nodes: &[Node]) -> Vec<String> {
        let address = |node: &Node| node.info().addr().to_string();
        nodes.iter().map(address).collect()
    }

    #[tokio::test]
    async fn several_addresses_are_tried_in_turn() {
        let place = open("redis://user:p%40ss@one,two:7000,[::1]:7001/3");
        let found = place.locate(Duration::ZERO).await.unwrap();
        assert_eq!(addresses(&found), ["one:6379", "two:7000", "::1:7001"]);
        for node in &found {
            let info = node.info().redis_settings();
            let login = (info.username(), info.password(), info.db());
            assert_eq!(login, (Some("user"), Some("p@ss"), 3));
        }
        place.failed();
        let found = place.locate(Duration::ZERO).await.unwrap();
        assert_eq!(addresses(&found), ["two:7000", "::1:7001", "one:6379"]);
        assert!(!place.may_be_replica());
    }

    #[test]
    fn sentinels_have_a_service_and_logins_of_their_own() {
        let place = open(
            "redis-sentinel://user:secret@one,two:7000/main/3?sentinel_user=guard&sentinel_password=a%26b",
        );
        assert!(place.may_be_replica());
        let Place::Sentinels {
            sentinels,
            service,
            node,
        } = place
        else {
            panic!("sentinels were wanted");
        };
        assert_eq!(addresses(&sentinels), ["one:26379", "two:7000"]);
        assert_eq!(&*service, "main");
        let node = node.info().redis_settings();
        let login = (node.username(), node.password(), node.db());
        assert_eq!(login, (Some("user"), Some("secret"), 3));
        let sentinel = sentinels.first().unwrap().info().redis_settings();
        assert_eq!(sentinel.username(), Some("guard"));
        assert_eq!(sentinel.password(), Some("a&b"));
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_repeated() {
        for url in [
            "",
            "one:6379",
            "http://:secret@one",
            "redis://:secret@one:port",
            "redis://:secret@one,two:port",
            "redis://:secret@one/database",
            "redis-sentinel://:secret@one",
            "redis-sentinel://:secret@one/main/0/more",
            "redis-sentinel://:secret@one/main/database",
            "redis-sentinel://one/main?password=secret",
        ] {
            let error = refused(url);
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }
}
