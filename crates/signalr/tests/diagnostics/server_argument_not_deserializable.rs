//! An argument cannot be decoded.

use std::sync::Arc;

use signalr::server::{Hub, HubMethods};

struct Chat;

impl Chat {
    async fn say(self: Arc<Self>, _hub: std::time::Instant) {}
}

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Say", Self::say);
    }
}

fn main() {}
