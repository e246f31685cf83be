//! How long whoever sends waits for clients that take too little.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::connection::Connection;
use crate::options::SlowClients;
use crate::shared::Shared;

/// How long a message to many waits for a member that takes nothing, before nobody waits for that member any more.
const PATIENCE: Duration = Duration::from_millis(100);

/// So often, if they take something meanwhile.
const MOMENTS: usize = 5;

/// Waits for clients that are behind, as the options of their hub say.
pub(crate) async fn wait_for(shared: &Shared, behind: Vec<Arc<Connection>>) {
    if shared.options.slow_clients == SlowClients::Wait {
        room(&behind).await;
    } else {
        wait_a_moment(shared, behind).await;
    }
}

/// Waits for clients that are behind, for as long as they take something, and not much longer than a moment. A client can
/// be behind because others send a lot, or because this machine is busy.
pub(crate) async fn wait_a_moment(shared: &Shared, mut behind: Vec<Arc<Connection>>) {
    for _ in 0..MOMENTS {
        let before: Vec<_> = behind.iter().map(|client| client.mailbox.taken()).collect();
        let waited = shared.clock.timeout(PATIENCE, room(&behind));
        if waited.await.is_some() {
            return;
        }
        let mut before = before.into_iter();
        behind.retain(|client| {
            let takes = before.next() != Some(client.mailbox.taken());
            if !takes {
                client.mailbox.stall();
            }
            takes
        });
        if behind.is_empty() {
            return;
        }
    }
    for client in behind {
        client.mailbox.stall();
    }
}

/// Waits until all of them have room, or are gone.
async fn room(behind: &[Arc<Connection>]) {
    join_all(behind.iter().map(|client| client.mailbox.room())).await;
}
