//! The end of a connection.

use std::sync::atomic::Ordering;

use futures_util::future::{join, poll_fn};
use futures_util::stream::StreamExt as _;
use signalr_proto::server::DisconnectReason;
use tracing::Instrument as _;

use super::Task;
use crate::connection::CallHandle;
use crate::connection::running::contained_future;
use crate::error::UploadError;
use crate::report;
use crate::telemetry;

/// The end.
impl Task {
    /// Says farewell to the application while the sockets are left.
    pub(super) async fn finish(self, reason: DisconnectReason) {
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
            counted,
            ..
        } = self;
        tracing::debug!(connection = &*connection.id, %reason, "connection closed");
        if let Some(counted) = counted {
            let shutting_down = shared.shutting_down.load(Ordering::Relaxed);
            counted.end(
                shared.clock.now(),
                telemetry::status(&reason, shutting_down),
            );
        }
        shared.slow_counters.connection_over(&reason);
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
        let farewell = async {
            let welcomed = match greeting {
                Some(greeting) => greeting.await.is_ok(),
                None => welcomed,
            };
            if welcomed {
                let context = presence.context(CallHandle::welcoming());
                let said = contained_future(async {
                    application.on_disconnected(context, reason).await;
                    Ok(())
                })
                .instrument(telemetry::disconnected(shared.name))
                .await;
                if let Err(error) = said {
                    report::farewell_failed(&connection.id, &error);
                }
            }
        };
        join(farewell, hang_up).await;
        drop(presence);
        drop((application, shared, connection));
        // Methods that still run come to their end; nobody hears of it.
        while methods.next().await.is_some() {}
    }
}
