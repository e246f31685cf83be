//! A hub that is served.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{Sink, Stream};
use http::{Method, Response, StatusCode, header};
use signalr_proto::WsMessage;
use signalr_proto::server::{ConnectRequest, Endpoint, FreshIds, Route, ServerConfig};

use crate::clients::Clients;
use crate::connection::{Connection, lock};
use crate::error::BuildError;
use crate::hub::{AnyHub, Hub, HubMethods, Served};
use crate::options::HubOptions;
use crate::registry::Registry;
use crate::request::{HubRequest, User};
use crate::serving;
use crate::slots::{Slots, fresh_ids};

/// How long [`HubServer::shutdown`] waits for clients to take their Close message.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

type Authorize =
    Box<dyn Fn(HubRequest) -> BoxFuture<'static, Result<Option<User>, StatusCode>> + Send + Sync>;

/// What all parts of a served hub share.
pub(crate) struct Shared {
    pub(crate) hub: Box<dyn AnyHub>,
    pub(crate) options: HubOptions,
    pub(crate) config: ServerConfig,
    pub(crate) registry: Registry,
    endpoint: Endpoint,
    authorize: Option<Authorize>,
    slots: Mutex<Slots>,
    pub(crate) shutting_down: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Puts a [`HubServer`] together.
pub struct HubServerBuilder<H> {
    hub: H,
    options: HubOptions,
    authorize: Option<Authorize>,
}

impl<H: Hub> HubServerBuilder<H> {
    /// Sets the options.
    #[must_use]
    pub fn options(self, options: HubOptions) -> Self {
        Self { options, ..self }
    }

    /// Changes the options.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(&mut HubOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// Decides who may connect, and who they are. Asked for every negotiation and every WebSocket; an error is the HTTP status
    /// of the refusal.
    ///
    /// ```
    /// use http::StatusCode;
    /// use signalr_server::{Hub, HubMethods, HubRequest, HubServer, User};
    ///
    /// # struct Chat;
    /// # impl Hub for Chat { fn methods(_: &mut HubMethods<Self>) {} }
    /// let server = HubServer::builder(Chat).authorize(|request: HubRequest| async move {
    ///     match request.bearer_token().as_deref() {
    ///         Some("correct horse") => Ok(Some(User::new("alice"))),
    ///         _ => Err(StatusCode::UNAUTHORIZED),
    ///     }
    /// });
    /// # server.build().unwrap();
    /// ```
    #[must_use]
    pub fn authorize<F, Fut>(mut self, authorize: F) -> Self
    where
        F: Fn(HubRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<User>, StatusCode>> + Send + 'static,
    {
        self.authorize = Some(Box::new(move |request| Box::pin(authorize(request))));
        self
    }

    /// The server.
    ///
    /// # Errors
    /// When a method is registered twice, or an option would let nothing happen.
    pub fn build(self) -> Result<HubServer, BuildError> {
        self.options.validate()?;
        let hub = Box::new(Served {
            hub: Arc::new(self.hub),
            methods: HubMethods::of()?,
        });
        let shared = Shared {
            hub,
            config: self.options.server_config(),
            endpoint: self.options.endpoint(),
            slots: Mutex::new(Slots::new(self.options.disconnect_timeout)),
            options: self.options,
            registry: Registry::default(),
            authorize: self.authorize,
            shutting_down: AtomicBool::new(false),
        };
        Ok(HubServer {
            shared: Arc::new(shared),
        })
    }
}

impl<H> fmt::Debug for HubServerBuilder<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubServerBuilder")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A hub and its clients. Cheap to clone, and usable from anywhere in the application.
#[derive(Clone, Debug)]
pub struct HubServer {
    pub(crate) shared: Arc<Shared>,
}

impl HubServer {
    /// Serves a hub with the default options.
    ///
    /// # Errors
    /// When a method is registered twice.
    pub fn new<H: Hub>(hub: H) -> Result<Self, BuildError> {
        Self::builder(hub).build()
    }

    /// Serves a hub with other options.
    #[must_use]
    pub fn builder<H: Hub>(hub: H) -> HubServerBuilder<H> {
        HubServerBuilder {
            hub,
            options: HubOptions::default(),
            authorize: None,
        }
    }

    /// The clients, to send to.
    #[must_use]
    pub fn clients(&self) -> Clients {
        Clients {
            shared: Arc::clone(&self.shared),
            call: None,
        }
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.shared.registry.all().len()
    }

    /// Adds a connection to a group. One that is not there is passed over.
    pub fn join_group(&self, connection_id: &str, group: &str) {
        self.shared.registry.join(connection_id, group);
    }

    /// Removes a connection from a group.
    pub fn leave_group(&self, connection_id: &str, group: &str) {
        self.shared.registry.leave(connection_id, group);
    }

    /// Ends a connection with a Close message. `allow_reconnect` invites the client to come back. `false` when there is no
    /// such connection.
    pub fn close(&self, connection_id: &str, allow_reconnect: bool) -> bool {
        self.with(connection_id, |connection| {
            connection.close(None, allow_reconnect)
        })
    }

    /// Drops a connection's WebSocket without a word, as a broken network would. With stateful reconnect the client may come
    /// back. `false` when there is no such connection.
    pub fn cut(&self, connection_id: &str) -> bool {
        self.with(connection_id, |connection| connection.cut.notify_one())
    }

    fn with(&self, connection_id: &str, act: impl FnOnce(&Connection)) -> bool {
        self.shared
            .registry
            .get(connection_id)
            .map(|connection| act(&connection))
            .is_some()
    }

    /// Takes no more clients, sends Close to those that are there, inviting them to reconnect, and waits until they are gone;
    /// who is still there after 5 seconds is cut.
    pub async fn shutdown(&self) {
        self.shared.shutting_down.store(true, Ordering::Relaxed);
        for connection in self.shared.registry.all() {
            connection.close(None, true);
        }
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, self.all_gone())
            .await
            .is_err()
        {
            self.shared
                .registry
                .all()
                .iter()
                .for_each(|connection| connection.abort());
        }
    }

    async fn all_gone(&self) {
        loop {
            let removed = self.shared.registry.removed.notified();
            tokio::pin!(removed);
            removed.as_mut().enable();
            if self.connection_count() == 0 {
                return;
            }
            removed.await;
        }
    }
}

/// The HTTP side, for integrations with web servers.
impl HubServer {
    /// Answers a request for `<path>/negotiate`.
    pub async fn negotiate(&self, method: &Method, request: HubRequest) -> Response<Bytes> {
        if let Err(response) = self.admit(&request).await {
            return response;
        }
        let negotiated = self
            .shared
            .endpoint
            .negotiate(method, request.query(), fresh_ids());
        match negotiated.connection {
            Some(ids)
                if !lock(&self.shared.slots).wait_for(&ids, negotiated.stateful_reconnect) =>
            {
                status(StatusCode::SERVICE_UNAVAILABLE)
            }
            _ => negotiated.response,
        }
    }

    /// Decides about a request for `<path>` itself. `upgrade` tells whether it asks for a WebSocket.
    ///
    /// # Errors
    /// The response that refuses it.
    pub async fn connect(
        &self,
        method: &Method,
        upgrade: bool,
        request: HubRequest,
    ) -> Result<Accepted, Response<Bytes>> {
        let user = self.admit(&request).await?;
        if upgrade
            && !self
                .shared
                .options
                .allows_origin(request.header(header::ORIGIN.as_str()))
        {
            return Err(status(StatusCode::FORBIDDEN));
        }
        let id = ConnectRequest::id(request.query());
        let accept = request.header(header::ACCEPT.as_str());
        let mut slots = lock(&self.shared.slots);
        let slot = slots.state(id.as_deref());
        let route = self.shared.endpoint.route(&ConnectRequest {
            method,
            upgrade,
            accept,
            slot,
        });
        let connection = slots.connection(id.as_deref());
        let waiting = match route {
            Route::Respond(response) => return Err(response),
            Route::Resume => return resume(connection, user.as_ref()).map_err(status),
            Route::Attach => slots.attach(id.as_deref()),
            Route::Open => Some((same_ids(), false)),
        };
        drop(slots);
        let (ids, stateful_reconnect) = waiting.ok_or_else(|| status(StatusCode::NOT_FOUND))?;
        let ticket = Ticket {
            shared: Arc::clone(&self.shared),
            token: ids.connection_token.clone(),
        };
        Ok(Accepted {
            seat: Seat::New(Box::new(Newcomer {
                shared: Arc::clone(&self.shared),
                ids,
                stateful_reconnect,
                user,
                request,
                ticket,
            })),
        })
    }

    async fn admit(&self, request: &HubRequest) -> Result<Option<User>, Response<Bytes>> {
        if self.shared.shutting_down.load(Ordering::Relaxed) {
            return Err(status(StatusCode::SERVICE_UNAVAILABLE));
        }
        match &self.shared.authorize {
            None => Ok(None),
            Some(authorize) => authorize(request.clone()).await.map_err(status),
        }
    }

    /// The largest WebSocket message that has to be assembled for this hub.
    #[must_use]
    pub fn max_web_socket_message(&self) -> Option<usize> {
        self.shared
            .options
            .max_web_socket_message()
            .map(std::num::NonZeroUsize::get)
    }
}

/// Without negotiation the id is the token too.
fn same_ids() -> FreshIds {
    let ids = fresh_ids();
    FreshIds {
        connection_token: ids.connection_id.clone(),
        connection_id: ids.connection_id,
    }
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

/// Another WebSocket for a connection that goes on: of the same user only.
fn resume(
    connection: Option<Arc<Connection>>,
    user: Option<&User>,
) -> Result<Accepted, StatusCode> {
    let connection = connection.ok_or(StatusCode::NOT_FOUND)?;
    if connection.user_id() != user.map(User::id) {
        return Err(StatusCode::FORBIDDEN);
    }
    Ok(Accepted {
        seat: Seat::Taken(connection),
    })
}

/// A connection that may open its WebSocket now. Dropping it without doing so gives a new connection up.
#[must_use = "serve the WebSocket"]
pub struct Accepted {
    pub(crate) seat: Seat,
}

/// Whose WebSocket it is.
pub(crate) enum Seat {
    New(Box<Newcomer>),
    /// Of a connection that has, or had, another one.
    Taken(Arc<Connection>),
}

/// A connection that begins.
pub(crate) struct Newcomer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) ids: FreshIds,
    pub(crate) stateful_reconnect: bool,
    pub(crate) user: Option<User>,
    pub(crate) request: HubRequest,
    pub(crate) ticket: Ticket,
}

/// A connection's place among the tokens, until it is dropped.
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    token: Box<str>,
}

impl Ticket {
    /// The connection can be found by its token from now on.
    pub(crate) fn name(&self, connection: &Arc<Connection>) {
        lock(&self.shared.slots).name(&self.token, connection);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.shared.slots).remove(&self.token);
    }
}

impl Accepted {
    /// The public id of the connection.
    #[must_use]
    pub fn connection_id(&self) -> &str {
        match &self.seat {
            Seat::New(newcomer) => &newcomer.ids.connection_id,
            Seat::Taken(connection) => &connection.id,
        }
    }

    /// Serves the WebSocket until it ends, or another one goes on with its connection. `outgoing` is closed by the message
    /// [`WsMessage::Close`].
    pub async fn serve<I, O, E>(self, incoming: I, outgoing: O)
    where
        I: Stream<Item = Result<WsMessage, E>> + Send + Unpin,
        O: Sink<WsMessage, Error = E> + Send + Unpin,
        E: fmt::Display + Send,
    {
        serving::serve(self, incoming, outgoing).await;
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("connection_id", &self.connection_id())
            .finish_non_exhaustive()
    }
}
