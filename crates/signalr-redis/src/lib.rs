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
//! used, so that any node of a cluster will do, and nothing is ever stored.
//!
//! Whoever can write to that Redis can speak to every client of the farm, and let them join groups: it needs a password and a
//! network of its own, or TLS (feature `tls`, addresses that begin with `rediss://`).

mod link;

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::{Client, RedisError};
use signalr_server::{Backplane, BackplaneFault, BackplaneLink};

/// A Redis through which servers reach each other's clients.
#[derive(Clone)]
pub struct RedisBackplane {
    client: Client,
    response_timeout: Duration,
    backlog_limit: u32,
}

impl RedisBackplane {
    /// The Redis at an address: `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, or `rediss://…` for TLS, or
    /// `unix:///PATH`. Nothing is connected yet.
    ///
    /// The database makes no difference: channels belong to the whole Redis. Put a prefix in front of them instead.
    ///
    /// # Errors
    /// When the address is none.
    pub fn open(url: &str) -> Result<Self, RedisError> {
        Client::open(url).map(Self::new)
    }

    /// The Redis of a client that was made by other means, such as one with certificates of its own.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self {
            client,
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
    /// server that falls behind loses messages instead of running out of memory. Redis has such a limit of its own
    /// (`client-output-buffer-limit pubsub`). Default: 64 MiB.
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
        let (client, timeout) = (self.client.clone(), self.response_timeout);
        Box::pin(link::connect(client, timeout, self.backlog_limit))
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
}
