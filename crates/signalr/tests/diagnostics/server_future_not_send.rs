//! A lock is held across an await.

use std::sync::Arc;

use signalr::server::{Hub, HubMethods};

struct Chat;

impl Chat {
    async fn say(self: Arc<Self>) {
        let lock = std::sync::Mutex::new(0);
        let guard = lock.lock().unwrap();
        std::future::ready(()).await;
        drop(guard);
    }
}

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Say", Self::say);
    }
}

fn main() {}
