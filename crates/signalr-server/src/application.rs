//! The application's part of a served hub: what tasks of connections run.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use signalr_proto::server::DisconnectReason;

use crate::call::CallContext;
use crate::error::HubError;
use crate::filter::{Filters, HubCall, HubReply, Next, NextConnected, NextDisconnected};
use crate::hub::AnyHub;
use crate::user::User;

pub(crate) type OnRefresh =
    Box<dyn Fn(CallContext, Option<User>) -> BoxFuture<'static, bool> + Send + Sync>;

/// A hub, and what of the application stands around it.
pub(crate) struct Application {
    pub(crate) hub: Box<dyn AnyHub>,
    pub(crate) filters: Filters,
    pub(crate) on_authentication_refresh: Option<OnRefresh>,
}

impl Application {
    /// Runs a method behind the filters.
    pub(crate) fn call(
        self: Arc<Self>,
        call: HubCall,
    ) -> BoxFuture<'static, Result<HubReply, HubError>> {
        Box::pin(async move { Next::new(&*self.hub, &self.filters).run(call).await })
    }

    pub(crate) async fn on_connected(&self, context: CallContext) -> Result<(), HubError> {
        let first = NextConnected::new(&*self.hub, &self.filters);
        first.run(context).await
    }

    pub(crate) async fn on_disconnected(&self, context: CallContext, reason: DisconnectReason) {
        let first = NextDisconnected::new(&*self.hub, &self.filters);
        first.run(context, reason).await;
    }
}
