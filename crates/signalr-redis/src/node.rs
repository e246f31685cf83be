//! One server of Redis: the ways to it.

use std::future::Future;
use std::io;
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    ProtocolVersion, RedisError, RedisResult,
};
use signalr_server::BackplaneFault;
use tokio::task::JoinHandle;

use crate::fault;
use crate::security::{Security, Socket};
use crate::sieve::{Messages, Sieve};

/// One server of Redis, and how to speak to it.
#[derive(Clone)]
pub(crate) struct Node {
    info: ConnectionInfo,
    security: Security,
}

impl Node {
    /// The server at an address, which does not say whether there is TLS.
    pub(crate) fn open(url: &str, security: Security) -> RedisResult<Self> {
        let info = url.into_connection_info()?;
        // The sieve knows how messages look in the older version of the protocol.
        let settings = info.redis_settings().clone();
        let settings = settings.set_protocol(ProtocolVersion::RESP2);
        Ok(Self {
            info: info.set_redis_settings(settings),
            security,
        })
    }

    /// One that is spoken to in the same way.
    pub(crate) fn elsewhere(&self, host: String, port: u16) -> Self {
        let info = self.info.clone();
        Self {
            info: info.set_addr(ConnectionAddr::Tcp(host, port)),
            security: self.security.clone(),
        }
    }

    #[cfg(test)]
    pub(crate) const fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// A connection for commands.
    pub(crate) async fn commands(&self, timeout: Duration) -> Result<Commands, BackplaneFault> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(timeout));
        let connecting = async {
            let socket = self.socket().await?;
            let settings = self.info.redis_settings();
            MultiplexedConnection::new_with_config(settings, socket, config).await
        };
        let (connection, driver) = self.reached(timeout, connecting).await?;
        let _task = Task(tokio::spawn(driver));
        Ok(Commands { connection, _task })
    }

    /// A connection that subscribes, and what comes on it.
    pub(crate) async fn subscriptions(
        &self,
        timeout: Duration,
        backlog_limit: u32,
    ) -> Result<(PubSub, Messages), BackplaneFault> {
        let connecting = async {
            let (sieve, messages) = Sieve::new(self.socket().await?, backlog_limit);
            let subscriber = PubSub::new(self.info.redis_settings(), sieve).await?;
            Ok((subscriber, messages))
        };
        self.reached(timeout, connecting).await
    }

    /// What comes of connecting in that time.
    async fn reached<T>(
        &self,
        timeout: Duration,
        connecting: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, BackplaneFault> {
        let connected = tokio::time::timeout(timeout, connecting).await;
        let connected = connected.map_err(|_| fault::silent(self.has_tls(), timeout))?;
        connected.map_err(|error| self.unreached(error, timeout))
    }

    /// What an error means of a server that has not answered yet.
    pub(crate) fn unreached(&self, error: RedisError, timeout: Duration) -> BackplaneFault {
        fault::of_connecting(error, self.has_tls(), timeout)
    }

    /// Whether there is TLS, where there might be.
    fn has_tls(&self) -> Option<bool> {
        let network = matches!(self.info.addr(), ConnectionAddr::Tcp(..));
        network.then(|| self.security.is_tls())
    }

    async fn socket(&self) -> io::Result<Socket> {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, port) => self.security.connect(host, *port).await,
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => {
                Ok(Box::new(tokio::net::UnixStream::connect(path).await?))
            }
            _ => Err(io::Error::other("there is no way to such an address")),
        }
    }
}

/// A connection for commands, which ends with this.
pub(crate) struct Commands {
    pub(crate) connection: MultiplexedConnection,
    _task: Task,
}

/// A task that ends with whoever has this.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
