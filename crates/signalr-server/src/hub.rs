//! Hubs: what an application serves.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use bytestring::ByteString;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use signalr_proto::server::DisconnectReason;

use crate::call::CallContext;
use crate::error::{BuildError, HubError};
use crate::handler::{CallParts, Handler, MethodResult, StreamResult};
use crate::method::{Bound, NotRun, Shape, method};

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
    methods: Vec<Method<H>>,
    /// Names as they are written most often, and in lower case.
    names: HashMap<Box<str>, usize, BuildHasherDefault<NameHasher>>,
    duplicate: Option<Box<str>>,
    policies: Vec<Policy>,
}

type Bind<H> =
    Box<dyn Fn(Arc<H>, &mut CallParts<'_>, Check<'_>) -> Result<Bound, NotRun> + Send + Sync>;

/// What must hold once the parameters are made, and before the method's function is called.
pub(crate) type Check<'a> = &'a dyn Fn(&mut CallParts<'_>) -> Result<(), NotRun>;

type Policy = Box<dyn Fn(&CallContext) -> bool + Send + Sync>;

struct Method<H> {
    name: ByteString,
    shape: Shape,
    bind: Bind<H>,
    policies: Vec<Policy>,
}

/// The method that was registered last. Further ones can be registered right behind it.
pub struct MethodEntry<'a, H>(&'a mut HubMethods<H>);

impl<H> MethodEntry<'_, H> {
    /// Refuses callers for whom this is false: they are told `Failed to invoke '…' because user is unauthorized`
    /// ([SB-19](signalr_proto::spec::server_behaviour#sb-19)).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use signalr_server::{CallContext, Hub, HubMethods};
    /// # struct Claims { admin: bool }
    /// # struct Chat;
    /// # impl Chat { async fn ban(self: Arc<Self>, _user: String) {} }
    /// fn is_admin(context: &CallContext) -> bool {
    ///     let user = context.user();
    ///     user.is_some_and(|user| user.claims::<Claims>().is_some_and(|claims| claims.admin))
    /// }
    ///
    /// # impl Hub for Chat {
    /// fn methods(methods: &mut HubMethods<Self>) {
    ///     methods.on("Ban", Self::ban).require(is_admin);
    /// }
    /// # }
    /// ```
    pub fn require(self, policy: impl Fn(&CallContext) -> bool + Send + Sync + 'static) -> Self {
        if let Some(method) = self.0.methods.last_mut() {
            method.policies.push(Box::new(policy));
        }
        self
    }
}

impl<H> std::ops::Deref for MethodEntry<'_, H> {
    type Target = HubMethods<H>;

    fn deref(&self) -> &HubMethods<H> {
        self.0
    }
}

impl<H> std::ops::DerefMut for MethodEntry<'_, H> {
    fn deref_mut(&mut self) -> &mut HubMethods<H> {
        self.0
    }
}

impl<H> fmt::Debug for MethodEntry<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MethodEntry").field(&self.0).finish()
    }
}

impl<H: Hub> HubMethods<H> {
    pub(crate) fn of() -> Result<Self, BuildError> {
        let mut methods = Self {
            methods: Vec::new(),
            names: HashMap::default(),
            duplicate: None,
            policies: Vec::new(),
        };
        H::methods(&mut methods);
        match methods.duplicate.take() {
            Some(name) => Err(BuildError::DuplicateMethod { name }),
            None => Ok(methods),
        }
    }

    /// Refuses callers for whom this is false, whichever method they call. See [`MethodEntry::require`].
    pub fn require_for_all(
        &mut self,
        policy: impl Fn(&CallContext) -> bool + Send + Sync + 'static,
    ) -> &mut Self {
        self.policies.push(Box::new(policy));
        self
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
    ///         methods.on("Add", |_hub: Arc<Self>, a: i32, b: i32| a.wrapping_add(b));
    ///     }
    /// }
    /// ```
    ///
    /// One that is not async runs within its connection's task: it must not block, and be short.
    pub fn on<F, M, R: 'static>(&mut self, name: &str, handler: F) -> MethodEntry<'_, H>
    where
        F: Handler<H, M>,
        F::Output: MethodResult<R>,
    {
        let handler = Arc::new(handler);
        let bind = move |hub, parts: &mut CallParts<'_>, check: Check<'_>| {
            let parameters = F::parameters(parts)?;
            check(parts)?;
            let handler = Arc::clone(&handler);
            let run = async move { handler.call(hub, parameters).reply().await };
            Ok(Bound::Method(method(run)))
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
    pub fn stream<F, M, R: 'static>(&mut self, name: &str, handler: F) -> MethodEntry<'_, H>
    where
        F: Handler<H, M>,
        F::Output: StreamResult<R>,
    {
        let handler = Arc::new(handler);
        let bind = move |hub, parts: &mut CallParts<'_>, check: Check<'_>| {
            let parameters = F::parameters(parts)?;
            check(parts)?;
            let handler = Arc::clone(&handler);
            let start = async move { handler.call(hub, parameters).items().await };
            Ok(Bound::Stream(start.boxed()))
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

    fn add(&mut self, name: &str, shape: Shape, bind: Bind<H>) -> MethodEntry<'_, H> {
        let index = self.methods.len();
        let lower = name.to_lowercase();
        if self.names.insert(lower.into(), index).is_some() {
            self.duplicate.get_or_insert_with(|| name.into());
        }
        self.names.insert(name.into(), index);
        self.methods.push(Method {
            name: name.into(),
            shape,
            bind,
            policies: Vec::new(),
        });
        MethodEntry(self)
    }

    fn find(&self, target: &str) -> Option<usize> {
        let exact = self.names.get(target);
        exact
            .or_else(|| self.names.get(target.to_lowercase().as_str()))
            .copied()
    }
}

impl<H> fmt::Debug for HubMethods<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubMethods")
            .field("count", &self.methods.len())
            .finish_non_exhaustive()
    }
}

/// Hashes the names of methods (FNV-1a). Clients look them up but put none in, so it need not resist chosen names.
struct NameHasher(u64);

impl Default for NameHasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// A hub whose type does not matter any more.
pub(crate) trait AnyHub: Send + Sync {
    /// The method of this name.
    fn find(&self, target: &str) -> Option<(usize, Shape)>;
    /// The name under which it was added.
    fn name(&self, method: usize) -> ByteString;
    /// Makes its parameters and calls its function, if `check` has nothing against it.
    fn bind(
        &self,
        method: usize,
        parts: &mut CallParts<'_>,
        check: Check<'_>,
    ) -> Result<Bound, NotRun>;
    /// Whether the caller may call it.
    fn allows(&self, method: usize, parts: &mut CallParts<'_>) -> bool;
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
    fn find(&self, target: &str) -> Option<(usize, Shape)> {
        let index = self.methods.find(target)?;
        let method = self.methods.methods.get(index)?;
        Some((index, method.shape))
    }

    fn name(&self, method: usize) -> ByteString {
        let method = self.methods.methods.get(method);
        method.map(|method| method.name.clone()).unwrap_or_default()
    }

    fn bind(
        &self,
        method: usize,
        parts: &mut CallParts<'_>,
        check: Check<'_>,
    ) -> Result<Bound, NotRun> {
        let method = self.methods.methods.get(method);
        let method = method.ok_or(NotRun::NoSuchMethod)?;
        (method.bind)(Arc::clone(&self.hub), parts, check)
    }

    fn allows(&self, method: usize, parts: &mut CallParts<'_>) -> bool {
        let Some(method) = self.methods.methods.get(method) else {
            return false;
        };
        if self.methods.policies.is_empty() && method.policies.is_empty() {
            return true;
        }
        let context = parts.context();
        let mut policies = self.methods.policies.iter().chain(&method.policies);
        policies.all(|policy| policy(&context))
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
