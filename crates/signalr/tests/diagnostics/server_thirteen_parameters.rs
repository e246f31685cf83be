//! One parameter too many.

use std::sync::Arc;

use signalr::server::{Hub, HubMethods};

struct Chat;

impl Chat {
    #[allow(clippy::too_many_arguments)]
    async fn say(
        self: Arc<Self>, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8,
    ) {
    }
}

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Say", Self::say);
    }
}

fn main() {}
