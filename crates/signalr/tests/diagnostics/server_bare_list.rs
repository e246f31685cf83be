//! A list is no list of arguments.

use std::sync::Arc;

use signalr::server::{CallContext, Hub, HubError, HubMethods};

struct Chat;

impl Chat {
    async fn say(self: Arc<Self>, context: CallContext) -> Result<(), HubError> {
        context.clients().all().send("Said", vec![1, 2]).await?;
        Ok(())
    }
}

impl Hub for Chat {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Say", Self::say);
    }
}

fn main() {}
