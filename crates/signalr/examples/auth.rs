//! Who may connect, and who may call what: `cargo run -p signalr --example auth`, then, with the program `signalr`,
//! `signalr invoke http://127.0.0.1:5000/office WhoAmI --token ann`.
//!
//! `ann` and `bob` are tokens here; a real application checks a signature instead, of a JSON Web Token for example.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Response, StatusCode, header};
use signalr::server::{
    BuildError, CallContext, Denial, Hub, HubError, HubMethods, HubRequest, HubServer, User, serve,
};
use tokio::net::TcpListener;

/// What a token says, beside the user's name.
struct Claims {
    role: &'static str,
}

/// Asked for every request, WebSockets included.
async fn authorize(request: HubRequest) -> Result<Option<User>, Denial> {
    let token = request.bearer_token().unwrap_or_default();
    let role = match token.as_str() {
        "ann" => "editor",
        "bob" => "reader",
        _ => return Err(denied()),
    };
    let user = User::new(&token)
        .with_claims(Claims { role })
        .expires_after(Duration::from_secs(3600));
    Ok(Some(user))
}

/// A whole response; a bare `StatusCode` would do, too.
fn denied() -> Denial {
    let mut response = Response::new("who are you?");
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let challenge = header::HeaderValue::from_static(r#"Bearer realm="office""#);
    let headers = response.headers_mut();
    headers.insert(header::WWW_AUTHENTICATE, challenge);
    response.into()
}

fn is_editor(context: &CallContext) -> bool {
    let user = context.user();
    user.is_some_and(|user| {
        user.claims()
            .is_some_and(|claims: &Claims| claims.role == "editor")
    })
}

struct Office;

impl Office {
    async fn who_am_i(self: Arc<Self>, context: CallContext) -> Option<String> {
        context.user_id()
    }

    async fn publish(self: Arc<Self>, context: CallContext, text: String) -> Result<(), HubError> {
        context.clients().all().send("Published", (text,)).await?;
        Ok(())
    }
}

impl Hub for Office {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("WhoAmI", Self::who_am_i);
        methods.on("Publish", Self::publish).require(is_editor);
    }
}

pub(crate) fn app() -> Result<Router, BuildError> {
    let hub = HubServer::builder(Office)
        .authorize(authorize)
        .configure(|options| options.endpoint.close_on_authentication_expiration = true)
        .build()?;
    Ok(Router::new().merge(hub.router("/office")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:5000").await?;
    eprintln!("http://{}/office", listener.local_addr()?);
    serve(listener, app()?).await?;
    Ok(())
}
