//! Hubs: what an application serves.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use signalr_proto::PayloadError;
use signalr_proto::server::DisconnectReason;

use crate::call::CallContext;
use crate::error::{BuildError, HubError};
use crate::handler::{CallParts, Handler, IntoItems, IntoReply, Items, Reply};

/// A set of methods that clients can call, and what to do when they come and go.
///
/// One value serves all clients. What belongs to one client can be kept under its
/// [`connection_id`](CallContext::connection_id).
pub trait Hub: Sized + Send + Sync + 'static {
    /// Names the methods.
    fn methods(methods: &mut HubMethods<Self>);

    /// A client has connected. Its calls wait until this is done; an error turns it away.
    fn on_connected(
        &self,
        context: &CallContext,
    ) -> impl Future<Output = Result<(), HubError>> + Send {
        let _ = context;
        async { Ok(()) }
    }

    /// A client that had been welcomed is gone.
    fn on_disconnected(
        &self,
        context: &CallContext,
        reason: &DisconnectReason,
    ) -> impl Future<Output = ()> + Send {
        let _ = (context, reason);
        async {}
    }
}

/// The methods of a hub, by name. Names ignore the case of letters.
pub struct HubMethods<H> {
    methods: HashMap<String, Method<H>>,
    duplicate: Option<Box<str>>,
}

type Bind<H> = Box<dyn Fn(Arc<H>, &mut CallParts) -> Result<Bound, PayloadError> + Send + Sync>;

struct Method<H> {
    shape: Shape,
    bind: Bind<H>,
}

/// What must be known about a method before it can be called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) streaming: bool,
    pub(crate) arguments: usize,
    pub(crate) streams: usize,
}

/// A call with its parameters in place, ready to run.
pub(crate) enum Bound {
    Call(BoxFuture<'static, Result<Reply, HubError>>),
    Stream(BoxFuture<'static, Result<Items, HubError>>),
}

impl<H: Hub> HubMethods<H> {
    pub(crate) fn of() -> Result<Self, BuildError> {
        let mut methods = Self {
            methods: HashMap::new(),
            duplicate: None,
        };
        H::methods(&mut methods);
        match methods.duplicate.take() {
            Some(name) => Err(BuildError::DuplicateMethod { name }),
            None => Ok(methods),
        }
    }

    /// Adds a method with one result.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use signalr_server::{Hub, HubError, HubMethods};
    ///
    /// struct Calculator;
    ///
    /// impl Calculator {
    ///     async fn divide(self: Arc<Self>, a: i32, b: i32) -> Result<i32, HubError> {
    ///         a.checked_div(b).ok_or_else(|| HubError::new("no result"))
    ///     }
    /// }
    ///
    /// impl Hub for Calculator {
    ///     fn methods(methods: &mut HubMethods<Self>) {
    ///         methods.on("Divide", Self::divide);
    ///         methods.on("Add", async |_hub: Arc<Self>, a: i32, b: i32| a.wrapping_add(b));
    ///     }
    /// }
    /// ```
    pub fn on<F, M, R: 'static>(&mut self, name: &str, handler: F) -> &mut Self
    where
        F: Handler<H, M>,
        F::Output: IntoReply<R> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let bind = move |hub, parts: &mut CallParts| {
            let future = handler.bind(hub, parts)?;
            Ok(Bound::Call(future.map(IntoReply::into_reply).boxed()))
        };
        self.add(
            name,
            Shape {
                streaming: false,
                arguments: F::ARGUMENTS,
                streams: F::STREAMS,
            },
            Box::new(bind),
        )
    }

    /// Adds a method whose result is a stream, or a `Result` with a stream. A client that cancels drops the stream.
    pub fn stream<F, M, R: 'static>(&mut self, name: &str, handler: F) -> &mut Self
    where
        F: Handler<H, M>,
        F::Output: IntoItems<R> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let bind = move |hub, parts: &mut CallParts| {
            let future = handler.bind(hub, parts)?;
            Ok(Bound::Stream(future.map(IntoItems::into_items).boxed()))
        };
        self.add(
            name,
            Shape {
                streaming: true,
                arguments: F::ARGUMENTS,
                streams: F::STREAMS,
            },
            Box::new(bind),
        )
    }

    fn add(&mut self, name: &str, shape: Shape, bind: Bind<H>) -> &mut Self {
        if self
            .methods
            .insert(key(name), Method { shape, bind })
            .is_some()
        {
            self.duplicate.get_or_insert_with(|| name.into());
        }
        self
    }
}

impl<H> fmt::Debug for HubMethods<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubMethods")
            .field("count", &self.methods.len())
            .finish_non_exhaustive()
    }
}

fn key(name: &str) -> String {
    name.to_lowercase()
}

/// A hub whose type does not matter any more.
pub(crate) trait AnyHub: Send + Sync {
    fn shape(&self, target: &str) -> Option<Shape>;
    fn bind(&self, target: &str, parts: &mut CallParts) -> Result<Option<Bound>, PayloadError>;
    fn on_connected(&self, context: CallContext) -> BoxFuture<'static, Result<(), HubError>>;
    fn on_disconnected(
        &self,
        context: CallContext,
        reason: DisconnectReason,
    ) -> BoxFuture<'static, ()>;
}

pub(crate) struct Served<H> {
    pub(crate) hub: Arc<H>,
    pub(crate) methods: HubMethods<H>,
}

impl<H: Hub> AnyHub for Served<H> {
    fn shape(&self, target: &str) -> Option<Shape> {
        self.methods
            .methods
            .get(&key(target))
            .map(|method| method.shape)
    }

    fn bind(&self, target: &str, parts: &mut CallParts) -> Result<Option<Bound>, PayloadError> {
        let Some(method) = self.methods.methods.get(&key(target)) else {
            return Ok(None);
        };
        (method.bind)(Arc::clone(&self.hub), parts).map(Some)
    }

    fn on_connected(&self, context: CallContext) -> BoxFuture<'static, Result<(), HubError>> {
        let hub = Arc::clone(&self.hub);
        Box::pin(async move { hub.on_connected(&context).await })
    }

    fn on_disconnected(
        &self,
        context: CallContext,
        reason: DisconnectReason,
    ) -> BoxFuture<'static, ()> {
        let hub = Arc::clone(&self.hub);
        Box::pin(async move { hub.on_disconnected(&context, &reason).await })
    }
}
