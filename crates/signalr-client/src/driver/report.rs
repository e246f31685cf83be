//! From the machine to the application: handlers, listeners, whoever waits, and the log.

use core::task::Context;
use core::time::Duration;

use signalr_proto::client::{Event, Ignored};
use signalr_proto::{CloseReason, ConnectionId, TransportKind};

use super::Engine;
use super::perform::Futures;
use crate::error::{RefreshError, RefreshErrorKind, StartErrorKind};
use crate::lifecycle::LifecycleEvent;
use crate::transport::Transport;

impl<T: Transport, F: Futures<T>> Engine<T, F> {
    pub(super) fn report(&mut self, cx: &mut Context<'_>, event: Event) {
        match event {
            Event::Invocation {
                target,
                arguments,
                reply_to,
            } => {
                self.dispatcher.take(cx, target, arguments, reply_to);
                self.turn.look_again();
            }
            Event::Writable => {
                self.shared.lock().wake_for_room(&mut self.wakers);
                self.dispatcher.retry();
                self.turn.look_again();
                self.wake();
            }
            Event::Ignored(Ignored::Misuse { op, misuse }) => {
                tracing::error!(%op, %misuse, "the driver made a mistake")
            }
            Event::Ignored(ignored) => tracing::debug!(?ignored, "a message has no effect"),
            Event::Connected {
                connection_id,
                transport,
            } => self.connected(connection_id, transport),
            Event::StartFailed { reason } => self.start_failed(reason),
            Event::Reconnecting { reason } => {
                tracing::info!(%reason, "connection lost, reconnecting");
                self.lose(&reason);
                self.tell(&LifecycleEvent::Reconnecting { reason });
            }
            Event::ReconnectAttempt {
                attempt,
                delay,
                reason,
            } => self.reconnect_attempt(attempt, delay, reason),
            Event::Reconnected {
                connection_id,
                transport,
            } => {
                tracing::info!(?connection_id, transport = transport.name(), "reconnected");
                self.tell(&LifecycleEvent::Reconnected {
                    connection_id,
                    transport,
                });
            }
            Event::StartRetry {
                reason,
                delay,
                attempt,
            } => {
                tracing::info!(%reason, next_attempt = attempt, ?delay, "could not connect, trying again");
                self.tell(&LifecycleEvent::StartRetry {
                    reason,
                    delay,
                    attempt,
                });
            }
            Event::Fallback { from, to, reason } => {
                tracing::info!(from = from.name(), to = to.name(), %reason, "a transport did not start, trying the next");
                self.tell(&LifecycleEvent::Fallback { from, to, reason });
            }
            Event::Resuming { reason } => {
                tracing::info!(%reason, "WebSocket lost, resuming");
                self.tell(&LifecycleEvent::Resuming { reason });
            }
            Event::Resumed => {
                tracing::info!("resumed");
                self.tell(&LifecycleEvent::Resumed);
            }
            Event::AuthenticationRefreshed { lifetime } => {
                tracing::debug!(?lifetime, "authentication refreshed");
                self.refreshed(Ok(lifetime));
                self.tell(&LifecycleEvent::AuthenticationRefreshed { lifetime });
            }
            Event::AuthenticationRefreshFailed { error } => {
                tracing::warn!(%error, "authentication not refreshed");
                let kind = RefreshErrorKind::Failed(error);
                self.refreshed(Err(kind.clone()));
                let error = RefreshError::new(&self.shared.address, kind);
                self.tell(&LifecycleEvent::AuthenticationRefreshFailed { error });
            }
            Event::Closed { reason } => {
                if self.was_dropped(&reason) {
                    tracing::info!("connection closed: its last handle was dropped");
                } else if reason.is_clean() {
                    tracing::info!(%reason, "connection closed");
                } else {
                    tracing::warn!(%reason, "connection closed, giving up");
                }
                self.lose(&reason);
                self.tell(&LifecycleEvent::Closed { reason });
            }
            Event::Expired { messages } => {
                tracing::warn!(
                    messages,
                    "messages waited too long for a connection and were dropped"
                );
                self.tell(&LifecycleEvent::Expired { messages });
            }
            // Delivered where they are collected.
            Event::Completion { .. } | Event::StreamItem { .. } => {}
            _ => tracing::debug!("an event this driver does not know"),
        }
    }

    /// Whether nobody stopped the connection but its handles are gone.
    fn was_dropped(&self, reason: &CloseReason) -> bool {
        *reason == CloseReason::Stopped && self.stopping.is_empty() && self.shared.is_orphaned()
    }

    fn reconnect_attempt(&mut self, attempt: u32, delay: Duration, reason: CloseReason) {
        // Why the connection was lost is in the log already.
        if attempt > 1 {
            tracing::info!(%reason, next_attempt = attempt, ?delay, "could not reconnect, trying again");
        } else {
            tracing::info!(next_attempt = attempt, ?delay, "trying to reconnect");
        }
        self.tell(&LifecycleEvent::ReconnectAttempt {
            attempt,
            delay,
            reason,
        });
    }

    fn connected(&mut self, connection_id: Option<ConnectionId>, transport: TransportKind) {
        tracing::info!(?connection_id, transport = transport.name(), "connected");
        // First, so that the event is there for whoever waits for `start`: the connection may be over soon after.
        self.tell(&LifecycleEvent::Connected {
            connection_id,
            transport,
        });
        if let Some(answer) = self.starting.take() {
            // Nobody listens when the future of `start` was dropped; the connection stands all the same.
            let _ = answer.send(Ok(()));
        }
    }

    fn tell(&mut self, event: &LifecycleEvent) {
        self.shared.listeners.tell(event);
        self.dispatcher.check_callback();
    }

    fn refreshed(&mut self, outcome: Result<Option<Duration>, RefreshErrorKind>) {
        for answer in self.refreshing.drain(..) {
            // Nobody listens when the future was dropped.
            let _ = answer.send(outcome.clone());
        }
    }

    fn start_failed(&mut self, reason: CloseReason) {
        if self.was_dropped(&reason) {
            tracing::info!("gave up connecting: the last handle was dropped");
        } else if reason.is_clean() {
            tracing::info!(%reason, "could not connect");
        } else {
            tracing::warn!(%reason, "could not connect, giving up");
        }
        self.lose(&reason);
        // First, as in `connected`.
        self.tell(&LifecycleEvent::StartFailed {
            reason: reason.clone(),
        });
        if let Some(answer) = self.starting.take() {
            let _ = answer.send(Err(StartErrorKind::Failed(reason)));
        }
    }

    fn lose(&mut self, reason: &CloseReason) {
        self.refreshed(Err(RefreshErrorKind::ConnectionLost(reason.clone())));
        self.read_paused = false;
        // What could not be answered will not be.
        self.dispatcher.retry();
        self.turn.look_again();
    }
}
