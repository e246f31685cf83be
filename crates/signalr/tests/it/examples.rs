//! The examples run: those that serve a hub are called by real clients, the others play themselves.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use signalr::{Arguments, FromArguments, HubConnection};
use signalr_testkit::Network;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Includes the examples as they are. What their `main` does beyond this is to bind a port.
macro_rules! examples {
    ($($name:ident: $path:literal;)+) => {$(
        #[allow(dead_code, reason = "of some, all but `main` is used here")]
        #[path = $path]
        pub(crate) mod $name;
    )+

        const NAMES: &[&str] = &[$(stringify!($name)),+];
    };
}

examples! {
    auth: "../../examples/auth.rs";
    bare_hyper: "../../examples/bare_hyper.rs";
    broadcast: "../../examples/broadcast.rs";
    chat: "../../examples/chat.rs";
    client: "../../examples/client.rs";
    current_thread: "../../examples/current_thread.rs";
    dashboard: "../../examples/dashboard.rs";
    dashboard_hub: "../../examples/dashboard_hub.rs";
    dashboard_smol: "../../examples/dashboard_smol.rs";
    filter: "../../examples/filter.rs";
    game_loop: "../../examples/game_loop.rs";
    groups: "../../examples/groups.rs";
    local_set: "../../examples/local_set.rs";
    plain_thread: "../../examples/plain_thread.rs";
    reconnect: "../../examples/reconnect.rs";
    streaming: "../../examples/streaming.rs";
}

/// Run their own tests.
const TESTED_THEMSELVES: &[&str] = &["client_test", "hub_test"];

/// How long one example may take.
const PATIENCE: Duration = Duration::from_secs(20);

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(signalr::server::serve(listener, app).into_future());
    format!("http://{address}")
}

fn client_of(url: &str, token: Option<&str>) -> HubConnection {
    let builder = HubConnection::builder(url);
    let builder = match token {
        Some(token) => builder.token(token),
        None => builder,
    };
    builder.build().unwrap()
}

async fn connect(url: &str) -> HubConnection {
    let connection = client_of(url, None);
    connection.start().await.unwrap();
    connection
}

/// What the hub tells this client under that name.
fn ear<A: FromArguments + Send + 'static>(
    connection: &HubConnection,
    target: &str,
) -> UnboundedReceiver<A> {
    let (mouth, ear) = unbounded_channel();
    connection.on(target, move |arguments: Arguments| {
        drop(arguments.decode().map(|heard| mouth.send(heard)));
    });
    ear
}

async fn request(url: &str, method: &str, path: &str) -> String {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// A program with a runtime of its own must end by itself, and well.
fn ends_well(program: fn() -> Result<(), Box<dyn Error>>) {
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(program().map_err(|error| error.to_string())));
    let outcome = ended.recv_timeout(PATIENCE).expect("it hung or panicked");
    assert_eq!(outcome, Ok(()));
}

#[tokio::test]
async fn auth_lets_in_who_has_a_token_and_lets_editors_publish() {
    within(async {
        let url = serve(auth::app().unwrap()).await;
        let refusal = request(&url, "POST", "/office/negotiate").await;
        assert!(refusal.starts_with("HTTP/1.0 401"), "{refusal}");
        assert!(refusal.contains("Bearer realm=\"office\""), "{refusal}");
        let url = format!("{url}/office");
        assert!(client_of(&url, Some("eve")).start().await.is_err());

        let [ann, bob] = ["ann", "bob"].map(|token| client_of(&url, Some(token)));
        ann.start().await.unwrap();
        bob.start().await.unwrap();
        let mut news = ear::<(String,)>(&bob, "Published");
        assert_eq!(bob.invoke::<String>("WhoAmI", ()).await.unwrap(), "bob");
        let error = bob.invoke::<()>("Publish", ("x",)).await.unwrap_err();
        let error = error.to_string();
        assert!(error.contains("user is unauthorized"), "{error}");
        ann.invoke::<()>("Publish", ("hello",)).await.unwrap();
        assert_eq!(news.recv().await.unwrap().0, "hello");
    })
    .await;
}

#[tokio::test]
async fn bare_hyper_serves_its_hub_and_nothing_else() {
    within(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(bare_hyper::run(listener));
        let answer = request(&url, "GET", "/calculus").await;
        assert!(answer.starts_with("HTTP/1.0 404"), "{answer}");
        let client = connect(&format!("{url}/calc")).await;
        assert_eq!(client.invoke::<i32>("Add", (1, 2)).await.unwrap(), 3);
        client.stop().await;
    })
    .await;
}

#[tokio::test]
async fn broadcast_tells_prices_and_halts() {
    within(async {
        let url = serve(broadcast::app().unwrap()).await;
        let client = client_of(&format!("{url}/prices"), None);
        let mut prices = ear::<(String, u32)>(&client, "Price");
        let mut halts = ear::<()>(&client, "Halted");
        client.start().await.unwrap();
        assert_eq!(prices.recv().await.unwrap().0, "ACME");
        let answer = request(&url, "POST", "/halt").await;
        assert!(answer.ends_with("1 clients were told\n"), "{answer}");
        halts.recv().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn chat_has_a_page_and_passes_on_what_the_client_says() {
    within(async {
        let (_, app) = chat::app(None).unwrap();
        let url = serve(app).await;
        let page = request(&url, "GET", "/").await;
        assert!(page.contains("withUrl(\"/chat\")"), "{page}");
        // It is there where somebody has installed it.
        let script = request(&url, "GET", "/signalr.js").await;
        assert!(
            script.contains("text/javascript") || script.contains("there is no node_modules"),
            "{script}"
        );
        let url = format!("{url}/chat");
        let watcher = client_of(&url, None);
        let mut heard = ear::<(String, String)>(&watcher, "Receive");
        watcher.start().await.unwrap();
        client::chat(&url, "me", &b"hello\nthere\n"[..])
            .await
            .unwrap();
        let mut all = Vec::new();
        while all.last().is_none_or(|line| line != "chat: somebody left") {
            let (user, text) = heard.recv().await.unwrap();
            all.push(format!("{user}: {text}"));
        }
        assert_eq!(
            all,
            [
                "chat: somebody came",
                "me: hello",
                "me: there",
                "chat: somebody left"
            ]
        );
        let error = watcher.invoke::<()>("Send", ("me", " ")).await.unwrap_err();
        let error = error.to_string();
        assert!(error.contains("there is nothing to say"), "{error}");
    })
    .await;
}

/// The chat's hub for clients of all kinds.
async fn chat_hub() -> String {
    serve(chat::app(None).unwrap().1).await + "/chat"
}

#[tokio::test]
async fn current_thread_and_local_set_hear_what_they_say() {
    within(async {
        let url = chat_hub().await;
        let lines = current_thread::play(&url).await.unwrap();
        assert_eq!(lines.last().unwrap(), "single: hello");
        let lines = local_set::play(&url).await.unwrap();
        assert_eq!(lines.last().unwrap(), "local: hello");
    })
    .await;
}

#[tokio::test]
async fn threads_without_a_runtime_hear_what_they_say() {
    within(async {
        let url = chat_hub().await;
        let (at, there) = (url.clone(), url);
        let plain = move || plain_thread::play(&at).map_err(|error| error.to_string());
        let lines = tokio::task::spawn_blocking(plain).await.unwrap().unwrap();
        assert_eq!(lines.last().unwrap(), "plain: hello");
        let game = move || game_loop::play(&there).map_err(|error| error.to_string());
        let frames = tokio::task::spawn_blocking(game).await.unwrap().unwrap();
        assert!(frames > 0, "it waited within a frame");
    })
    .await;
}

#[tokio::test]
async fn dashboards_on_both_runtimes_show_the_last_reading_of_each_room() {
    within(async {
        let url = serve(dashboard_hub::app().unwrap()).await + "/dashboard";
        let expected = [
            "kitchen: 2 readings, 20.5 °C on average",
            "cellar: 2 readings, 8.5 °C on average",
            "cellar: 9 °C, 40 %",
            "kitchen: 21.5 °C, 40 %",
        ];
        assert_eq!(dashboard::watch(&url).await.unwrap(), expected);
        assert_eq!(dashboard_smol::watch(&url).await.unwrap(), expected);
    })
    .await;
}

#[tokio::test]
async fn filter_tidies_limits_and_turns_robots_away() {
    within(async {
        let url = serve(filter::app().unwrap()).await + "/guestbook";
        let guest = connect(&url).await;
        let thanks: String = guest.invoke("Sign", ("  hello ",)).await.unwrap();
        assert_eq!(thanks, "thank you for 'hello'");
        let error = guest.invoke::<()>("Sign", (" ",)).await.unwrap_err();
        assert!(error.to_string().contains("write something"), "{error}");
        let mut refused = 0;
        for _ in 0..10 {
            let answer = guest.invoke::<String>("Sign", ("again",)).await;
            refused += usize::from(
                answer.is_err_and(|error| error.to_string().contains("Too many calls")),
            );
        }
        assert!(refused >= 5, "{refused} were refused");

        let robot = client_of(&format!("{url}?robot=yes"), None);
        let (gone, mut farewell) = unbounded_channel();
        robot.on_close(move |reason| drop(gone.send(format!("{reason:?}"))));
        robot.start().await.unwrap();
        let reason = farewell.recv().await.unwrap();
        assert!(reason.contains("no robots"), "{reason}");
    })
    .await;
}

#[tokio::test]
async fn groups_tell_who_came_and_left_and_whisper_to_one_user() {
    within(async {
        let url = serve(groups::app().unwrap()).await + "/rooms?user=";
        assert!(
            client_of(url.trim_end_matches("?user="), None)
                .start()
                .await
                .is_err()
        );
        let ann = connect(&format!("{url}ann")).await;
        let bob = connect(&format!("{url}bob")).await;
        let mut came = ear::<(String, String)>(&ann, "Came");
        let mut left = ear::<(String, String)>(&ann, "Left");
        let mut said = ear::<(String, String, String)>(&ann, "Said");
        let mut whispered = ear::<(String, String)>(&ann, "Whispered");
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());

        assert_eq!(ann.invoke::<usize>("Join", ("red",)).await.unwrap(), 1);
        assert_eq!(bob.invoke::<usize>("Join", ("red",)).await.unwrap(), 2);
        assert_eq!(came.recv().await.unwrap(), pair("red", "bob"));
        bob.invoke::<()>("Say", ("red", "hi")).await.unwrap();
        assert_eq!(said.recv().await.unwrap().2, "hi");
        bob.invoke::<()>("Whisper", ("ann", "psst")).await.unwrap();
        assert_eq!(whispered.recv().await.unwrap(), pair("bob", "psst"));
        bob.stop().await;
        assert_eq!(left.recv().await.unwrap(), pair("red", "bob"));
        ann.invoke::<()>("Leave", ("red",)).await.unwrap();
        assert_eq!(ann.invoke::<usize>("Count", ("red",)).await.unwrap(), 0);
    })
    .await;
}

#[test]
fn streaming_plays_itself() {
    ends_well(streaming::main);
}

#[test]
fn reconnect_plays_itself() {
    ends_well(reconnect::main);
}

/// Without a network, and without waiting for its reconnects.
#[tokio::test(start_paused = true)]
async fn reconnect_plays_in_memory_as_well() {
    let hub = reconnect::hub().unwrap();
    let network = Network::to(&hub);
    let client = network.build(reconnect::client("http://test/clock"));
    network.refuse(2);
    reconnect::play(&client, &hub).await.unwrap();
    // Two attempts were refused, and the hub has ended one connection.
    assert_eq!(network.attempts(), 4);
}

#[test]
fn every_example_is_short_says_how_to_run_it_and_is_run_here() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        found += 1;
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            [NAMES, TESTED_THEMSELVES].concat().contains(&name),
            "{name}"
        );
        assert!(text.lines().count() <= 120, "{name} is long");
        let head: String = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        assert!(head.contains(&format!("--example {name}")), "{name}");
    }
    assert_eq!(found, NAMES.len() + TESTED_THEMSELVES.len());
}
