//! From an invocation message to a method that is ready to run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use signalr_proto::Payload;
use signalr_proto::codec::Invocation;
use signalr_proto::server::CallId;

use crate::application::Application;
use crate::connection::{CallHandle, Connection};
use crate::error::HubError;
use crate::filter::{Filtered, HubCall};
use crate::handler::CallParts;
use crate::hub::AnyHub;
use crate::method::{Bound, NotRun, Shape};
use crate::shared::Shared;
use crate::upload::UploadSender;

/// A call that is ready to run.
pub(crate) struct Prepared {
    /// The number of its method.
    pub(crate) method: usize,
    pub(crate) bound: Bound,
    /// There is one when the method wants to know about its call.
    pub(crate) handle: Option<Arc<CallHandle>>,
}

/// What stands between the messages of one client and the methods of its hub.
pub(crate) struct Dispatcher<'a> {
    pub(crate) application: &'a Arc<Application>,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) connection: &'a Arc<Connection>,
    /// Where arguments lie until they are decoded.
    pub(crate) scratch: &'a mut Vec<Payload>,
}

impl Dispatcher<'_> {
    /// Checks an invocation, in the official server's order, and makes the parameters of its method
    /// ([SB-14](signalr_proto::spec::server_behaviour#sb-14) to [SB-20](signalr_proto::spec::server_behaviour#sb-20)).
    pub(crate) fn prepare(
        self,
        id: CallId,
        streaming: bool,
        invocation: &Invocation,
        uploads: Option<&Arc<[UploadSender]>>,
    ) -> Result<Prepared, NotRun> {
        let Application { hub, filters, .. } = &**self.application;
        let (method, shape) = hub.find(&invocation.target).ok_or(NotRun::NoSuchMethod)?;
        let mut parts = CallParts {
            shared: self.shared,
            connection: self.connection,
            id: Some(id),
            call: None,
            arguments: arguments(invocation, shape, self.scratch)?,
            arguments_taken: 0,
            uploads: uploads.map(AsRef::as_ref).unwrap_or_default(),
            uploads_taken: 0,
        };
        // What the method's function does before its first await must not happen in a call that is refused.
        let check = |parts: &mut CallParts<'_>| check(&**hub, method, shape, streaming, parts);
        let bound = if filters.is_empty() {
            contained(|| hub.bind(method, &mut parts, &check))??
        } else {
            contained(|| check(&mut parts))??;
            filtered(self.application, method, shape, &mut parts, uploads)
        };
        Ok(Prepared {
            method,
            bound,
            handle: parts.call,
        })
    }

    /// Why a call that has to wait for its turn cannot be run then either, if that is known: there is no such method, or its arguments
    /// do not fit. Filters see arguments before they are decoded, and when it is the call's turn.
    pub(crate) fn hopeless(self, invocation: &Invocation) -> Option<NotRun> {
        let Application { hub, filters, .. } = &**self.application;
        let Some((method, shape)) = hub.find(&invocation.target) else {
            return Some(NotRun::NoSuchMethod);
        };
        let mut parts = CallParts {
            shared: self.shared,
            connection: self.connection,
            id: None,
            call: None,
            arguments: match arguments(invocation, shape, self.scratch) {
                Ok(arguments) => arguments,
                Err(error) => return Some(error),
            },
            arguments_taken: 0,
            uploads: &[],
            uploads_taken: 0,
        };
        if !filters.is_empty() {
            return None;
        }
        // Its parameters are made and thrown away: it is not called.
        let not_now = |_: &mut CallParts<'_>| Err(NotRun::Unauthorized);
        match contained(|| hub.bind(method, &mut parts, &not_now)) {
            Ok(Err(misfit @ NotRun::ArgumentTypes(_))) => Some(misfit),
            Ok(_) | Err(_) => None,
        }
    }
}

/// Whether the caller may call the method, and does so in the way that fits it.
fn check(
    hub: &dyn AnyHub,
    method: usize,
    shape: Shape,
    streaming: bool,
    parts: &mut CallParts<'_>,
) -> Result<(), NotRun> {
    if !hub.allows(method, parts) {
        return Err(NotRun::Unauthorized);
    }
    match (streaming, shape.streaming) {
        (false, true) => return Err(NotRun::Streaming),
        (true, false) => return Err(NotRun::NotStreaming),
        (true, true) | (false, false) => {}
    }
    let given = parts.uploads.len();
    if given == shape.streams {
        return Ok(());
    }
    Err(NotRun::UploadCount {
        given,
        expected: shape.streams,
    })
}

/// Runs code of the application, whose panics are its own call's failure.
fn contained<T>(run: impl FnOnce() -> T) -> Result<T, NotRun> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| NotRun::Failed(HubError::panicked(&*panic)))
}

/// The same behind filters, which see the arguments before they are decoded.
fn filtered(
    application: &Arc<Application>,
    method: usize,
    shape: Shape,
    parts: &mut CallParts<'_>,
    uploads: Option<&Arc<[UploadSender]>>,
) -> Bound {
    let call = HubCall::new(
        parts.context(),
        application.hub.name(method),
        method,
        parts.arguments.as_slice().to_vec(),
        uploads.map_or_else(|| Arc::from([]), Arc::clone),
    );
    let reply = Arc::clone(application).call(call);
    if shape.streaming {
        return Bound::Stream(Box::pin(async move { reply.await?.into_items() }));
    }
    Bound::Method(Filtered::method(reply))
}

/// The arguments, in a place that is used for each call again.
fn arguments<'a>(
    invocation: &Invocation,
    shape: Shape,
    scratch: &'a mut Vec<Payload>,
) -> Result<std::vec::Drain<'a, Payload>, NotRun> {
    scratch.clear();
    invocation.arguments.payloads_into(scratch)?;
    if scratch.len() == shape.arguments {
        return Ok(scratch.drain(..));
    }
    let given = scratch.len();
    scratch.clear();
    Err(NotRun::ArgumentCount {
        given,
        expected: shape.arguments,
    })
}
