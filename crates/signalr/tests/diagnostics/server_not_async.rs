//! A method is not async.

use std::sync::Arc;

use signalr::server::{Hub, HubMethods};

struct Chat;

impl Chat {
    fn say(self: Arc<Self>, _text: String) {}
}

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Say", Self::say);
    }
}

fn main() {}
