//! What others want of a connection: orders, messages, calls for results.

use signalr_proto::server::{Input, Port};

use super::Task;
use crate::connection::client_results::ClientInvocation;
use crate::connection::mailbox::Order;
use crate::connection::wires::Exchange;
use crate::telemetry::Counted;

/// What others want.
impl Task {
    pub(super) fn take_orders(&mut self) -> bool {
        let Some(orders) = self.connection.mailbox.take_orders() else {
            return false;
        };
        self.frames_wait = true;
        for order in orders {
            self.obey(order);
        }
        true
    }

    pub(super) fn obey(&mut self, order: Order) {
        let now = self.now;
        match order {
            Order::Arrived(exchange) => self.arrived(*exchange),
            Order::Close { allow_reconnect } => {
                // What was sent before goes out before.
                self.hurry_frames();
                self.machine.close(now, allow_reconnect);
            }
            Order::Abort(reason) => self.machine.abort_for(now, reason),
            Order::Cut => self.wires.cut(&mut self.machine, now),
            Order::Ask { id, frame, answer } => {
                self.client_results
                    .wait(ClientInvocation { id, frame, answer });
            }
            Order::Forget(id) => {
                self.client_results.forget(&id);
                self.machine.forget_result(now, &id);
            }
            Order::Release(call) => self.machine.release(now, call),
            Order::Took {
                call,
                upload,
                items,
                hungry,
            } => {
                if items > 0 {
                    self.machine.credit(now, call, upload, items);
                }
                if hungry {
                    self.machine.hungry(now, call, upload);
                }
            }
        }
    }

    pub(super) fn arrived(&mut self, exchange: Exchange) {
        let Exchange {
            arrival,
            user,
            incoming,
            answer,
        } = exchange;
        let refreshes = self.shared.options.endpoint.authentication_refresh;
        if refreshes && !matches!(arrival.port, Port::Post | Port::Delete) {
            self.newcomers.push((arrival.op, user));
        }
        self.wires.add((arrival.op, arrival.port), incoming, answer);
        self.machine.handle_input(self.now, Input::Arrived(arrival));
        if let Some(transport) = self.machine.transport() {
            // Set once: a connection does not change its transport.
            if self.connection.transport.set(transport).is_ok() {
                self.counted = Some(Counted::begin(transport, self.now));
            }
        }
    }

    /// Messages of others, for as long as the client takes them.
    pub(super) fn take_frames(&mut self) -> bool {
        if !self.frames_wait || !self.machine.is_writable() {
            return false;
        }
        let (machine, now) = (&mut self.machine, self.now);
        let taken = self
            .connection
            .mailbox
            .take_frames(|frame| machine.is_writable() && machine.send_frame(now, frame).is_ok());
        self.frames_wait = taken.left;
        taken.any
    }

    /// The same whether or not the client takes them: something follows that must not overtake them. There are few, since
    /// whoever sends waits before there are many.
    pub(super) fn hurry_frames(&mut self) {
        let (machine, now) = (&mut self.machine, self.now);
        self.connection
            .mailbox
            .take_frames(|frame| machine.push_frame(now, frame).is_ok());
        self.frames_wait = false;
    }

    /// Calls for results, behind the messages that were sent before, and as they only for as long as the client takes them.
    pub(super) fn ask(&mut self) -> bool {
        let mut asked = false;
        while self.client_results.is_waiting() && self.welcomed && self.machine.is_writable() {
            let Some(ClientInvocation { id, frame, answer }) = self.client_results.next_waiting()
            else {
                break;
            };
            if self.machine.invoke_frame(self.now, &id, &frame).is_ok() {
                self.client_results.add(id, answer);
            }
            asked = true;
        }
        asked
    }
}
