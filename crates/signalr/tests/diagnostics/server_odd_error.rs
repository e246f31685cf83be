//! An error without words.

use std::sync::Arc;

use signalr::server::{Hub, HubMethods};

struct Odd;

struct Chat;

impl Chat {
    async fn say(self: Arc<Self>, text: String) -> Result<usize, Odd> {
        Ok(text.len())
    }
}

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Say", Self::say);
    }
}

fn main() {}
