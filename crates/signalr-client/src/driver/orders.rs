//! What handles ask of the driver beside calls, which they write themselves.

use std::sync::Arc;

use futures_util::future::abortable;
use signalr_proto::{Instant, UsageError};

use super::Engine;
use super::perform::Futures;
use super::pump::Pump;
use crate::error::{RefreshErrorKind, StartErrorKind};
use crate::shared::{Command, Inner};
use crate::transport::Transport;

impl<T: Transport, F: Futures<T>> Engine<T, F> {
    /// Does what handles asked for beside calls, which are written already, and starts the pumps of new uploads.
    pub(super) fn take_orders(&mut self) {
        let now = self.now;
        let shared = Arc::clone(&self.shared);
        let mut inner = shared.lock();
        while let Some(command) = inner.commands.pop_front() {
            self.obey(&mut inner, now, command);
        }
        if shared.is_orphaned() {
            inner.machine.stop(now);
        }
        inner.alarms.advance(now, &mut self.wakers);
        self.start_pumps(&mut inner);
        self.alarm = inner.alarms.next();
        drop(inner);
        self.wake();
    }

    fn obey(&mut self, inner: &mut Inner, now: Instant, command: Command) {
        match command {
            Command::Start(answer) => match inner.machine.start(now) {
                Ok(()) => {
                    tracing::info!(url = %inner.machine.config().url, "connecting");
                    self.starting = Some(answer);
                }
                Err(UsageError::NotDisconnected) => {
                    drop(answer.send(Err(StartErrorKind::NotDisconnected)))
                }
                Err(error) => drop(answer.send(Err(StartErrorKind::Usage(error)))),
            },
            Command::Stop(answer) => {
                inner.machine.stop(now);
                self.stopping.push(answer);
            }
            Command::RetryNow => inner.machine.retry_now(now),
            Command::Refresh(answer) => match inner.machine.refresh_authentication(now) {
                Ok(()) => self.refreshing.push(answer),
                Err(error) => drop(answer.send(Err(RefreshErrorKind::Usage(error)))),
            },
        }
    }

    fn start_pumps(&mut self, inner: &mut Inner) {
        for new in core::mem::take(&mut inner.new_uploads) {
            let pump = Pump::new(Arc::clone(&self.shared), new.stream, new.upload);
            let (pump, stop) = abortable(pump);
            inner.pumps.entry(new.owner).or_default().push(stop);
            self.pumps.push(pump);
            self.turn.look_again();
        }
    }
}
