//! Filters: code of the application around calls, arrivals and departures ([SB-52](signalr_proto::spec::server_behaviour#sb-52)).

mod call;
mod log_calls;
mod rate_limit;

pub(crate) use call::Filtered;
pub use call::{HubCall, HubReply};
pub use log_calls::LogCalls;
pub use rate_limit::RateLimit;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use signalr_proto::server::DisconnectReason;

use crate::call::CallContext;
use crate::error::HubError;
use crate::handler::CallParts;
use crate::hub::AnyHub;
use crate::method::Bound;

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
                arguments_taken: 0,
                uploads: &uploads,
                uploads_taken: 0,
            };
            // Everything was checked before the first filter.
            let bound = hub.bind(method, &mut parts, &|_| Ok(()));
            bound.map_err(|misfit| HubError::binding(&misfit))?
        };
        match bound {
            Bound::Stream(start) => Ok(HubReply::stream(start.await?)),
            Bound::Method(mut method) => {
                poll_fn(|cx| method.as_mut().poll(cx)).await;
                let mut failure = None;
                method
                    .as_mut()
                    .tell(&mut |outcome| failure = outcome.err().map(HubError::copy));
                match failure {
                    Some(error) => Err(error),
                    None => Ok(HubReply::method(method)),
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
