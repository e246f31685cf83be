//! Filters: code of the application around calls, arrivals and departures ([SB-52](signalr_proto::spec::server_behaviour#sb-52)).

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use bytestring::ByteString;
use futures_core::future::BoxFuture;
use signalr_proto::codec::Returned;
use signalr_proto::server::DisconnectReason;
use signalr_proto::{Encode, EncodeError, Instant, Payload, Protocol};

use crate::call::CallContext;
use crate::error::HubError;
use crate::handler::{CallParts, Items};
use crate::hub::AnyHub;
use crate::method::{Bound, Method, Tell};
use crate::upload::UploadSender;

/// Something around the calls of clients, and around their arrival and departure.
///
/// The filter that was added first is the outermost. A filter may look at and change arguments and results, fail instead of
/// going on, or not go on at all. Authorization and the checks of a call's form come before all filters; arguments are
/// decoded behind them.
///
/// ```
/// use futures_util::future::BoxFuture;
/// use signalr_server::{HubCall, HubError, HubFilter, HubReply, Next};
///
/// struct NoShouting;
///
/// impl HubFilter for NoShouting {
///     fn call<'a>(&'a self, mut call: HubCall, next: Next<'a>) -> BoxFuture<'a, Result<HubReply, HubError>> {
///         Box::pin(async move {
///             if call.target() == "Say" {
///                 let text: String = call.argument(0)?;
///                 call.set_argument(0, &text.to_lowercase())?;
///             }
///             next.run(call).await
///         })
///     }
/// }
/// ```
pub trait HubFilter: Send + Sync + 'static {
    /// Around a call.
    fn call<'a>(
        &'a self,
        call: HubCall,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<HubReply, HubError>> {
        Box::pin(next.run(call))
    }

    /// Around the welcome of a client. An error turns it away.
    fn connected<'a>(
        &'a self,
        context: CallContext,
        next: NextConnected<'a>,
    ) -> BoxFuture<'a, Result<(), HubError>> {
        Box::pin(next.run(context))
    }

    /// Around the farewell.
    fn disconnected<'a>(
        &'a self,
        context: CallContext,
        reason: DisconnectReason,
        next: NextDisconnected<'a>,
    ) -> BoxFuture<'a, ()> {
        Box::pin(next.run(context, reason))
    }
}

pub(crate) type Filters = Vec<Box<dyn HubFilter>>;

/// A call on its way to its method.
pub struct HubCall {
    context: CallContext,
    target: ByteString,
    method: usize,
    arguments: Vec<Payload>,
    uploads: Arc<[UploadSender]>,
}

impl HubCall {
    pub(crate) const fn new(
        context: CallContext,
        target: ByteString,
        method: usize,
        arguments: Vec<Payload>,
        uploads: Arc<[UploadSender]>,
    ) -> Self {
        Self {
            context,
            target,
            method,
            arguments,
            uploads,
        }
    }

    /// The caller and its surroundings.
    #[must_use]
    pub const fn context(&self) -> &CallContext {
        &self.context
    }

    /// The method's name, as it was given to [`HubMethods::on`](crate::HubMethods::on): clients may write it with other capitals.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The arguments, as the client sent them.
    #[must_use]
    pub fn arguments(&self) -> &[Payload] {
        &self.arguments
    }

    /// One of the arguments.
    ///
    /// # Errors
    /// When there is none at that place, or it is of another type; returned from a filter, it tells the client that its
    /// arguments do not fit.
    pub fn argument<T: serde::de::DeserializeOwned>(&self, index: usize) -> Result<T, HubError> {
        let argument = self.arguments.get(index).ok_or_else(HubError::binding)?;
        argument.decode().map_err(|_| HubError::binding())
    }

    /// Puts another value in an argument's place.
    ///
    /// # Errors
    /// When there is none at that place, or the value cannot be encoded.
    pub fn set_argument<T: serde::Serialize + ?Sized>(
        &mut self,
        index: usize,
        value: &T,
    ) -> Result<(), HubError> {
        let protocol = self.protocol();
        let argument = self
            .arguments
            .get_mut(index)
            .ok_or_else(HubError::binding)?;
        *argument = Payload::from_value(protocol, value)?;
        Ok(())
    }

    fn protocol(&self) -> Protocol {
        let protocol = self.context.connection.protocol.get();
        protocol.copied().unwrap_or(Protocol::Json)
    }
}

impl fmt::Debug for HubCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubCall")
            .field("context", &self.context)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// What a call came to.
pub struct HubReply(ReplyKind);

enum ReplyKind {
    /// The method's own result, which stays in it.
    Method(Pin<Box<dyn Method>>),
    Value(Box<dyn Encode + Send>),
    Stream(Items),
}

impl HubReply {
    /// Another result than the method's.
    ///
    /// # Errors
    /// When the value is a `Result` that is `Err`: as from a method, it is the failure that it says it is, and clients are not told
    /// its words.
    pub fn value<T: Encode + Send + 'static>(value: T) -> Result<Self, HubError> {
        let value = Returned::new(value).map_err(|error| HubError::returned(&error))?;
        Ok(Self(ReplyKind::Value(Box::new(value))))
    }

    /// Whether it is a stream.
    #[must_use]
    pub const fn is_stream(&self) -> bool {
        matches!(self.0, ReplyKind::Stream(_))
    }

    /// The result as the client will see it. `None` for a stream.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn payload(&mut self, protocol: Protocol) -> Result<Option<Payload>, EncodeError> {
        let mut out = BytesMut::new();
        let mut encoded = Ok(());
        match &mut self.0 {
            ReplyKind::Method(method) => method.as_mut().tell(&mut |outcome| {
                if let Ok(value) = outcome {
                    encoded = value.encode(protocol, &mut out);
                }
            }),
            ReplyKind::Value(value) => encoded = value.encode(protocol, &mut out),
            ReplyKind::Stream(_) => return Ok(None),
        }
        encoded.map(|()| Some(Payload::new(protocol, out.freeze())))
    }

    fn tell(&mut self, tell: Tell<'_>) {
        match &mut self.0 {
            ReplyKind::Method(method) => method.as_mut().tell(tell),
            ReplyKind::Value(value) => tell(Ok(&**value)),
            ReplyKind::Stream(_) => tell(Err(&HubError::new("The method gave a stream."))),
        }
    }

    pub(crate) fn into_items(self) -> Result<Items, HubError> {
        match self.0 {
            ReplyKind::Stream(items) => Ok(items),
            ReplyKind::Method(_) | ReplyKind::Value(_) => {
                Err(HubError::new("A filter gave a value in place of a stream."))
            }
        }
    }
}

impl fmt::Debug for HubReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubReply")
            .field("is_stream", &self.is_stream())
            .finish_non_exhaustive()
    }
}

/// A method behind filters, as one that runs.
pub(crate) struct Filtered {
    future: BoxFuture<'static, Result<HubReply, HubError>>,
    outcome: Option<Result<HubReply, HubError>>,
}

impl Filtered {
    pub(crate) fn method(
        future: BoxFuture<'static, Result<HubReply, HubError>>,
    ) -> Pin<Box<dyn Method>> {
        Box::pin(Self {
            future,
            outcome: None,
        })
    }
}

impl Method for Filtered {
    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        self.future
            .as_mut()
            .poll(cx)
            .map(|outcome| self.outcome = Some(outcome))
    }

    fn tell(mut self: Pin<&mut Self>, tell: Tell<'_>) {
        match &mut self.outcome {
            Some(Ok(reply)) => reply.tell(tell),
            Some(Err(error)) => tell(Err(error)),
            None => {}
        }
    }
}

/// The filters further in, and the method behind them.
pub struct Next<'a> {
    hub: &'a dyn AnyHub,
    filters: &'a [Box<dyn HubFilter>],
}

impl<'a> Next<'a> {
    pub(crate) const fn new(hub: &'a dyn AnyHub, filters: &'a [Box<dyn HubFilter>]) -> Self {
        Self { hub, filters }
    }

    /// Goes on with the call.
    ///
    /// # Errors
    /// The failure of the method or of a filter.
    pub async fn run(self, call: HubCall) -> Result<HubReply, HubError> {
        let Self { hub, filters } = self;
        if let Some((filter, filters)) = filters.split_first() {
            return filter.call(call, Next { hub, filters }).await;
        }
        let HubCall {
            context,
            method,
            mut arguments,
            uploads,
            ..
        } = call;
        let bound = {
            let mut parts = CallParts {
                shared: &context.shared,
                connection: &context.connection,
                id: context.call.id(),
                call: Some(Arc::clone(&context.call)),
                arguments: arguments.drain(..),
                uploads: &uploads,
                uploads_taken: 0,
            };
            // Everything was checked before the first filter.
            let bound = hub.bind(method, &mut parts, &|_| Ok(()));
            bound.map_err(|_| HubError::binding())?
        };
        match bound {
            Bound::Stream(start) => Ok(HubReply(ReplyKind::Stream(start.await?))),
            Bound::Method(mut method) => {
                poll_fn(|cx| method.as_mut().poll(cx)).await;
                let mut failure = None;
                method
                    .as_mut()
                    .tell(&mut |outcome| failure = outcome.err().map(HubError::copy));
                match failure {
                    Some(error) => Err(error),
                    None => Ok(HubReply(ReplyKind::Method(method))),
                }
            }
        }
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next")
            .field("filters", &self.filters.len())
            .finish_non_exhaustive()
    }
}

/// The filters further in, and the hub's own welcome.
pub struct NextConnected<'a> {
    hub: &'a dyn AnyHub,
    filters: &'a [Box<dyn HubFilter>],
}

impl<'a> NextConnected<'a> {
    pub(crate) const fn new(hub: &'a dyn AnyHub, filters: &'a [Box<dyn HubFilter>]) -> Self {
        Self { hub, filters }
    }

    /// Goes on with the welcome.
    ///
    /// # Errors
    /// Why the client is turned away.
    pub async fn run(self, context: CallContext) -> Result<(), HubError> {
        let Self { hub, filters } = self;
        match filters.split_first() {
            Some((filter, filters)) => {
                let next = NextConnected { hub, filters };
                filter.connected(context, next).await
            }
            None => hub.on_connected(context).await,
        }
    }
}

impl fmt::Debug for NextConnected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextConnected").finish_non_exhaustive()
    }
}

/// The filters further in, and the hub's own farewell.
pub struct NextDisconnected<'a> {
    hub: &'a dyn AnyHub,
    filters: &'a [Box<dyn HubFilter>],
}

impl<'a> NextDisconnected<'a> {
    pub(crate) const fn new(hub: &'a dyn AnyHub, filters: &'a [Box<dyn HubFilter>]) -> Self {
        Self { hub, filters }
    }

    /// Goes on with the farewell.
    pub async fn run(self, context: CallContext, reason: DisconnectReason) {
        let Self { hub, filters } = self;
        match filters.split_first() {
            Some((filter, filters)) => {
                let next = NextDisconnected { hub, filters };
                filter.disconnected(context, reason, next).await;
            }
            None => hub.on_disconnected(context, reason).await,
        }
    }
}

impl fmt::Debug for NextDisconnected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextDisconnected").finish_non_exhaustive()
    }
}

/// A filter that tells the log of each call that runs: its name, its connection, how long it took and how it ended.
///
/// Calls are told at debug and failures at info, under the target `signalr_server::calls`. Arguments and results are not told.
/// Calls that are refused before, such as those of unknown methods or against a policy, reach no filter.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LogCalls;

impl LogCalls {
    /// The filter.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl HubFilter for LogCalls {
    fn call<'a>(
        &'a self,
        call: HubCall,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<HubReply, HubError>> {
        Box::pin(async move {
            let context = call.context().clone();
            let target = call.target.clone();
            let begun = context.shared.clock.now();
            let outcome = next.run(call).await;
            let took = context.shared.clock.now().since(begun);
            let (connection, target) = (context.connection_id(), &*target);
            match &outcome {
                Ok(_) => {
                    tracing::debug!(target: "signalr_server::calls", connection, method = target, ?took, "a call was answered");
                }
                Err(error) => {
                    tracing::info!(target: "signalr_server::calls", connection, method = target, ?took, ?error, "a call failed");
                }
            }
            outcome
        })
    }
}

/// A filter that bounds how often one connection may call: calls above it fail with the words `Too many calls.` Calls that are
/// refused before reach no filter and do not count, and a client that connects anew begins anew.
///
/// ```
/// use std::time::Duration;
/// use signalr_server::RateLimit;
///
/// // Ten at once, and one more every 100 ms.
/// let limit = RateLimit::new(10, Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    calls: u32,
    per: Duration,
}

impl RateLimit {
    /// So many calls in that time, for each connection. What was not used within it is not saved up.
    #[must_use]
    pub const fn new(calls: u32, per: Duration) -> Self {
        Self { calls, per }
    }

    fn admits(&self, bucket: &mut Bucket, now: Instant) -> bool {
        // The time at which the bucket would be empty: "generic cell rate algorithm".
        let each = self.per / self.calls.max(1);
        let full = bucket.drained.max(now);
        if full.since(now) + each > self.per {
            return false;
        }
        bucket.drained = full.after(each);
        true
    }
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    drained: Instant,
}

/// The buckets of one connection: one for each rate limit, by the place in memory that this has for as long as its hub.
#[derive(Clone, Default)]
struct Buckets(HashMap<usize, Bucket>);

impl Buckets {
    fn of(&mut self, limit: &RateLimit) -> &mut Bucket {
        let place = std::ptr::from_ref(limit).addr();
        self.0.entry(place).or_default()
    }
}

impl HubFilter for RateLimit {
    fn call<'a>(
        &'a self,
        call: HubCall,
        next: Next<'a>,
    ) -> BoxFuture<'a, Result<HubReply, HubError>> {
        Box::pin(async move {
            let context = call.context();
            let now = context.shared.clock.now();
            let admitted = context
                .extensions()
                .update(|buckets: &mut Buckets| self.admits(buckets.of(self), now));
            if !admitted {
                return Err(HubError::new("Too many calls."));
            }
            next.run(call).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limit_admits_a_burst_and_then_one_at_a_time() {
        let limit = RateLimit::new(10, Duration::from_secs(1));
        let mut bucket = Bucket::default();
        let at = |milliseconds| Instant(Duration::from_millis(milliseconds));
        let burst = (0..20)
            .filter(|_| limit.admits(&mut bucket, at(5_000)))
            .count();
        assert_eq!(burst, 10);
        assert!(!limit.admits(&mut bucket, at(5_099)));
        assert!(limit.admits(&mut bucket, at(5_100)));
        assert!(!limit.admits(&mut bucket, at(5_100)));
        let later = (0..20)
            .filter(|_| limit.admits(&mut bucket, at(60_000)))
            .count();
        assert_eq!(later, 10);
    }
}
