//! Long polling and event streams through the service.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use signalr_harness::memory::{MemoryClient, ask};
use signalr_server::{Hub, HubMethods, HubRequest, HubServer, TransportKind};
use tokio::time::Instant;

use crate::support::requests::{HELLO, HttpClient};
use crate::support::{SECOND, Test, call, soon};

const ADD: &str =
    "{\"type\":1,\"invocationId\":\"1\",\"target\":\"Add\",\"arguments\":[1,2]}\u{1e}";
const SUM: &str = "{\"type\":3,\"invocationId\":\"1\",\"result\":3}\u{1e}";

fn check(headers: &HeaderMap, expected: &[(header::HeaderName, &str)]) {
    for (name, value) in expected {
        let value = HeaderValue::from_str(value).ok();
        assert_eq!(headers.get(name), value.as_ref(), "{name}");
    }
}

const NOT_CACHED: [(header::HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-cache, no-store"),
    (header::PRAGMA, "no-cache"),
    (header::EXPIRES, "Thu, 01 Jan 1970 00:00:00 GMT"),
];

#[tokio::test(start_paused = true)]
async fn a_client_polls_and_posts() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    let first = client.poll().await;
    assert_eq!((first.status(), first.body().len()), (StatusCode::OK, 0));
    check(first.headers(), &NOT_CACHED);
    let octets = [(header::CONTENT_TYPE, "application/octet-stream")];
    check(first.headers(), &octets);
    let posted = client.post(HELLO).await;
    assert_eq!((posted.status(), posted.body().len()), (StatusCode::OK, 0));
    check(posted.headers(), &[(header::CONTENT_TYPE, "text/plain")]);
    assert_eq!(client.messages().await, "{}\u{1e}");
    client.say(ADD).await;
    let answer = client.poll().await;
    assert_eq!(answer.body(), SUM);
    check(answer.headers(), &NOT_CACHED);
    check(answer.headers(), &octets);
    assert_eq!(test.notes(), ["connected"]);
}

/// `TR-64`, also where the answer is not the endpoint's.
#[tokio::test(start_paused = true)]
async fn polls_that_nobody_lets_in_forbid_caches_too() {
    let hub = HubServer::builder(Nothing)
        .limit_connections(1, |_, _| Some("everybody".to_owned()))
        .authorize(|request: HubRequest| async move {
            match request.bearer_token().as_deref() {
                Some("good") => Ok(None),
                _ => Err(StatusCode::UNAUTHORIZED),
            }
        })
        .build()
        .unwrap();
    let first = HttpClient::new_as(&hub, "good").await;
    first.start_polling().await;
    let second = HttpClient::new_as(&hub, "good").await;
    let late = HttpClient::new_as(&hub, "good").await;
    let refused = async |client: &HttpClient, status: StatusCode| {
        let poll = client.poll().await;
        assert_eq!(poll.status(), status);
        check(poll.headers(), &NOT_CACHED);
    };
    refused(&first.with("bad"), StatusCode::UNAUTHORIZED).await;
    refused(&second, StatusCode::TOO_MANY_REQUESTS).await;
    let other = second.with("bad").post("").await;
    assert_eq!(other.headers().get(header::CACHE_CONTROL), None);
    let waiting = first.clone();
    let waiting = tokio::spawn(async move { waiting.poll().await });
    tokio::time::sleep(SECOND).await;
    assert!(hub.cut(&first.id));
    let lost = soon(waiting).await.unwrap();
    assert_eq!(lost.status(), StatusCode::INTERNAL_SERVER_ERROR);
    check(lost.headers(), &NOT_CACHED);
    soon(hub.shutdown()).await;
    refused(&late, StatusCode::SERVICE_UNAVAILABLE).await;
}

struct Nothing;

impl Hub for Nothing {
    fn methods(_: &mut HubMethods<Self>) {}
}

/// `SB-6`.
#[tokio::test(start_paused = true)]
async fn the_hub_hears_nothing_of_a_client_whose_handshake_fails() {
    let test = Test::new(|_| {});
    for (handshake, answer) in [
        (
            "{\"protocol\":\"xml\",\"version\":1}\u{1e}",
            "not supported",
        ),
        (
            "{\"protocol\":\"json\",\"version\":3}\u{1e}",
            "not support version 3",
        ),
        ("hello\u{1e}", "An unexpected error occurred"),
        ("", "Handshake was canceled."),
    ] {
        let client = HttpClient::new(&test.server).await;
        assert_eq!(client.poll().await.status(), StatusCode::OK);
        if !handshake.is_empty() {
            client.post(handshake).await;
        }
        let said = client.messages().await;
        assert!(said.contains(answer), "{said}");
        assert_eq!(client.poll().await.status(), StatusCode::NO_CONTENT);
        let mut socket = MemoryClient::open(&test.server, "").await.unwrap();
        if !handshake.is_empty() {
            socket.send(handshake.as_bytes()).await;
        }
        let said = soon(socket.record()).await.unwrap();
        assert!(said.contains(answer), "{said}");
        soon(socket.gone()).await;
    }
    assert_eq!(test.notes(), [""; 0]);
    assert_eq!(test.count().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_poll_with_nothing_to_say_is_answered_after_ninety_seconds_and_polling_goes_on() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    client.start_polling().await;
    for _ in 0..3 {
        let begun = Instant::now();
        let empty = client.poll().await;
        assert_eq!(begun.elapsed().as_secs(), 90);
        assert_eq!((empty.status(), empty.body().len()), (StatusCode::OK, 0));
        check(empty.headers(), &NOT_CACHED);
    }
    client.say(ADD).await;
    assert_eq!(client.messages().await, SUM);
}

#[tokio::test(start_paused = true)]
async fn all_that_waits_is_the_answer_to_one_poll() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    client.start_polling().await;
    let target = test.server.clients().client(&client.id);
    for number in 0..3 {
        target.send("Hear", (number,)).await.unwrap();
    }
    let hear =
        |number| format!("{{\"type\":1,\"target\":\"Hear\",\"arguments\":[{number}]}}\u{1e}");
    assert_eq!(client.messages().await, hear(0) + &hear(1) + &hear(2));
}

#[tokio::test(start_paused = true)]
async fn a_newer_poll_takes_the_place_of_an_older_one() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    client.start_polling().await;
    let older = client.clone();
    let older = tokio::spawn(async move { older.poll().await });
    tokio::time::sleep(SECOND).await;
    let newer = client.clone();
    let newer = tokio::spawn(async move { newer.poll().await });
    let superseded = soon(older).await.unwrap();
    assert_eq!(superseded.status(), StatusCode::NO_CONTENT);
    check(superseded.headers(), &NOT_CACHED);
    client.say(ADD).await;
    assert_eq!(soon(newer).await.unwrap().body(), SUM);
}

#[tokio::test(start_paused = true)]
async fn delete_ends_a_connection_that_polls() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    client.start_polling().await;
    let waiting = client.clone();
    let waiting = tokio::spawn(async move { waiting.poll().await });
    tokio::time::sleep(SECOND).await;
    let deleted = client.delete().await;
    assert_eq!(deleted.status(), StatusCode::ACCEPTED);
    let last = soon(waiting).await.unwrap();
    assert_eq!(last.status(), StatusCode::NO_CONTENT);
    test.empty().await;
    assert_eq!(test.notes(), ["connected", "disconnected: the client left"]);
    for response in [
        client.poll().await,
        client.post(ADD).await,
        client.delete().await,
    ] {
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_polls_no_more_is_forgotten_after_the_disconnect_timeout() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    client.start_polling().await;
    let begun = Instant::now();
    test.empty().await;
    assert_eq!(begun.elapsed().as_secs(), 15);
    assert_eq!(
        test.notes().last().unwrap(),
        "disconnected: the client had no transport for 15s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_drops_its_poll_may_come_back_with_another() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    client.start_polling().await;
    for _ in 0..3 {
        let dropped = tokio::time::timeout(SECOND, client.poll()).await;
        assert!(dropped.is_err());
        tokio::time::sleep(10 * SECOND).await;
    }
    client.say(ADD).await;
    assert_eq!(client.messages().await, SUM);
    let dropped = tokio::time::timeout(SECOND, client.poll()).await;
    assert!(dropped.is_err());
    let begun = Instant::now();
    test.empty().await;
    assert_eq!(begun.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn messages_that_a_poll_brought_to_nobody_come_with_the_next() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    client.start_polling().await;
    client.say(ADD).await;
    drop(client.open_poll().await);
    assert_eq!(client.messages().await, SUM);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_the_body_of_its_poll_is_cut_after_the_send_timeout() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    client.start_polling().await;
    client.say(ADD).await;
    let untaken = client.open_poll().await;
    let begun = Instant::now();
    test.empty().await;
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert_eq!(
        test.notes().last().unwrap(),
        "disconnected: the client took no data for 10s"
    );
    drop(untaken);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_connection_is_the_last_answer_to_a_poll() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    client.start_polling().await;
    assert_eq!(test.server.close(&client.id, true).await, Ok(true));
    let close = "{\"type\":7,\"allowReconnect\":true}\u{1e}";
    assert_eq!(client.messages().await, close);
    let end = client.poll().await;
    assert_eq!(end.status(), StatusCode::NO_CONTENT);
    test.empty().await;
    assert_eq!(client.poll().await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_has_the_official_head_and_one_event_for_each_batch() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    let (head, mut events) = client.events().await.into_parts();
    assert_eq!(head.status, StatusCode::OK);
    check(
        &head.headers,
        &[
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-cache,no-store"),
            (header::PRAGMA, "no-cache"),
            (header::CONTENT_ENCODING, "identity"),
        ],
    );
    assert_eq!(events.piece().await.as_deref(), Some(":\r\n"));
    client.say(HELLO).await;
    let hello = events.piece().await;
    assert_eq!(hello.as_deref(), Some("data: {}\u{1e}\r\n\r\n"));
    client.say(ADD).await;
    let sum = format!("data: {SUM}\r\n\r\n");
    assert_eq!(events.piece().await, Some(sum));
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_ends_behind_the_close() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    let mut events = client.start_events().await;
    assert_eq!(test.server.close(&client.id, false).await, Ok(true));
    let close = "{\"type\":7}\u{1e}";
    assert_eq!(events.message().await.as_deref(), Some(close));
    assert_eq!(events.message().await, None);
    test.empty().await;
    assert_eq!(client.post(ADD).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn a_cut_event_stream_breaks_off() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    let mut events = client.start_events().await;
    assert!(test.server.cut(&client.id));
    assert!(soon(events.is_broken()).await);
    test.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_drops_its_event_stream_has_left() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    let events = client.start_events().await;
    let begun = Instant::now();
    drop(events);
    test.empty().await;
    assert!(begun.elapsed() < SECOND);
    assert_eq!(test.notes().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_no_events_is_cut_after_the_send_timeout() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    let events = client.start_events().await;
    client.say(ADD).await;
    let begun = Instant::now();
    test.empty().await;
    assert_eq!(begun.elapsed().as_secs(), 10);
    drop(events);
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_is_kept_alive_by_pings() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    let mut events = client.start_events().await;
    let begun = Instant::now();
    let ping = events.piece().await;
    assert_eq!(ping.as_deref(), Some("data: {\"type\":6}\u{1e}\r\n\r\n"));
    assert_eq!(begun.elapsed().as_secs(), 15);
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_one_event_stream_and_one_transport() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    let _events = client.start_events().await;
    assert_eq!(client.events().await.status(), StatusCode::CONFLICT);
    let poll = client.poll().await;
    assert_eq!(poll.status(), StatusCode::BAD_REQUEST);
    check(poll.headers(), &NOT_CACHED);
    assert_eq!(client.delete().await.status(), StatusCode::BAD_REQUEST);
    let query = format!("id={}", client.token);
    let web_socket = MemoryClient::attach(&test.server, &query, String::new()).await;
    assert_eq!(web_socket.err(), Some(StatusCode::BAD_REQUEST));
    client.say(ADD).await;
}

#[tokio::test(start_paused = true)]
async fn messages_may_come_in_several_posts_that_split_them_anywhere() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    client.start_polling().await;
    let (start, end) = ADD.split_at(17);
    client.say(start).await;
    client.say(end).await;
    assert_eq!(client.messages().await, SUM);
}

#[tokio::test(start_paused = true)]
async fn a_post_is_answered_when_what_it_brought_has_been_taken_in() {
    let test = Test::new(|options| options.connection.application_max_buffer_size = 1_000);
    let client = HttpClient::new(&test.server).await;
    client.start_polling().await;
    // The second call waits for the first, and what follows it is not read.
    let calls = [call(1, "Wait", ""), call(2, "Wait", "")].map(|call| call + "\u{1e}");
    client.say(&calls.concat()).await;
    let posting = client.clone();
    let posting = tokio::spawn(async move { posting.post(&ADD.repeat(50)).await });
    tokio::time::sleep(10 * SECOND).await;
    assert!(!posting.is_finished());
    test.gate.add_permits(2);
    let posted = soon(posting).await.unwrap();
    assert_eq!(posted.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_post_that_breaks_off_does_not_end_the_connection() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    client.start_polling().await;
    let (start, end) = ADD.split_at(17);
    // What has come of it counts, as it may have been read.
    client.post_and_break_off(start, false).await;
    client.post_and_break_off("", true).await;
    client.say(end).await;
    assert_eq!(client.messages().await, SUM);
}

#[tokio::test(start_paused = true)]
async fn posts_are_read_one_after_the_other() {
    let test = Test::new(|_| {});
    let client = HttpClient::new(&test.server).await;
    client.start_polling().await;
    let (start, end) = ADD.split_at(17);
    let (first, more) = client.post_in_pieces();
    let later = client.clone();
    let later = tokio::spawn(async move { later.post(ADD).await.status() });
    tokio::time::sleep(SECOND).await;
    assert!(
        !later.is_finished(),
        "its pieces do not mix with the first's"
    );
    for piece in [start, end] {
        more.unbounded_send(Bytes::from_static(piece.as_bytes()))
            .unwrap();
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(client.messages().await, SUM);
    drop(more);
    assert_eq!(soon(first).await.unwrap(), StatusCode::OK);
    assert_eq!(soon(later).await.unwrap(), StatusCode::OK);
    assert_eq!(client.messages().await, SUM);
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_are_answered_when_the_connection_ends() {
    let test = Test::new(|options| options.connection.application_max_buffer_size = 1_000);
    let client = HttpClient::new(&test.server).await;
    client.start_polling().await;
    let calls = [call(1, "Wait", ""), call(2, "Wait", "")].map(|call| call + "\u{1e}");
    client.say(&calls.concat()).await;
    let posting = client.clone();
    let posting = tokio::spawn(async move { posting.post(&ADD.repeat(50)).await });
    let polling = client.clone();
    let polling = tokio::spawn(async move { polling.poll().await });
    tokio::time::sleep(SECOND).await;
    assert!(!posting.is_finished() && !polling.is_finished());
    assert_eq!(test.server.close(&client.id, false).await, Ok(true));
    let posted = soon(posting).await.unwrap();
    assert_eq!(posted.status(), StatusCode::NOT_FOUND);
    let polled = soon(polling).await.unwrap();
    assert_eq!(polled.body(), "{\"type\":7}\u{1e}");
    assert_eq!(client.poll().await.status(), StatusCode::NO_CONTENT);
    test.gate.add_permits(2);
    test.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_hub_offers_the_transports_that_it_is_told_to() {
    let test = Test::new(|options| {
        options.endpoint.transports = vec![TransportKind::LongPolling];
    });
    let client = HttpClient::new(&test.server).await;
    assert_eq!(client.events().await.status(), StatusCode::NOT_FOUND);
    client.start_polling().await;
}

#[tokio::test(start_paused = true)]
async fn what_no_hub_knows_is_refused_in_the_official_words() {
    let test = Test::new(|_| {});
    for (request, status, body) in [
        (Request::get("/hub"), 400, "Connection ID required"),
        (Request::get("/hub?id=x"), 404, "No Connection with that ID"),
        (
            Request::post("/hub?id=x"),
            404,
            "No Connection with that ID",
        ),
        (Request::put("/hub?id=x"), 405, ""),
        (Request::get("/hub/negotiate"), 405, ""),
    ] {
        let response = ask(&test.server, request.body(Bytes::new()).unwrap()).await;
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.body(), body);
    }
}
