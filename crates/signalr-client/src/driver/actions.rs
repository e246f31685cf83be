//! From the machine to the world: what it has decided is carried out.

use core::task::Context;

use signalr_proto::OpId;
use signalr_proto::client::{Action, Input, Output};
use signalr_proto::transport::WsMessage;

use super::Engine;
use super::perform::{Futures, TransportOperation};
use super::settle::{settle, wake_up};
use super::socket::Closing;
use crate::shared::Inner;
use crate::transport::Transport;

impl<T: Transport, F: Futures<T>> Engine<T, F> {
    /// Tells the machine something, and takes what it decides, in one go.
    pub(super) fn consult(&mut self, tell: impl FnOnce(&mut Inner)) {
        let mut inner = self.shared.lock();
        wake_up(&mut inner, self.now, self.turn.take_sent());
        tell(&mut inner);
        self.turn.settled();
        self.deadline = settle(&mut inner, &mut self.outputs, &mut self.wakers);
    }

    /// Carries out what was taken, and what comes of that.
    pub(super) fn carry_out(&mut self, cx: &mut Context<'_>) {
        loop {
            self.wake();
            if self.outputs.is_empty() {
                break;
            }
            let mut outputs = core::mem::take(&mut self.outputs);
            for output in outputs.drain(..) {
                match output {
                    Output::Action(action) => self.act(cx, action),
                    Output::Event(event) => self.report(cx, event),
                    Output::Wait(_) => {}
                }
            }
            self.outputs = outputs;
            if !self.turn.is_undecided() {
                break;
            }
            self.consult(|_| {});
        }
        if self.closing.is_some() && !self.is_stopping() {
            let now = self.now;
            self.closing
                .iter_mut()
                .for_each(|closing| closing.linger(now));
        }
        if !self.stopping.is_empty() && self.is_disconnected() {
            for answer in self.stopping.drain(..) {
                // Nobody listens when the future of `stop` was dropped.
                let _ = answer.send(());
            }
        }
    }

    fn act(&mut self, cx: &mut Context<'_>, action: Action) {
        tracing::trace!(?action, "action");
        match action {
            Action::Request { op, request, body } => self.operate(
                op,
                TransportOperation::Request {
                    request: *request,
                    body,
                },
            ),
            Action::OpenWebSocket { op, request } => {
                self.operate(op, TransportOperation::OpenWebSocket { request: *request })
            }
            Action::Send { op, bytes, format } => {
                if let Some(socket) = self.socket.as_mut().filter(|socket| socket.op == op) {
                    socket.send(WsMessage::carrying(bytes, format));
                }
            }
            Action::Close { op, code } => self.close(cx, op, code),
            Action::GetAccessToken { op } => match &self.shared.token {
                Some(provider) => {
                    self.tokens.push((op, provider.ask()));
                    self.turn.look_again();
                }
                None => self.input(Input::AccessToken {
                    op,
                    token: Ok(None),
                }),
            },
            Action::NextRetryDelay { op, context } => {
                let decider = if context.is_first_start {
                    &self.shared.start_decider
                } else {
                    &self.shared.decider
                };
                let delay = decider
                    .as_ref()
                    .and_then(|decider| decider.decide(&context));
                self.input(Input::RetryDelay { op, delay });
            }
            Action::Abort { op } => self.abort(op),
            _ => tracing::error!("the machine asks for something this driver cannot do"),
        }
    }

    fn operate(&mut self, op: OpId, operation: TransportOperation) {
        match &operation {
            TransportOperation::Request { request, .. } => {
                tracing::debug!(%op, method = %request.method(), path = request.uri().path(), "request")
            }
            TransportOperation::OpenWebSocket { request } => {
                tracing::debug!(%op, path = request.uri().path(), "opening a WebSocket")
            }
        }
        self.turn.look_again();
        self.operations.push((
            op,
            Box::pin(self.futures.perform(self.transport.clone(), op, operation)),
        ));
    }

    fn close(&mut self, cx: &mut Context<'_>, op: OpId, code: u16) {
        if let Some(socket) = self.socket.take_if(|socket| socket.op == op) {
            self.closing = Some(Closing::new(socket, code));
            // At once: the program may end as soon as it hears that the connection is closed.
            self.poll_closing(cx);
        }
    }

    fn abort(&mut self, op: OpId) {
        self.operations.retain(|(other, _)| *other != op);
        self.tokens.retain(|(other, _)| *other != op);
        self.bodies.retain(|(other, _)| *other != op);
        self.socket.take_if(|socket| socket.op == op);
        self.closing.take_if(|closing| closing.op() == op);
    }
}
