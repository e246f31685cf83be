//! What a client connects with.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::client::TestClient;
use super::error::TestError;
use super::line::{End, Line};
use crate::server::HubServer;

/// How long anything may take, unless the test says otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a client connects with: made by [`TestClient::builder`].
///
/// ```
/// # use std::time::Duration;
/// # use signalr_server::{Hub, HubMethods, HubServer, User};
/// # use signalr_server::testing::{TestClient, TestError};
/// # async fn example(hub: HubServer) -> Result<(), TestError> {
/// let ann = TestClient::builder(&hub)
///     .query("user", "ann")
///     .header("accept-language", "sv")
///     .patience(Duration::from_secs(60))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens before `connect`"]
pub struct TestClientBuilder {
    hub: HubServer,
    headers: HeaderMap,
    query: String,
    extensions: Extensions,
    patience: Duration,
    invalid: Option<TestError>,
}

/// How clients come to be.
impl TestClient {
    /// Says more about how to connect: query, headers, patience.
    pub fn builder(hub: &HubServer) -> TestClientBuilder {
        TestClientBuilder::new(hub)
    }

    /// Connects.
    ///
    /// # Errors
    /// When the hub does not let the client in.
    pub async fn connect(hub: &HubServer) -> Result<Self, TestError> {
        Self::builder(hub).connect().await
    }

    /// Connects with this bearer token.
    ///
    /// # Errors
    /// When the hub does not let the client in.
    pub async fn connect_as(hub: &HubServer, token: &str) -> Result<Self, TestError> {
        Self::builder(hub).bearer_token(token).connect().await
    }

    /// Connects with these headers in each request.
    ///
    /// # Errors
    /// When the hub does not let the client in.
    pub async fn connect_with(hub: &HubServer, headers: HeaderMap) -> Result<Self, TestError> {
        let mut builder = Self::builder(hub);
        builder.headers = headers;
        builder.connect().await
    }
}

impl TestClientBuilder {
    fn new(hub: &HubServer) -> Self {
        Self {
            hub: hub.clone(),
            headers: HeaderMap::new(),
            query: String::new(),
            extensions: Extensions::new(),
            patience: PATIENCE,
            invalid: None,
        }
    }

    /// Adds a query parameter to each request, as `?name=value` behind the hub's address does.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push('&');
        encode(&mut self.query, name);
        self.query.push('=');
        encode(&mut self.query, value);
        self
    }

    /// Adds a header to each request.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            _ => self.invalid = Some(TestError::Header(name.into())),
        }
        self
    }

    /// Presents this bearer token with each request.
    pub fn bearer_token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Puts a value into the extensions of each request, as middleware in front of the hub does; a
    /// [`PeerAddress`](crate::PeerAddress), for example.
    pub fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.extensions.insert(value);
        self
    }

    /// How long connecting, a call, an item or whatever else is waited for may take. Default: 5 seconds.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Connects.
    ///
    /// A hub's `on_connected` runs afterwards, as with real clients: a client that it turns away was connected for a moment, and
    /// learns the words from whatever it does next, as [`TestError::Closed`].
    ///
    /// # Errors
    /// When the hub does not let the client in.
    pub async fn connect(self) -> Result<TestClient, TestError> {
        if let Some(invalid) = self.invalid {
            return Err(invalid);
        }
        let mut line = Line {
            hub: self.hub,
            headers: self.headers,
            extensions: self.extensions,
            query: self.query,
            patience: self.patience,
            state: Mutex::default(),
            answers: Mutex::default(),
            changed: Notify::new(),
            over: CancellationToken::new(),
            outbox: mpsc::unbounded_channel().0,
        };
        let (clock, patience) = (line.hub.shared.clock.clone(), line.patience);
        let opened = clock.timeout(patience, line.open()).await;
        let (connection_id, incoming) = opened.unwrap_or_else(|| Err(line.nothing()))?;
        let orders;
        (line.outbox, orders) = mpsc::unbounded_channel();
        let line = Arc::new(line);
        clock.spawn(End(Arc::clone(&line)).run(incoming, orders));
        Ok(TestClient {
            line,
            connection_id,
            next_id: 0,
            uploads: Vec::new(),
        })
    }
}

/// Percent-encodes what has a meaning of its own in queries.
fn encode(query: &mut String, text: &str) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            query.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(query, "%{byte:02X}");
        }
    }
}

/// Shows neither query nor headers: they may hold tokens.
impl fmt::Debug for TestClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClientBuilder")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
