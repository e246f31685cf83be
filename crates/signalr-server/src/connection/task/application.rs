//! What the application does about a connection beside its calls: welcomes, and newer tokens.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytestring::ByteString;
use signalr_proto::server::{Event, Identity, Ignored};
use signalr_proto::{OpId, Protocol};
use tracing::Instrument as _;

use super::{Applicant, Task};
use crate::application::Application;
use crate::call::CallContext;
use crate::connection::CallHandle;
use crate::connection::running::contained_future;
use crate::error::{HubError, UploadError};
use crate::locks::lock;
use crate::report;
use crate::telemetry;
use crate::user::User;

/// Lets the farm know of a client, and then the hub.
async fn welcome(application: Arc<Application>, context: CallContext) -> Result<(), HubError> {
    if let Some(farm) = &context.shared.farm {
        let user = context.user();
        let user = user.as_ref().map(User::id);
        farm.connect(context.connection_id(), user).await?;
    }
    application.on_connected(context).await
}

/// What the application does.
impl Task {
    pub(super) fn poll_application(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        if let Some(greeting) = &mut self.greeting {
            if let Poll::Ready(outcome) = greeting.as_mut().poll(cx) {
                self.greeting = None;
                self.greeted(outcome);
                busy = true;
            }
        }
        busy | self.poll_applicants(cx)
    }

    pub(super) fn poll_applicants(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        let mut index = 0;
        while let Some(applicant) = self.applicants.get_mut(index) {
            match applicant.decision.as_mut().poll(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(decision) => {
                    let accepted = decision.unwrap_or_else(|error| {
                        report::refresh_failed(&self.connection.id, &error);
                        false
                    });
                    let Applicant {
                        op, identity, user, ..
                    } = self.applicants.swap_remove(index);
                    self.judge(op, &identity, user, accepted);
                    busy = true;
                }
            }
        }
        busy
    }

    pub(super) fn tell(&mut self, cx: &mut Context<'_>, event: Event) {
        match event {
            Event::Invocation {
                call,
                streaming,
                invocation,
            } => self.call(cx, call, streaming, &invocation),
            Event::Held { call, invocation } => self.held(call, &invocation),
            Event::StreamItem { call, upload, item } => self.item(call, upload, item),
            Event::UploadEnded {
                call,
                upload,
                error,
            } => {
                let end = error.map_or(Ok(()), |error| Err(UploadError::FailedByClient { error }));
                if let Some(sender) = self.upload(call, upload) {
                    sender.end(end);
                }
            }
            Event::Cancel { call } => {
                if let Some(handle) = self.handles.get(&call) {
                    handle.cancel();
                }
            }
            Event::Completion {
                invocation_id,
                outcome,
            } => {
                lock(&self.shared.result_owners).end(&invocation_id);
                self.client_results.answer(&invocation_id, outcome);
            }
            Event::UnknownCompletion { invocation_id } => self.unknown_answer(&invocation_id),
            Event::Handshaken { protocol } => {
                self.greet(protocol);
                // A client that is turned away at once hears it with the answer to its handshake, before it asks for more.
                self.poll_application(cx);
            }
            Event::Reauthenticate { op, identity } => self.reauthenticate(op, identity),
            Event::Detached { cause } => {
                let connection = &*self.connection.id;
                tracing::debug!(connection, ?cause, "WebSocket lost");
            }
            Event::Resumed => {
                tracing::debug!(connection = &*self.connection.id, "connection resumed");
            }
            Event::Ignored(Ignored::Misuse { op, misuse }) => {
                tracing::error!(%op, %misuse, "the driver made a mistake");
            }
            Event::Closed { reason } => self.closed = Some(reason),
            // Room is looked for in each round.
            Event::Writable | _ => {}
        }
    }

    pub(super) fn greet(&mut self, protocol: Protocol) {
        // Set once: there is one handshake.
        let _ = self.connection.protocol.set(protocol);
        self.shared.registry.add(&self.connection);
        if self.shared.shutting_down.load(Ordering::Relaxed) {
            return self.machine.close(self.now, true);
        }
        let context = self.presence.context(CallHandle::welcoming());
        let welcome = welcome(Arc::clone(&self.application), context);
        let welcome = contained_future(welcome).instrument(telemetry::connected(self.shared.name));
        self.greeting = Some(Box::pin(welcome));
    }

    pub(super) fn greeted(&mut self, outcome: Result<(), HubError>) {
        match outcome {
            Ok(()) => {
                self.welcomed = true;
                self.machine.accept(self.now);
            }
            Err(error) => {
                report::turned_away(&self.connection.id, &error);
                self.hurry_frames();
                self.machine.reject(self.now, error.failure());
            }
        }
    }

    pub(super) fn reauthenticate(&mut self, op: OpId, identity: Identity) {
        let newcomer = self.newcomers.iter().find(|(known, _)| *known == op);
        let user = newcomer.and_then(|(_, user)| user.clone());
        if self.application.on_authentication_refresh.is_none() {
            return self.judge(op, &identity, user, true);
        }
        let (application, newcomer) = (Arc::clone(&self.application), user.clone());
        let context = self.presence.context(CallHandle::welcoming());
        let decision = contained_future(async move {
            match &application.on_authentication_refresh {
                Some(decide) => Ok(decide(context, newcomer).await),
                None => Ok(true),
            }
        });
        self.applicants.push(Applicant {
            op,
            identity,
            user,
            decision: Box::pin(decision),
        });
    }

    pub(super) fn judge(
        &mut self,
        op: OpId,
        identity: &Identity,
        user: Option<User>,
        accepted: bool,
    ) {
        self.machine.reauthenticate(self.now, op, accepted);
        // A yet newer one may have been accepted meanwhile.
        if accepted && self.machine.identity() == Some(identity) {
            self.connection.set_user(user);
        }
    }

    pub(super) fn unknown_answer(&mut self, id: &ByteString) {
        let judged = lock(&self.shared.result_owners).judge(id, &self.connection.id);
        if let Err(reason) = judged {
            self.machine.close_for(self.now, reason);
        }
    }
}
