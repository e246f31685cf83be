//! Newer tokens for connections that live on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use signalr_harness::log::Log;
use signalr_harness::memory::{self, MemoryClient};
use signalr_server::testing::TestClient;
use signalr_server::{
    CallContext, DisconnectReason, Hub, HubMethods, HubOptions, HubRequest, HubServer,
    HubServerBuilder, User,
};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::Level;

use crate::support::requests::HttpClient;
use crate::support::{SECOND, empty, soon};

/// The version of a token: `alice/3` is Alice's third.
struct Version(u32);

#[derive(Clone, Default)]
struct Club {
    reasons: Arc<Mutex<Vec<String>>>,
}

impl Hub for Club {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Version", async |_: Arc<Self>, context: CallContext| {
            version(&context)
        });
    }

    async fn on_disconnected(&self, _: &CallContext, reason: &DisconnectReason) {
        self.reasons.lock().unwrap().push(reason.to_string());
    }
}

fn version(context: &CallContext) -> Option<u32> {
    let user = context.user()?;
    user.claims::<Version>().map(|version| version.0)
}

/// The first token is valid for a minute from the beginning, each newer one for ten seconds more.
fn authorize(begun: Instant, request: &HubRequest) -> Result<Option<User>, StatusCode> {
    let Some(token) = request.bearer_token() else {
        return Ok(None);
    };
    let (name, version) = token.split_once('/').ok_or(StatusCode::UNAUTHORIZED)?;
    let version: u32 = version.parse().map_err(|_| StatusCode::UNAUTHORIZED)?;
    let end = begun + Duration::from_secs(60 + u64::from(version) * 10);
    let left = end.duration_since(Instant::now());
    if left.is_zero() {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let user = User::new(name).with_claims(Version(version));
    Ok(Some(user.expires_after(left)))
}

fn builder(hub: Club) -> HubServerBuilder<Club> {
    let begun = Instant::now();
    HubServer::builder(hub)
        .authorize(move |request: HubRequest| async move { authorize(begun, &request) })
}

fn refreshing(options: &mut HubOptions) {
    options.endpoint.authentication_refresh = true;
    options.endpoint.close_on_authentication_expiration = true;
}

fn club() -> (Club, HubServer) {
    let hub = Club::default();
    let server = builder(hub.clone()).configure(refreshing);
    (hub, server.build().unwrap())
}

const VERSION: &str =
    "{\"type\":1,\"invocationId\":\"1\",\"target\":\"Version\",\"arguments\":[]}\u{1e}";

fn answer(version: u32) -> String {
    format!("{{\"type\":3,\"invocationId\":\"1\",\"result\":{version}}}\u{1e}")
}

#[tokio::test(start_paused = true)]
async fn negotiation_tells_how_long_a_token_lasts() {
    let (_, server) = club();
    let offer = memory::negotiate(&server, "access_token=alice/1").await;
    let offer: serde_json::Value = serde_json::from_slice(&offer.unwrap()).unwrap();
    assert_eq!(offer.get("tokenLifetimeSeconds").unwrap(), 70);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_makes_the_newer_token_count() {
    let (hub, server) = club();
    let client = HttpClient::new_as(&server, "alice/1").await;
    let mut events = client.start_events().await;
    client.say(VERSION).await;
    assert_eq!(events.message().await, Some(answer(1)));
    let silence = tokio::time::timeout(50 * SECOND, events.message());
    assert!(silence.await.is_err());
    let newer = client.with("alice/2");
    let refreshed = newer.refresh().await;
    assert_eq!(refreshed.status(), StatusCode::OK);
    assert_eq!(refreshed.body(), "{\"tokenLifetimeSeconds\":30}");
    newer.say(VERSION).await;
    assert_eq!(events.message().await, Some(answer(2)));
    let begun = Instant::now();
    let close = "{\"type\":7,\"allowReconnect\":true}\u{1e}";
    assert_eq!(events.message().await.as_deref(), Some(close));
    assert_eq!(begun.elapsed().as_secs(), 30);
    assert_eq!(events.message().await, None);
    empty(&server).await;
    assert_eq!(
        *hub.reasons.lock().unwrap(),
        ["the client's authentication expired"]
    );
}

#[tokio::test(start_paused = true)]
async fn polls_with_a_newer_token_refresh_by_themselves() {
    let (_, server) = club();
    let mut client = HttpClient::new_as(&server, "alice/1").await;
    client.start_polling().await;
    for version in 2..10 {
        // The old token would expire meanwhile.
        tokio::time::sleep(10 * SECOND).await;
        client = client.with(&format!("alice/{version}"));
        client.say(VERSION).await;
        assert_eq!(client.messages().await, answer(version - 1));
        let polling = client.clone();
        let polling = tokio::spawn(async move { polling.messages().await });
        tokio::time::sleep(SECOND).await;
        client.say(VERSION).await;
        assert_eq!(soon(polling).await.unwrap(), answer(version));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_token_whichever_its_transport() {
    let (_, server) = club();
    let mut client = TestClient::connect_as(&server, "alice/0").await.unwrap();
    let begun = Instant::now();
    while client.invoke::<Option<u32>>("Version", ()).await == Ok(Some(0)) {
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(begun.elapsed().as_secs(), 60);
    empty(&server).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_takes_over_by_a_refresh() {
    let (_, server) = club();
    let client = HttpClient::new_as(&server, "alice/1").await;
    let mut events = client.start_events().await;
    for (token, status, code) in [
        ("eve/9", 403, "permission_change_rejected"),
        ("alice", 401, ""),
    ] {
        let refused = client.with(token).refresh().await;
        assert_eq!(refused.status().as_u16(), status);
        let body = if code.is_empty() {
            String::new()
        } else {
            format!("{{\"error\":\"{code}\"}}")
        };
        assert_eq!(refused.body(), body.as_bytes());
    }
    client.say(VERSION).await;
    assert_eq!(events.message().await, Some(answer(1)));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_refreshed_is_refused_in_the_official_words() {
    let (_, server) = club();
    let mut stranger = HttpClient::new_as(&server, "alice/1").await;
    stranger.token = "nobody".to_owned();
    let refused = stranger.refresh().await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    assert_eq!(refused.body(), "{\"error\":\"connection_not_found\"}");
    let plain = builder(Club::default()).build().unwrap();
    let client = HttpClient::new_as(&plain, "alice/1").await;
    let refused = client.refresh().await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    assert_eq!(refused.body(), "{\"error\":\"refresh_disabled\"}");
}

/// A club whose callback looks at the newcomer's version: odd ones are welcome, and each waits at the gate.
fn guarded(change: impl FnOnce(&mut HubOptions)) -> (Arc<Semaphore>, Club, HubServer) {
    let (gate, hub) = (Arc::new(Semaphore::new(0)), Club::default());
    let door = Arc::clone(&gate);
    let server = builder(hub.clone())
        .configure(refreshing)
        .configure(change)
        .on_authentication_refresh(move |context, user| {
            let gate = Arc::clone(&door);
            let old = version(&context);
            async move {
                let user = user.unwrap();
                let version = user.claims::<Version>().unwrap().0;
                assert!(old.is_some() && version != 13, "a mistake");
                gate.acquire().await.unwrap().forget();
                version % 2 == 1
            }
        });
    (gate, hub, server.build().unwrap())
}

#[tokio::test(start_paused = true)]
async fn the_application_decides_about_newer_tokens() {
    let (gate, _, server) = guarded(|_| {});
    gate.add_permits(10);
    let client = HttpClient::new_as(&server, "alice/1").await;
    let mut events = client.start_events().await;
    let rejected = client.with("alice/2").refresh().await;
    assert_eq!(rejected.status(), StatusCode::FORBIDDEN);
    let code = "{\"error\":\"permission_change_rejected\"}";
    assert_eq!(rejected.body(), code);
    client.say(VERSION).await;
    assert_eq!(events.message().await, Some(answer(1)));
    let accepted = client.with("alice/3").refresh().await;
    assert_eq!(accepted.status(), StatusCode::OK);
    client.say(VERSION).await;
    assert_eq!(events.message().await, Some(answer(3)));
}

#[tokio::test(start_paused = true)]
async fn a_poll_whose_newer_token_is_rejected_ends_the_connection() {
    let (gate, hub, server) = guarded(|_| {});
    gate.add_permits(10);
    let client = HttpClient::new_as(&server, "alice/1").await;
    client.start_polling().await;
    let rejected = client.with("alice/2").poll().await;
    assert_eq!(rejected.status(), StatusCode::FORBIDDEN);
    empty(&server).await;
    assert_eq!(
        *hub.reasons.lock().unwrap(),
        ["the client's new authentication was rejected"]
    );
}

#[tokio::test(start_paused = true)]
async fn calls_go_on_while_the_application_decides() {
    let (gate, _, server) = guarded(|_| {});
    let client = HttpClient::new_as(&server, "alice/1").await;
    let mut events = client.start_events().await;
    let newer = client.with("alice/3");
    let refreshing = tokio::spawn(async move { newer.refresh().await });
    tokio::time::sleep(SECOND).await;
    client.say(VERSION).await;
    assert_eq!(events.message().await, Some(answer(1)));
    gate.add_permits(1);
    assert_eq!(soon(refreshing).await.unwrap().status(), StatusCode::OK);
    client.say(VERSION).await;
    assert_eq!(events.message().await, Some(answer(3)));
}

#[tokio::test(start_paused = true)]
async fn each_newer_token_is_decided_about_and_the_newest_that_is_accepted_counts() {
    let (gate, _, server) = guarded(|_| {});
    let client = HttpClient::new_as(&server, "alice/1").await;
    let mut events = client.start_events().await;
    let mut refreshing = Vec::new();
    for version in 2..=6 {
        let newer = client.with(&format!("alice/{version}"));
        refreshing.push(tokio::spawn(async move { newer.refresh().await }));
        tokio::time::sleep(SECOND).await;
    }
    gate.add_permits(5);
    let mut statuses = Vec::new();
    for refreshing in refreshing {
        statuses.push(soon(refreshing).await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [403, 200, 403, 200, 403]);
    client.say(VERSION).await;
    assert_eq!(events.message().await, Some(answer(5)));
}

#[tokio::test(start_paused = true)]
async fn a_poll_with_the_old_token_changes_nothing_about_who_is_accepted() {
    let (gate, _, server) = guarded(|_| {});
    let client = HttpClient::new_as(&server, "alice/1").await;
    client.start_polling().await;
    let newer = client.with("alice/3");
    let refreshing = tokio::spawn(async move { newer.refresh().await });
    tokio::time::sleep(SECOND).await;
    let old = client.clone();
    let polling = tokio::spawn(async move { old.messages().await });
    tokio::time::sleep(SECOND).await;
    gate.add_permits(1);
    assert_eq!(soon(refreshing).await.unwrap().status(), StatusCode::OK);
    client.with("alice/3").say(VERSION).await;
    assert_eq!(soon(polling).await.unwrap(), answer(3));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_decision_rejects_and_harms_nothing_else() {
    let log = Log::begin(Level::ERROR);
    let (gate, _, server) = guarded(|_| {});
    gate.add_permits(10);
    let client = HttpClient::new_as(&server, "alice/1").await;
    let mut events = client.start_events().await;
    let rejected = client.with("alice/13").refresh().await;
    assert_eq!(rejected.status(), StatusCode::FORBIDDEN);
    let told = "a newer token could not be judged";
    assert!(log.text().contains(told), "{}", log.text());
    client.say(VERSION).await;
    assert_eq!(events.message().await, Some(answer(1)));
}

#[tokio::test(start_paused = true)]
async fn a_token_does_not_count_for_longer_than_the_hub_allows() {
    let server = builder(Club::default())
        .configure(refreshing)
        .configure(|options| {
            options.endpoint.maximum_authentication_expiration = Some(30 * SECOND);
        })
        .build()
        .unwrap();
    let client = HttpClient::new_as(&server, "alice/1").await;
    let mut events = client.start_events().await;
    let begun = Instant::now();
    let close = "{\"type\":7,\"allowReconnect\":true}\u{1e}";
    assert_eq!(events.message().await.as_deref(), Some(close));
    assert_eq!(begun.elapsed().as_secs(), 30);
}

/// Opens the WebSocket of a connection with stateful reconnect.
async fn web_socket(server: &HubServer, client: &HttpClient, token: &str) -> MemoryClient {
    let query = format!("id={}&access_token={token}", client.token);
    let opened = MemoryClient::attach(server, &query, client.id.clone()).await;
    opened.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_with_a_newer_token_is_decided_about() {
    for (token, accepted) in [("alice/3", true), ("alice/2", false)] {
        let (gate, hub, server) = guarded(|options| options.endpoint.stateful_reconnect = true);
        gate.add_permits(10);
        let client = HttpClient::new_with(&server, "alice/1", "useStatefulReconnect=true").await;
        let mut first = web_socket(&server, &client, "alice/1").await;
        first
            .send(b"{\"protocol\":\"json\",\"version\":2}\x1e")
            .await;
        assert_eq!(soon(first.record()).await.as_deref(), Some("{}"));
        server.cut(&client.id);
        assert_eq!(soon(first.message()).await, None);
        if accepted {
            let mut second = web_socket(&server, &client, token).await;
            let sequence = r#"{"type":9,"sequenceId":1}"#;
            assert_eq!(soon(second.message()).await.as_deref(), Some(sequence));
            second
                .send(format!("{sequence}\u{1e}{VERSION}").as_bytes())
                .await;
            let answer = answer(3);
            let answer = answer.strip_suffix('\u{1e}');
            assert_eq!(soon(second.message()).await.as_deref(), answer);
        } else {
            let query = format!("id={}&access_token={token}", client.token);
            let refused = MemoryClient::attach(&server, &query, String::new()).await;
            assert_eq!(refused.err(), Some(StatusCode::FORBIDDEN));
            empty(&server).await;
            let reason = "the client's new authentication was rejected";
            assert_eq!(*hub.reasons.lock().unwrap(), [reason]);
        }
    }
}
