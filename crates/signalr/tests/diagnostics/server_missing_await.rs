//! A method gives back what it should have awaited.

use std::sync::Arc;

use signalr::server::{Hub, HubMethods};

async fn look_up(name: String) -> usize {
    name.len()
}

struct Chat;

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Find", async |_: Arc<Self>, name: String| look_up(name));
    }
}

fn main() {}
