//! What the application asks for: calls, streams, sends, uploads and answers to the server.

use bytes::BytesMut;
use bytestring::ByteString;

use super::ClientConnection;
use super::api::{Call, CallOptions, InvocationId, ReplyTo};
use super::invocations::CallKind;
use super::state::State;
use crate::codec::{
    CompletionOutcome, Encode, EncodeError, HubArguments, InvocationHead, Protocol,
};
use crate::decimal::Digits;
use crate::error::SendError;
use crate::time::Instant;

/// What the server is told of an upload whose call was cancelled, in the official client's words.
const UPLOAD_CANCELLED: &str = "Stream canceled by client.";

/// Calls.
impl ClientConnection {
    /// Calls a method and expects one answer, as [`Event::Completion`](super::Event::Completion).
    ///
    /// On the wire: `{"type":1,"invocationId":"1","target":"Add","arguments":[1,2]}`.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was written and no id was used.
    pub fn invoke<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        target: &str,
        arguments: &A,
    ) -> Result<Call, SendError> {
        self.call(now, CallKind::Invoke, target, arguments, CallOptions::new())
    }

    /// [`invoke`](Self::invoke) with options.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was written and no id was used.
    pub fn invoke_with<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        target: &str,
        arguments: &A,
        options: CallOptions,
    ) -> Result<Call, SendError> {
        self.call(now, CallKind::Invoke, target, arguments, options)
    }

    /// Calls a method and expects a stream: [`Event::StreamItem`](super::Event::StreamItem)s, then [`Event::Completion`](super::Event::Completion).
    ///
    /// On the wire: `{"type":4,"invocationId":"1","target":"Count","arguments":[10]}`.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was written and no id was used.
    pub fn stream<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        target: &str,
        arguments: &A,
    ) -> Result<Call, SendError> {
        self.call(now, CallKind::Stream, target, arguments, CallOptions::new())
    }

    /// [`stream`](Self::stream) with options.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was written and no id was used.
    pub fn stream_with<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        target: &str,
        arguments: &A,
        options: CallOptions,
    ) -> Result<Call, SendError> {
        self.call(now, CallKind::Stream, target, arguments, options)
    }

    /// Calls a method without expecting an answer.
    ///
    /// On the wire: `{"type":1,"target":"Send","arguments":["hello"]}`.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was written.
    pub fn send<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        target: &str,
        arguments: &A,
    ) -> Result<Call, SendError> {
        self.call(now, CallKind::Send, target, arguments, CallOptions::new())
    }

    /// [`send`](Self::send) with options.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was written and no id was used.
    pub fn send_with<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        target: &str,
        arguments: &A,
        options: CallOptions,
    ) -> Result<Call, SendError> {
        self.call(now, CallKind::Send, target, arguments, options)
    }

    /// A call of any kind: written to the connection that there is, or kept for the next one.
    fn call<A: HubArguments + ?Sized>(
        &mut self,
        now: Instant,
        kind: CallKind,
        target: &str,
        arguments: &A,
        options: CallOptions,
    ) -> Result<Call, SendError> {
        self.advance(now);
        let streams = arguments.stream_count();
        if options.repeat && (kind != CallKind::Invoke || streams > 0) {
            return Err(SendError::NotRepeatable);
        }
        let connected = matches!(self.state, State::Connected(_));
        let waiting = if connected {
            None
        } else {
            Some(self.may_wait(kind, options, streams)?)
        };
        if target.is_empty() {
            return Err(SendError::EmptyTarget);
        }
        let limit = self.config.limits.max_pending_invocations;
        let mut call = self.invocations.next(kind, streams, limit)?;
        let protocol = self.config.protocol;
        let digits;
        let id = if streams == 0 {
            self.invocations.next_text()
        } else {
            digits = Digits::new(call.end);
            digits.as_str()
        };
        let write = |out: &mut BytesMut| {
            let id = kind.is_answered().then_some(id);
            encode(out, protocol, kind, (&call, id), target, arguments)
        };
        if connected && !options.repeat {
            self.outbox.write(write)?;
        } else {
            let mut bytes = BytesMut::new();
            write(&mut bytes)?;
            self.keep(&call, kind, bytes.freeze(), waiting, options.repeat)?;
        }
        if connected {
            self.spoke();
            if kind == CallKind::Invoke {
                self.stats.wrote(call.id());
            }
        }
        call.position = self.outbox.written();
        self.invocations.begin(&call, kind);
        Ok(call)
    }
}

/// Writes a call as one message.
fn encode<A: HubArguments + ?Sized>(
    out: &mut BytesMut,
    protocol: Protocol,
    kind: CallKind,
    (call, invocation_id): (&Call, Option<&str>),
    target: &str,
    arguments: &A,
) -> Result<(), EncodeError> {
    let stream_ids: Vec<ByteString> = call.streams().map(|id| id.to_string().into()).collect();
    let head = InvocationHead {
        streaming: kind == CallKind::Stream,
        headers: &[],
        invocation_id,
        target,
        stream_ids: &stream_ids,
    };
    protocol.encode_invocation(out, head, arguments)
}

/// Uploads, answers to the server, cancellations.
impl ClientConnection {
    /// Sends an item of an upload stream.
    ///
    /// # Errors
    /// [`SendError::UnknownId`] when the stream is over, also because its call is; see [`SendError`].
    pub fn send_item<T: Encode + ?Sized>(
        &mut self,
        now: Instant,
        stream: InvocationId,
        item: &T,
    ) -> Result<(), SendError> {
        self.active(now)?;
        if !self.invocations.is_upload_open(stream) {
            return Err(SendError::UnknownId);
        }
        let protocol = self.config.protocol;
        self.outbox.write(|out| {
            protocol.encode_stream_item(out, &[], Digits::new(stream.0).as_str(), item)
        })?;
        self.spoke();
        Ok(())
    }

    /// Ends an upload stream, well or with an error.
    ///
    /// # Errors
    /// [`SendError::UnknownId`] when the stream is over, also because its call is; see [`SendError`].
    pub fn end_stream(
        &mut self,
        now: Instant,
        stream: InvocationId,
        error: Option<&str>,
    ) -> Result<(), SendError> {
        self.active(now)?;
        if !self.invocations.is_upload_open(stream) {
            return Err(SendError::UnknownId);
        }
        let outcome = error.map_or(CompletionOutcome::void(), CompletionOutcome::error);
        let protocol = self.config.protocol;
        self.outbox.write(|out| {
            protocol.encode_completion(out, &[], Digits::new(stream.0).as_str(), outcome)
        })?;
        self.invocations.end_upload(stream);
        self.spoke();
        Ok(())
    }

    /// Answers a call of the server.
    ///
    /// # Errors
    /// [`SendError::UnknownId`] when the connection it came on is gone ([CB-55](crate::spec::client_behaviour#cb-55)); the question
    /// comes back with the error, so that it can be answered later (after [`SendError::Full`]) or in other words (after
    /// [`SendError::Encode`]).
    pub fn complete<T: Encode + ?Sized>(
        &mut self,
        now: Instant,
        reply_to: ReplyTo,
        outcome: CompletionOutcome<'_, T>,
    ) -> Result<(), (SendError, ReplyTo)> {
        self.try_complete(now, &reply_to, outcome)
            .map_err(|error| (error, reply_to))
    }

    fn try_complete<T: Encode + ?Sized>(
        &mut self,
        now: Instant,
        reply_to: &ReplyTo,
        outcome: CompletionOutcome<'_, T>,
    ) -> Result<(), SendError> {
        self.active(now)?;
        if reply_to.epoch != self.epoch {
            return Err(SendError::UnknownId);
        }
        let protocol = self.config.protocol;
        self.outbox
            .write(|out| protocol.encode_completion(out, &[], &reply_to.id, outcome))?;
        self.spoke();
        Ok(())
    }

    /// Gives up a call or stream: no event for it follows, its uploads are over, and the server is told of both if it can be.
    pub fn cancel(&mut self, now: Instant, id: InvocationId) {
        self.advance(now);
        self.outputs.retain(|output| !output.is_about(id));
        self.unpark(id);
        let Some(uploads) = self.invocations.cancel(id) else {
            return;
        };
        if matches!(self.state, State::Connected(_)) {
            let protocol = self.config.protocol;
            self.outbox.write_always(|out| {
                protocol.encode_cancel_invocation(out, &[], Digits::new(id.0).as_str())
            });
            self.spoke();
        }
        self.cancel_uploads(&uploads);
    }

    /// Nobody feeds these streams any more, and a method that reads from one would wait for ever
    /// ([CB-41](crate::spec::client_behaviour#cb-41)).
    pub(super) fn cancel_uploads(&mut self, uploads: &[InvocationId]) {
        if !matches!(self.state, State::Connected(_)) {
            return;
        }
        let protocol = self.config.protocol;
        for upload in uploads {
            let outcome = CompletionOutcome::<()>::Error(UPLOAD_CANCELLED);
            // A text can always be written.
            let written = self.outbox.write_regardless(|out| {
                protocol.encode_completion(out, &[], Digits::new(upload.0).as_str(), outcome)
            });
            if written.is_ok() {
                self.spoke();
            }
        }
    }
}
