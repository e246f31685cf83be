//! An error that serde can serialize: its words and its data would both do.

use std::fmt;
use std::sync::Arc;

use signalr::server::{Hub, HubMethods};

#[derive(Debug, serde::Serialize)]
struct Both;

impl fmt::Display for Both {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("words")
    }
}

impl std::error::Error for Both {}

struct Chat;

impl Chat {
    async fn say(self: Arc<Self>, text: String) -> Result<usize, Both> {
        Ok(text.len())
    }
}

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Say", Self::say);
    }
}

fn main() {}
