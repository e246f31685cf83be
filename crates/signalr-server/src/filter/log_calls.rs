//! Calls in the log.

use futures_core::future::BoxFuture;

use super::{HubCall, HubFilter, HubReply, Next};
use crate::error::HubError;

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
