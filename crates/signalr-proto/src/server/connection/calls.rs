//! Calls of the client, from their invocation to their completion ([requirements](crate::spec::server_behaviour#calls)).

use super::ServerConnection;
use super::state::Step;
use crate::codec::{CompletionOutcome, Encode, EncodeError, Invocation};
use crate::error::SendError;
use crate::server::calls::{Begun, CallId, Routed, UploadEvent};
use crate::server::{CallOutcome, Event, Refusal};
use crate::time::Instant;

/// Answers to calls.
impl ServerConnection {
    /// Ends a call, and answers it if the client wants an answer: never refused for lack of room. Does nothing when the call
    /// is over, or the connection.
    ///
    /// # Errors
    /// When the value cannot be serialized. The call is open as before.
    pub fn finish<T: Encode + ?Sized>(
        &mut self,
        now: Instant,
        call: CallId,
        outcome: CallOutcome<'_, T>,
    ) -> Result<(), EncodeError> {
        self.advance(now);
        let Some(info) = self.calls.info(call) else {
            return Ok(());
        };
        let (streaming, detailed) = (info.streaming, self.config.enable_detailed_errors);
        match outcome {
            CallOutcome::Done if !streaming => self.conclude(call, CompletionOutcome::Result(&())),
            CallOutcome::Value(value) if !streaming => {
                self.conclude(call, CompletionOutcome::Result(value))
            }
            CallOutcome::Done | CallOutcome::Value(_) => {
                self.conclude(call, CompletionOutcome::void())
            }
            CallOutcome::Failed(failure) => {
                let text = failure.of_call(&info.target, detailed);
                self.conclude(call, CompletionOutcome::error(&text))
            }
            CallOutcome::StreamFailed(failure) => {
                let text = failure.of_stream(detailed);
                self.conclude(call, CompletionOutcome::error(&text))
            }
        }
    }

    /// Sends an item of the stream that a call asked for.
    ///
    /// # Errors
    /// As for [`send`](Self::send), and [`SendError::UnknownId`] when the call is over or is no stream.
    pub fn item<T: Encode + ?Sized>(
        &mut self,
        now: Instant,
        call: CallId,
        item: &T,
    ) -> Result<(), SendError> {
        self.advance(now);
        if !self.is_open() {
            return Err(SendError::NotConnected);
        }
        let info = self.calls.info(call).filter(|info| info.streaming);
        let id = info.and_then(|info| info.invocation_id.as_deref());
        let id = id.ok_or(SendError::UnknownId)?;
        let protocol = self.protocol;
        self.outbox
            .write(|out| protocol.encode_stream_item(out, &[], id, item))
    }

    /// Ends a call that does not run, or not yet, with the official server's words. Does nothing when the call is over.
    pub fn refuse(&mut self, now: Instant, call: CallId, refusal: Refusal<'_>) {
        self.advance(now);
        if let Some(info) = self.calls.end(call) {
            self.tell_refusal(info.invocation_id.as_deref(), &info.target, &refusal);
        }
    }

    /// The method waits for its client, whose answer may be behind another call: its permit goes back, once
    /// ([SB-43](crate::spec::server_behaviour#sb-43)).
    pub fn release(&mut self, now: Instant, call: CallId) {
        self.advance(now);
        self.calls.release(call);
    }

    /// The method has taken so many items of its upload.
    pub fn credit(&mut self, now: Instant, call: CallId, upload: usize, items: usize) {
        self.advance(now);
        self.calls.credit(call, upload, items);
    }

    /// The method waits for an item of this upload and has taken all before it.
    pub fn hungry(&mut self, now: Instant, call: CallId, upload: usize) {
        self.advance(now);
        self.calls.hungry(call, upload);
    }

    fn conclude<T: Encode + ?Sized>(
        &mut self,
        call: CallId,
        outcome: CompletionOutcome<'_, T>,
    ) -> Result<(), EncodeError> {
        let (open, protocol) = (self.is_open(), self.protocol);
        let info = self.calls.info(call).filter(|_| open);
        if let Some(id) = info.and_then(|info| info.invocation_id.as_deref()) {
            self.outbox
                .write_regardless(|out| protocol.encode_completion(out, &[], id, outcome))?;
        }
        self.calls.end(call);
        Ok(())
    }

    fn tell_refusal(&mut self, id: Option<&str>, target: &str, refusal: &Refusal<'_>) {
        let Some(id) = id.filter(|_| self.is_open()) else {
            return;
        };
        let text = refusal.text(target, self.config.enable_detailed_errors);
        let protocol = self.protocol;
        let outcome = CompletionOutcome::error(&text);
        // A completion without a value can be encoded.
        let _ = self
            .outbox
            .write_regardless(|out| protocol.encode_completion(out, &[], id, outcome));
    }
}

/// Calls as they come in.
impl ServerConnection {
    pub(super) fn begin(&mut self, streaming: bool, invocation: Invocation) -> Step {
        if streaming && invocation.invocation_id.is_none() {
            return self.begin_nameless(invocation);
        }
        match self.calls.begin(streaming, &invocation) {
            Begun::Run(call) => {
                return Step::Tell(Event::Invocation {
                    call,
                    streaming,
                    invocation,
                });
            }
            Begun::Wait => {
                let call = self.calls.hold(invocation.clone());
                return Step::Tell(Event::Held { call, invocation });
            }
            Begun::Refused(refusal) => self.tell_refusal(
                invocation.invocation_id.as_deref(),
                &invocation.target,
                &refusal,
            ),
        }
        Step::Done
    }

    /// What a method did for calls and items that wait: handed out before anything else is read.
    pub(super) fn next_waiting(&mut self) -> Option<Event> {
        if let Some((call, invocation)) = self.calls.next_held() {
            return Some(Event::Invocation {
                call,
                streaming: false,
                invocation,
            });
        }
        self.calls.next_upload_event().map(Event::from)
    }
}

impl From<Routed> for Step {
    fn from(routed: Routed) -> Self {
        match routed {
            Routed::Now(event) => Self::Tell(event.into()),
            // An item for nobody means nothing (`SB-30`).
            Routed::Later | Routed::Nobody => Self::Done,
        }
    }
}

impl From<UploadEvent> for Event {
    fn from(event: UploadEvent) -> Self {
        match event {
            UploadEvent::Item { call, upload, item } => Self::StreamItem { call, upload, item },
            UploadEvent::Ended {
                call,
                upload,
                error,
            } => Self::UploadEnded {
                call,
                upload,
                error,
            },
        }
    }
}
