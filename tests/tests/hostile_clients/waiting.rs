//! Crowds that only wait: negotiations that nobody comes back for, polls that are held.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};

use crate::raw::{Answer, HANDSHAKE, Http, Offer, Socket, call, head, offer, reset, soon};
use crate::server::{Kind, MIB, Margin, Server, Watch};

/// How long a negotiation waits for its client.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Requests written at once on one connection.
const AT_ONCE: usize = 250;

/// So many negotiations on each of four connections, written in batches.
async fn negotiations(server: &Server, count: usize) -> Vec<Answer> {
    const CONNECTIONS: usize = 4;
    let each = join_all((0..CONNECTIONS).map(|_| async {
        let mut http = Http::open(server).await;
        let mut answers = Vec::new();
        let request = head("POST", "/hub/negotiate?negotiateVersion=1", "", Some(0));
        while answers.len() < count / CONNECTIONS {
            http.write(request.repeat(AT_ONCE)).await.unwrap();
            for _ in 0..AT_ONCE {
                answers.push(soon("an answer", http.answer()).await.unwrap());
            }
        }
        answers
    }));
    each.await.into_iter().flatten().collect()
}

pub async fn negotiations_without_a_client_lapse() {
    const COUNT: usize = 10_000;
    let server = Server::start().await;
    let watch = Watch::begin(&server, "10,000 negotiations that nobody comes back for");
    let answers = negotiations(&server, COUNT).await;
    let offers: Vec<Offer> = answers.iter().map(offer).collect();
    // A kibibyte each, and what their connections need.
    watch.bounded(16 * MIB, Duration::from_secs(15));

    // While they wait, their tokens are good.
    let target = |offer: &Offer| format!("/hub?id={}", offer.token);
    let mut socket = Socket::open(&server, &target(&offers[0]), "")
        .await
        .unwrap();
    socket.shake().await;
    socket.works().await;

    tokio::time::sleep(DISCONNECT_TIMEOUT + Duration::from_secs(2)).await;
    let mut http = Http::open(&server).await;
    for lapsed in offers.iter().skip(1).step_by(500) {
        let answer = http.get(&target(lapsed)).await;
        assert_eq!(
            (answer.status, &*answer.text()),
            (404, "No Connection with that ID")
        );
    }
    socket.works().await;
    socket.reset();
    drop(http);
    watch.returns(Margin::default()).await;
}

/// Nobody can fill the server's memory with them.
pub async fn negotiations_without_end_are_refused() {
    const BOUND: usize = 65_536;
    let server = Server::start().await;
    if server.official_differs("any number of negotiations may wait") {
        return;
    }
    let watch = Watch::begin(&server, "70,000 negotiations within a moment");
    let begin = Instant::now();
    let answers = negotiations(&server, 70_000).await;
    if begin.elapsed() > DISCONNECT_TIMEOUT {
        eprintln!("the machine is too slow for the bound of negotiations to be seen");
        return;
    }
    let accepted = answers.iter().filter(|answer| answer.status == 200).count();
    let refused = answers.iter().filter(|answer| answer.status == 503).count();
    assert_eq!((accepted, refused), (BOUND, 70_000 - BOUND));
    watch.bounded(64 * MIB, DISCONNECT_TIMEOUT);
    tokio::time::sleep(DISCONNECT_TIMEOUT).await;
    let mut http = Http::open(&server).await;
    http.negotiate("/hub").await;
    drop(http);
    // Of so many small pieces, the allocator keeps some pages that are not empty.
    watch
        .returns(Margin {
            memory: 32 * MIB,
            ..Margin::default()
        })
        .await;
}

/// A client of long polling whose poll is held.
async fn polling(server: &Server) -> (Http, Offer) {
    let mut http = Http::open(server).await;
    let offer = http.negotiate("/hub").await;
    let target = format!("/hub?id={}", offer.token);
    assert_eq!(http.get(&target).await.status, 200);
    http.send("GET", &target, "", b"").await;
    (http, offer)
}

pub async fn held_polls_cost_little() {
    let server = Server::start().await;
    crowd_of_polls(&server).await;
    // An allocator keeps what it may need again, in pieces that do not fit the next time as well: each round adds a third of what the
    // round before added. A leak would add the same.
    let before = server.usage();
    crowd_of_polls(&server).await;
    let margin = Margin {
        memory: 32 * MIB,
        ..Margin::default()
    };
    if server.kind == Kind::Own {
        server.returns_to(before, margin).await;
    }
}

async fn crowd_of_polls(server: &Server) {
    const COUNT: usize = 3_000;
    let watch = Watch::begin(server, "3,000 held polls");
    let polls: Vec<_> = stream::iter(0..COUNT)
        .map(|_| polling(server))
        .buffer_unordered(100)
        .collect()
        .await;
    // About 30 KiB each, HTTP connection included, and room for the moments in which they come.
    watch.bounded(128 * MIB, Duration::from_secs(20));

    let begin = Instant::now();
    let mut socket = Socket::connect(server, "/hub").await;
    socket.works().await;
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
    socket.reset();

    let target = format!("/hub?id={}", polls[0].1.token);
    for (http, _) in polls {
        reset(http.stream);
    }
    tokio::time::sleep(DISCONNECT_TIMEOUT + Duration::from_secs(3)).await;
    let answer = Http::open(server).await.get(&target).await;
    assert_eq!(
        answer.status, 404,
        "a client without polls is not forgotten"
    );
}

/// Each of many polls on one connection ends the one before it, and the last brings what there is.
pub async fn of_many_polls_the_newest_wins() {
    const COUNT: usize = 1_000;
    let server = Server::start().await;
    if server.official_differs("it answers 409 while one poll is about to end another") {
        return;
    }
    let watch = Watch::begin(&server, "1,000 polls of one connection");
    let mut http = Http::open(&server).await;
    let target = format!("/hub?id={}", http.negotiate("/hub").await.token);
    let shake = format!("{HANDSHAKE}\u{1e}");
    let mut poll = Http::open(&server).await;
    assert_eq!(poll.get(&target).await.status, 200);
    assert_eq!(http.post(&target, shake.as_bytes()).await.status, 200);
    assert_eq!(poll.get(&target).await.text(), "{}\u{1e}");
    poll.send("GET", &target, "", b"").await;
    for _ in 0..COUNT {
        // Which of two comes first is only known of one that was held for a moment.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let mut newer = Http::open(&server).await;
        newer.send("GET", &target, "", b"").await;
        let answer = soon("the older poll", poll.answer()).await.unwrap();
        assert_eq!(answer.status, 204, "{answer:?}");
        poll = newer;
    }
    let add = format!("{}\u{1e}", call("1", "Add", "1,2"));
    assert_eq!(http.post(&target, add.as_bytes()).await.status, 200);
    let answer = soon("the last poll", poll.answer()).await.unwrap();
    let expected = "{\"type\":3,\"invocationId\":\"1\",\"result\":3}\u{1e}";
    assert_eq!((answer.status, &*answer.text()), (200, expected));
    let gone = Http::open(&server)
        .await
        .ask("DELETE", &target, "", b"")
        .await;
    assert_eq!(gone.status, 202);
    drop((http, poll));
    watch.bounded(8 * MIB, Duration::from_secs(10));
    watch.returns(Margin::default()).await;
}

/// Posts of one connection beyond what may wait.
pub async fn held_posts_are_bounded() {
    const COUNT: usize = 300;
    let server = Server::start().await;
    if server.official_differs("any number of requests may wait for one connection") {
        return;
    }
    let watch = Watch::begin(
        &server,
        "300 posts of 60 kB to a connection that reads nothing",
    );
    let (poll, offer) = polling(&server).await;
    let target = format!("/hub?id={}", offer.token);
    let slow = format!(
        "{{\"protocol\":\"json\",\"version\":1}}\x1e{}\x1e{}\x1e",
        call("1", "Slow", "8000,\"a\""),
        call("2", "Slow", "0,\"b\"")
    );
    assert_eq!(
        Http::open(&server)
            .await
            .post(&target, slow.as_bytes())
            .await
            .status,
        200
    );
    let body = format!(
        "{}\x1e",
        call("", "EchoText", &format!("\"{}\"", "a".repeat(30_000)))
    );
    let body = body.repeat(2).into_bytes();
    let answers = join_all((0..COUNT).map(|_| async {
        let mut http = Http::open(&server).await;
        http.send("POST", &target, "", &body).await;
        let answer = soon("an answer", http.answer()).await;
        answer.unwrap().status
    }));
    let answers = answers.await;
    let count = |status: u16| answers.iter().filter(|answer| **answer == status).count();
    eprintln!("  {} of {COUNT} taken, {} refused", count(200), count(429));
    assert!(count(200) >= 64 && count(429) > 0 && count(200) + count(429) == COUNT);
    watch.bounded(24 * MIB, Duration::from_secs(20));
    reset(poll.stream);
    Http::open(&server)
        .await
        .ask("DELETE", &target, "", b"")
        .await;
    watch.returns(Margin::default()).await;
}
