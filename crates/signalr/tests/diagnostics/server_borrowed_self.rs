//! A method takes the hub by reference.

use signalr::server::{Hub, HubMethods};

struct Chat;

impl Chat {
    async fn say(&self, _text: String) {}
}

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Say", Self::say);
    }
}

fn main() {}
