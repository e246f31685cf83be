//! A result cannot be encoded.

use std::sync::Arc;

use signalr::server::{Hub, HubMethods};

struct Chat;

impl Chat {
    async fn say(self: Arc<Self>) -> std::time::Instant {
        std::time::Instant::now()
    }
}

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Say", Self::say);
    }
}

fn main() {}
