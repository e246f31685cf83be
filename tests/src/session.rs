//! What scenarios are given.

use core::marker::PhantomData;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::{StreamExt as _, future, pin_mut};
use signalr_client::{
    HubConnection, HubConnectionBuilder, NetOptions, NetTransport, Protocol, TransportKind,
};

use crate::{Failure, Platform};

/// A server, a runtime and an encoding.
pub struct Session<R> {
    url: Arc<str>,
    protocol: Protocol,
    transport: TransportKind,
    runtime: PhantomData<fn() -> R>,
}

impl<R> Clone for Session<R> {
    fn clone(&self) -> Self {
        Self {
            url: Arc::clone(&self.url),
            protocol: self.protocol,
            transport: self.transport,
            runtime: PhantomData,
        }
    }
}

impl<R> core::fmt::Debug for Session<R> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Session")
            .field("url", &self.url)
            .field("protocol", &self.protocol)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl<R: Platform> Session<R> {
    pub(crate) fn new(url: &str, protocol: Protocol, transport: TransportKind) -> Self {
        Self {
            url: url.trim_end_matches('/').into(),
            protocol,
            transport,
            runtime: PhantomData,
        }
    }

    /// The encoding.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether the encoding is JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.protocol == Protocol::Json
    }

    /// The transport.
    #[must_use]
    pub const fn transport(&self) -> TransportKind {
        self.transport
    }

    /// A builder for a hub of the server, over the session's transport alone.
    pub fn builder(&self, hub: &str) -> HubConnectionBuilder {
        self.any_transport(hub).transports([self.transport])
    }

    /// A builder for a hub of the server, over whatever the server likes best.
    pub fn any_transport(&self, hub: &str) -> HubConnectionBuilder {
        HubConnection::builder(format!("{}{hub}", self.url)).protocol(self.protocol)
    }

    /// A started connection to a hub.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn connect(&self, hub: &str) -> Result<HubConnection, Failure> {
        let connection = self.builder(hub).build_on(R::default())?;
        connection.start().await?;
        Ok(connection)
    }

    /// Asks something of the server's administration.
    ///
    /// # Errors
    /// When it does not do it.
    pub async fn admin(&self, path: &str) -> Result<(), Failure> {
        let request = http::Request::post(format!("{}/admin/{path}", self.url))
            .header("content-length", "0")
            .body(Bytes::new())?;
        let response = NetTransport::new(R::default(), NetOptions::default())?
            .request(request)
            .await?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(format!("admin {path}: {}", response.status()).into())
        }
    }

    /// Waits.
    pub async fn sleep(&self, duration: Duration) {
        R::default().sleep(duration).await;
    }

    /// The next thing heard, within eight seconds.
    ///
    /// # Errors
    /// When nothing is heard.
    pub async fn soon<T>(&self, heard: &mut mpsc::UnboundedReceiver<T>) -> Result<T, Failure> {
        self.within(Duration::from_secs(8), heard.next())
            .await?
            .ok_or_else(|| "nobody can be heard any more".into())
    }

    /// What comes of a future, within a time.
    ///
    /// # Errors
    /// When it takes longer.
    pub async fn within<T>(
        &self,
        time: Duration,
        future: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let limit = self.sleep(time);
        pin_mut!(future, limit);
        match future::select(future, limit).await {
            future::Either::Left((value, _)) => Ok(value),
            future::Either::Right(_) => Err(format!("it took longer than {time:?}").into()),
        }
    }

    /// Waits until a counter of the server has reached a value.
    ///
    /// # Errors
    /// When it has not within eight seconds.
    pub async fn counted(
        &self,
        connection: &HubConnection,
        name: &str,
        value: i64,
    ) -> Result<(), Failure> {
        for _ in 0..160 {
            if connection.invoke::<i64>("Counter", (name,)).await? >= value {
                return Ok(());
            }
            self.sleep(Duration::from_millis(50)).await;
        }
        Err(format!("the counter {name} has not reached {value}").into())
    }
}
