//! The end of a connection.

use std::sync::atomic::Ordering;

use futures_util::future::{join, poll_fn};
use futures_util::stream::StreamExt as _;
use signalr_proto::server::DisconnectReason;
use tracing::Instrument as _;

use super::Task;
use super::presence::Presence;
use crate::application::Application;
use crate::connection::CallHandle;
use crate::connection::running::contained_future;
use crate::error::UploadError;
use crate::report;
use crate::telemetry;

/// The end.
impl Task {
    /// Says farewell to the application while the sockets are left.
    pub(super) async fn finish(mut self, reason: DisconnectReason) {
        self.tell_end(&reason);
        let Self {
            presence,
            application,
            shared,
            connection,
            mut wires,
            mut methods,
            streams,
            handles,
            uploads,
            client_results,
            greeting,
            welcomed,
            machine,
            ..
        } = self;
        drop((machine, streams, client_results));
        presence.over();
        wires.dismiss();
        for sender in uploads.values().flat_map(|senders| senders.iter()) {
            sender.end(Err(UploadError::ConnectionClosed));
        }
        handles.values().for_each(|handle| handle.cancel());
        let timeout = shared.options.connection.close_timeout;
        let hang_up = async {
            shared
                .clock
                .timeout(timeout, poll_fn(|cx| wires.poll_left(cx)))
                .await;
            drop(wires);
        };
        let say_farewell = async {
            let welcomed = match greeting {
                Some(greeting) => greeting.await.is_ok(),
                None => welcomed,
            };
            if welcomed {
                farewell(&application, &presence, reason).await;
            }
        };
        join(say_farewell, hang_up).await;
        drop(presence);
        drop((application, shared, connection));
        // Methods that still run come to their end; nobody hears of it.
        while methods.next().await.is_some() {}
    }

    /// Logs and metrics hear of it.
    fn tell_end(&mut self, reason: &DisconnectReason) {
        tracing::debug!(connection = &*self.connection.id, %reason, "connection closed");
        if let Some(counted) = self.counted.take() {
            let shutting_down = self.shared.shutting_down.load(Ordering::Relaxed);
            let status = telemetry::status(reason, shutting_down);
            counted.end(self.shared.clock.now(), status);
        }
        self.shared.slow_counters.connection_over(reason);
    }
}

async fn farewell(application: &Application, presence: &Presence, reason: DisconnectReason) {
    let context = presence.context(CallHandle::welcoming());
    let said = contained_future(async {
        application.on_disconnected(context, reason).await;
        Ok(())
    });
    let span = telemetry::disconnected(presence.shared.name);
    if let Err(error) = said.instrument(span).await {
        report::farewell_failed(&presence.connection.id, &error);
    }
}
