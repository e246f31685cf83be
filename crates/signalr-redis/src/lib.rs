//! Redis as the backplane of SignalR servers: hubs of many servers, ours and ASP.NET Core's, that share their clients.
//!
//! ```no_run
//! use signalr_redis::RedisBackplane;
//! use signalr_server::{Hub, HubMethods, HubServer};
//!
//! struct Chat;
//!
//! impl Hub for Chat {
//!     fn methods(_: &mut HubMethods<Self>) {}
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let redis = RedisBackplane::open("redis://127.0.0.1:6379")?;
//! let server = HubServer::builder(Chat)
//!     // What ASP.NET Core servers of the same farm call the hub: namespace and class.
//!     .backplane("My.Chat.ChatHub", redis)
//!     .configure_backplane(|config| config.prefix = "live".into())
//!     .build()?;
//! if let Some(backplane) = server.backplane() {
//!     backplane.ready().await;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Each hub takes two connections to Redis, as with the official server: one that publishes, and one that subscribes. Both are
//! made anew when one of them fails, and everything is subscribed to again. Plain `PUBLISH` and `SUBSCRIBE` are all that is
//! used, and nothing is ever stored.
//!
//! # Addresses
//!
//! | address | where Redis is |
//! |---|---|
//! | `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]` | there; the port is 6379 unless it is given |
//! | `redis://…HOST[:PORT],HOST[:PORT],…` | at any of these, which are tried in turn: nodes of a cluster |
//! | `redis-sentinel://[[USER]:PASSWORD@]HOST[:PORT],…/SERVICE[/DATABASE]` | where the sentinels at these hosts (port 26379) say that the master of that name is |
//! | `unix:///PATH` | behind that socket |
//!
//! `rediss://` and `rediss-sentinel://` are the same over TLS (feature `tls`), with the operating system's roots; for others, and for
//! certificates of clients, there is `RedisBackplane::open_with_tls`. User and password are those of
//! Redis; where sentinels want some, too, they stand behind as `?sentinel_user=USER&sentinel_password=PASSWORD`. Characters that
//! mean something in addresses are written with `%`.
//!
//! The number of the database makes no difference: channels belong to the whole Redis. Put a prefix in front of them instead.
//!
//! After a failover the sentinels are asked again, and servers that are replicas by then are passed over. Any node of a cluster
//! passes on messages of all the others. But nodes tell only how many of their own clients heard a message, so that in a cluster
//! questions to clients that do not exist, and to servers that died, end when their time is up instead of at once, and counts of the
//! farm take the time that Redis has for an operation.
//!
//! Whoever can write to that Redis can speak to every client of the farm, and let them join groups: it needs a password and a
//! network of its own, or TLS.

mod address;
mod fault;
mod link;
mod node;
mod security;
mod sieve;

use std::fmt;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::RedisError;
use signalr_server::{Backplane, BackplaneFault, BackplaneLink};

/// The client that speaks to Redis: its errors are named here.
pub use redis;
/// What TLS is made of, to be configured.
#[cfg(feature = "tls")]
pub use rustls;

use address::Place;
use security::Security;

/// A Redis through which servers reach each other's clients.
#[derive(Clone)]
pub struct RedisBackplane {
    place: Place,
    response_timeout: Duration,
    backlog_limit: u32,
}

impl RedisBackplane {
    /// The Redis at an [address](crate#addresses). Nothing is connected yet.
    ///
    /// # Errors
    /// When the address is none, or wants TLS without the feature `tls`.
    pub fn open(url: &str) -> Result<Self, RedisError> {
        Place::open(url, &Security::of_system).map(Self::at)
    }

    /// The same over TLS of one's own, that trusts other roots than the operating system's, or has a certificate for itself.
    /// Sentinels are spoken to in the same way.
    ///
    /// # Errors
    /// When the address is none or has no TLS.
    #[cfg(feature = "tls")]
    pub fn open_with_tls(
        url: &str,
        config: impl Into<Arc<rustls::ClientConfig>>,
    ) -> Result<Self, RedisError> {
        if !url.starts_with("rediss") {
            return Err((redis::ErrorKind::InvalidClientConfig, "no address with TLS").into());
        }
        let security = Security::Tls(config.into().into());
        Place::open(url, &|| Ok(security.clone())).map(Self::at)
    }

    const fn at(place: Place) -> Self {
        Self {
            place,
            response_timeout: Duration::from_secs(5),
            backlog_limit: 64 << 20,
        }
    }

    /// How long Redis may take to connect, and to answer a batch of messages, before the connection is given up.
    /// Default: 5 s.
    #[must_use]
    pub fn response_timeout(self, response_timeout: Duration) -> Self {
        Self {
            response_timeout,
            ..self
        }
    }

    /// Bytes of messages that came and have not been handed to clients above which the connection is given up, so that a
    /// server that falls behind loses messages instead of running out of memory. One message may take all of that, and none may be
    /// larger. Redis has such a limit of its own (`client-output-buffer-limit pubsub`). Default: 64 MiB.
    #[must_use]
    pub fn backlog_limit(self, bytes: u32) -> Self {
        Self {
            backlog_limit: bytes,
            ..self
        }
    }
}

impl Backplane for RedisBackplane {
    fn connect(&self) -> BoxFuture<'static, Result<BackplaneLink, BackplaneFault>> {
        let (place, timeout) = (self.place.clone(), self.response_timeout);
        Box::pin(link::connect(place, timeout, self.backlog_limit))
    }
}

/// Shows no address: there may be a password in it.
impl fmt::Debug for RedisBackplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackplane")
            .field("response_timeout", &self.response_timeout)
            .field("backlog_limit", &self.backlog_limit)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let redis = RedisBackplane::open("redis://:secret@localhost/").unwrap();
        assert!(!format!("{redis:?}").contains("secret"));
        let error = RedisBackplane::open("http://:secret@localhost/").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[tokio::test]
    async fn a_redis_that_is_not_there_is_an_error() {
        // The port is taken, and nobody accepts there.
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let redis = RedisBackplane::open(&format!("redis://:secret@{address}")).unwrap();
        let redis = redis.response_timeout(Duration::from_millis(50));
        let error = redis.connect().await.unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        drop(socket);
        let redis = redis.response_timeout(Duration::from_secs(60));
        redis.connect().await.unwrap_err();
    }

    /// Answers each command with a line, or hangs up when there is none.
    async fn answering(line: Option<&'static str>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut bytes = [0; 1_024];
                    while let (Ok(count @ 1..), Some(line)) = (socket.read(&mut bytes).await, line)
                    {
                        let commands = bytes.iter().take(count).filter(|byte| **byte == b'*');
                        let answer = line.repeat(commands.count());
                        if socket.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    async fn fault(url: &str) -> String {
        let redis = RedisBackplane::open(url).unwrap();
        let redis = redis.response_timeout(Duration::from_millis(200));
        redis.connect().await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn what_is_no_redis_is_told_with_what_may_be_wrong() {
        for (line, words) in [
            (None, "rediss:// instead of redis://"),
            (Some("HTTP/1.1 400 Bad Request\r\n\r\n"), "no Redis"),
            (
                Some("-NOAUTH Authentication required.\r\n"),
                "wants a password",
            ),
            (Some(""), "did not answer within 200ms"),
        ] {
            let address = answering(line).await;
            let fault = fault(&format!("redis://{address}")).await;
            assert!(fault.contains(words), "{line:?}: {fault}");
            assert_eq!(fault.lines().count(), 1, "{fault}");
        }
    }

    #[cfg(feature = "tls")]
    #[tokio::test]
    async fn tls_where_there_is_none_is_told() {
        let address = answering(Some("")).await;
        let fault = fault(&format!("rediss://{address}")).await;
        assert!(fault.contains("redis:// instead of rediss://"), "{fault}");
    }
}
