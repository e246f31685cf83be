//! Rooms and users: `cargo run -p signalr --example groups`. Clients connect to
//! `http://127.0.0.1:5000/rooms?user=ann` and hear `Came`, `Left`, `Said` and `Whispered`.
//!
//! Everybody is believed to be who they say; see the example `auth` for the rest.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use signalr::server::{
    BuildError, CallContext, DisconnectReason, GroupError, Hub, HubError, HubMethods, HubRequest,
    HubServer, SendError, User, serve,
};
use tokio::net::TcpListener;

struct Rooms;

impl Rooms {
    /// Gives how many are in the room now.
    async fn join(self: Arc<Self>, context: CallContext, room: String) -> Result<usize, HubError> {
        context.join_group(&room).await?;
        let others = context.others_in_group(&room);
        others.send("Came", (&room, name(&context))).await?;
        Ok(context.groups().count(&room).await?)
    }

    async fn leave(self: Arc<Self>, context: CallContext, room: String) -> Result<(), HubError> {
        context.leave_group(&room).await?;
        let rest = context.clients().group(&room);
        rest.send("Left", (&room, name(&context))).await?;
        Ok(())
    }

    async fn say(
        self: Arc<Self>,
        context: CallContext,
        room: String,
        text: String,
    ) -> Result<(), SendError> {
        let everybody = context.clients().group(&room);
        everybody.send("Said", (&room, name(&context), text)).await
    }

    /// A user may have many connections; all of them hear it.
    async fn whisper(
        self: Arc<Self>,
        context: CallContext,
        user: String,
        text: String,
    ) -> Result<(), SendError> {
        let user = context.clients().user(&user);
        user.send("Whispered", (name(&context), text)).await
    }

    async fn count(
        self: Arc<Self>,
        context: CallContext,
        room: String,
    ) -> Result<usize, GroupError> {
        context.groups().count(&room).await
    }
}

impl Hub for Rooms {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Join", Self::join);
        methods.on("Leave", Self::leave);
        methods.on("Say", Self::say);
        methods.on("Whisper", Self::whisper);
        methods.on("Count", Self::count);
    }

    /// Who leaves is still in its groups here, and in none afterwards.
    async fn on_disconnected(&self, context: &CallContext, _reason: &DisconnectReason) {
        let rooms = context.groups().of(context.connection_id()).await;
        for room in rooms.unwrap_or_default() {
            let others = context.others_in_group(&room);
            let _ = others.send("Left", (&room, name(context))).await;
        }
    }
}

fn name(context: &CallContext) -> String {
    context.user_id().unwrap_or_default()
}

async fn authorize(request: HubRequest) -> Result<Option<User>, StatusCode> {
    let name = request.parameter("user").ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(Some(User::new(&name)))
}

pub(crate) fn app() -> Result<Router, BuildError> {
    let hub = HubServer::builder(Rooms).authorize(authorize).build()?;
    Ok(Router::new().merge(hub.router("/rooms")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:5000").await?;
    eprintln!("http://{}/rooms?user=ann", listener.local_addr()?);
    serve(listener, app()?).await?;
    Ok(())
}
