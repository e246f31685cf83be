//! Clients that do not take what is sent to them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, join, stream};
use signalr_harness::memory::MemoryClient;
use signalr_server::{
    Audiences, CallContext, DisconnectReason, Hub, HubMethods, HubOptions, HubServer,
    MemoryBackplane, SendError, SlowClientStats, SlowClients,
};
use tokio::time::Instant;

use crate::support::raw::RawSocket;
use crate::support::{SECOND, call, empty, soon};

/// Bytes of one message.
const SIZE: usize = 10_000;

/// Says a lot to its callers.
#[derive(Clone, Default)]
struct Talker {
    /// Items of streams.
    made: Arc<AtomicUsize>,
    reasons: Arc<Mutex<Vec<String>>>,
}

impl Hub for Talker {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on("Add", async |_: Arc<Self>, a: i32, b: i32| a + b)
            .on("Talk", Self::talk)
            .on("Blurt", Self::blurt)
            .on("Tell", Self::tell)
            .stream("Items", async |hub: Arc<Self>, count: usize| {
                stream::iter(0..count).map(move |number| {
                    hub.made.fetch_add(1, Ordering::Relaxed);
                    text(number)
                })
            });
    }

    async fn on_disconnected(&self, _: &CallContext, reason: &DisconnectReason) {
        self.reasons.lock().unwrap().push(reason.to_string());
    }
}

impl Talker {
    async fn talk(self: Arc<Self>, context: CallContext, count: usize) -> Result<(), SendError> {
        let caller = context.caller();
        for number in 0..count {
            caller.send("Hear", (text(number),)).await?;
        }
        Ok(())
    }

    async fn tell(
        self: Arc<Self>,
        context: CallContext,
        connection_id: String,
        count: usize,
    ) -> Result<(), SendError> {
        let client = context.clients().client(&connection_id);
        for number in 0..count {
            client.send("Hear", (text(number),)).await?;
        }
        Ok(())
    }

    /// Does not wait for its caller to take anything.
    async fn blurt(self: Arc<Self>, context: CallContext, count: usize) -> &'static str {
        let caller = context.caller();
        for number in 0..count {
            let told = caller.send("Hear", (text(number),));
            let mut told = std::pin::pin!(told);
            let _ = futures_util::poll!(told.as_mut());
        }
        "done"
    }
}

/// A long text that begins with a number.
fn text(number: usize) -> String {
    format!("{number} {}", "x".repeat(SIZE))
}

/// The number of each message.
fn numbers(messages: &str) -> Vec<usize> {
    let heard = messages.split(r#""arguments":[""#).skip(1);
    heard
        .map(|rest| rest.split(' ').next().unwrap().parse().unwrap())
        .collect()
}

fn talker(change: impl FnOnce(&mut HubOptions)) -> (Talker, HubServer) {
    let hub = Talker::default();
    let server = HubServer::builder(hub.clone()).configure(change);
    (hub, server.build().unwrap())
}

/// A client that has shaken hands and reads nothing more unless it is told to, and its id.
async fn sleeper(server: &HubServer) -> (RawSocket, String) {
    let before = server.clients().list().await.unwrap();
    let mut socket = RawSocket::open(server, "").await;
    socket.shake_hands().await;
    let mut ids = server.clients().list().await.unwrap();
    ids.retain(|id| !before.contains(id));
    (socket, ids.pop().unwrap())
}

/// Sends so many messages to an audience. Tells how long the longest took.
async fn tell(audience: &Audiences, count: usize) -> Duration {
    let mut longest = Duration::ZERO;
    for number in 0..count {
        let begun = Instant::now();
        audience.send("Hear", (text(number),)).await.unwrap();
        longest = longest.max(begun.elapsed());
    }
    longest
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_slow_clients_goes_on_when_they_take_something() {
    let (_, server) = talker(|options| options.slow_clients = SlowClients::Wait);
    let (mut slow, id) = sleeper(&server).await;
    let all = server.clients().all();
    let telling = tokio::spawn(async move { tell(&all, 20).await });
    tokio::time::sleep(5 * SECOND).await;
    assert!(!telling.is_finished());
    let mut heard = Vec::new();
    while heard.len() < 20 {
        heard.extend(numbers(&soon(slow.message()).await));
    }
    assert_eq!(heard, (0..20).collect::<Vec<_>>());
    let longest = soon(telling).await.unwrap();
    assert_eq!(longest.as_secs(), 5);
    assert_eq!(server.dropped_messages(&id), Some(0));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_goes_on_also_when_messages_are_taken_one_by_one() {
    let (_, server) = talker(|options| {
        options.slow_clients = SlowClients::Wait;
        options.connection.limits.max_outgoing_bytes = 1;
    });
    let (mut slow, _) = sleeper(&server).await;
    let all = server.clients().all();
    let telling = tokio::spawn(async move { tell(&all, 30).await });
    let mut heard = Vec::new();
    while heard.len() < 30 {
        heard.extend(numbers(&soon(slow.message()).await));
    }
    assert_eq!(heard, (0..30).collect::<Vec<_>>());
    soon(telling).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_slow_clients_goes_on_when_they_are_cut() {
    let (hub, server) = talker(|options| options.slow_clients = SlowClients::Wait);
    let (_slow, _) = sleeper(&server).await;
    let begun = Instant::now();
    tell(&server.clients().all(), 40).await;
    assert_eq!(begun.elapsed().as_secs(), 10);
    empty(&server).await;
    assert_eq!(
        *hub.reasons.lock().unwrap(),
        ["the client took no data for 10s"]
    );
    let stats = server.slow_client_stats();
    assert_eq!((stats.dropped_messages, stats.dropped_connections), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_member_never_delays_the_others() {
    for slow_clients in [SlowClients::Disconnect, SlowClients::DropOldest] {
        let (_, server) = talker(|options| options.slow_clients = slow_clients);
        let (_slow, id) = sleeper(&server).await;
        let mut quick = MemoryClient::connect(&server, "").await;
        let all = server.clients().all();
        let begun = Instant::now();
        let telling = tokio::spawn(async move { tell(&all, 50).await });
        for number in 0..50 {
            let heard = soon(quick.message()).await.unwrap();
            assert_eq!(numbers(&heard), [number]);
        }
        assert!(begun.elapsed() < SECOND / 2, "{:?}", begun.elapsed());
        let longest = soon(telling).await.unwrap();
        assert!(longest < SECOND / 2, "{longest:?}");
        assert_eq!(server.dropped_messages(&id), Some(0), "within the budget");
    }
}

/// Who sends at the other server cannot wait, and what comes behind must not.
#[tokio::test(start_paused = true)]
async fn a_stalled_member_never_delays_the_others_in_a_farm_whatever_the_hub_wants() {
    for slow_clients in [
        SlowClients::Wait,
        SlowClients::Disconnect,
        SlowClients::DropOldest,
    ] {
        let backplane = MemoryBackplane::default();
        let server = || {
            let server = HubServer::builder(Talker::default()).configure(|options| {
                options.slow_clients = slow_clients;
                options.outgoing_budget = 200_000;
            });
            server.backplane("Talker", backplane.clone()).build()
        };
        let (here, there) = (server().unwrap(), server().unwrap());
        let (_slow, id) = sleeper(&there).await;
        let mut quick = MemoryClient::connect(&there, "").await;
        let all = here.clients().all();
        let begun = Instant::now();
        let telling = tokio::spawn(async move { tell(&all, 100).await });
        let mut heard = Vec::new();
        while heard.len() < 100 {
            heard.extend(numbers(&soon(quick.message()).await.unwrap()));
        }
        assert_eq!(heard, (0..100).collect::<Vec<_>>());
        assert!(begun.elapsed() < SECOND / 2, "{:?}", begun.elapsed());
        soon(telling).await.unwrap();
        let cut = there.dropped_messages(&id).is_none();
        assert_eq!(cut, slow_clients != SlowClients::DropOldest);
        assert_eq!(
            there.slow_client_stats().dropped_connections,
            u64::from(cut)
        );
    }
}

/// Neither the server by itself nor a method that another client has called.
#[tokio::test(start_paused = true)]
async fn a_stalled_client_never_delays_who_sends_to_it_alone() {
    for slow_clients in [SlowClients::Disconnect, SlowClients::DropOldest] {
        let (_, server) = talker(|options| options.slow_clients = slow_clients);
        let (_first, first) = sleeper(&server).await;
        let (_second, second) = sleeper(&server).await;
        let mut quick = MemoryClient::connect(&server, "").await;

        let client = server.clients().client(&first);
        let begun = Instant::now();
        for number in 0..50 {
            client.send("Hear", (text(number),)).await.unwrap();
        }
        assert!(begun.elapsed() < SECOND / 2, "{:?}", begun.elapsed());

        let begun = Instant::now();
        let arguments = format!(r#""{second}",50"#);
        quick.send_records(&[&call(1, "Tell", &arguments)]).await;
        let answer = soon(quick.message()).await.unwrap();
        assert!(answer.contains(r#""result""#), "{answer}");
        assert!(begun.elapsed() < SECOND / 2, "{:?}", begun.elapsed());
        for id in [first, second] {
            assert_eq!(server.dropped_messages(&id), Some(0), "within the budget");
        }
    }
}

/// The official server's way stays what it is for single clients, too.
#[tokio::test(start_paused = true)]
async fn whoever_sends_to_one_slow_client_waits_if_the_hub_wants_it() {
    let (_, server) = talker(|options| options.slow_clients = SlowClients::Wait);
    let (_slow, id) = sleeper(&server).await;
    let client = server.clients().client(&id);
    let begun = Instant::now();
    for number in 0..40 {
        client.send("Hear", (text(number),)).await.unwrap();
    }
    assert_eq!(begun.elapsed().as_secs(), 10, "until it is cut");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_lets_more_than_the_budget_wait_is_cut() {
    let (hub, server) = talker(|options| options.outgoing_budget = 200_000);
    let (_slow, id) = sleeper(&server).await;
    let mut quick = MemoryClient::connect(&server, "").await;
    let all = server.clients().all();
    let begun = Instant::now();
    let telling = tokio::spawn(async move { tell(&all, 100).await });
    for _ in 0..100 {
        soon(quick.message()).await.unwrap();
    }
    soon(telling).await.unwrap();
    assert!(begun.elapsed() < SECOND / 2, "{:?}", begun.elapsed());
    soon(async {
        while server.clients().count().await == Ok(2) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(server.dropped_messages(&id), None, "it is gone");
    let reason = soon(async {
        loop {
            if let Some(reason) = hub.reasons.lock().unwrap().pop() {
                break reason;
            }
            tokio::task::yield_now().await;
        }
    });
    let reason = reason.await;
    assert!(reason.starts_with("the client was too slow: 2"), "{reason}");
    assert!(reason.ends_with(" the limit of 200000"), "{reason}");
    assert!(begun.elapsed() < SECOND, "long before it is cut anyway");
    let stats = server.slow_client_stats();
    assert_eq!((stats.dropped_messages, stats.dropped_connections), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_messages_are_dropped_and_counted_and_the_newest_arrive() {
    let (_, server) = talker(|options| {
        options.slow_clients = SlowClients::DropOldest;
        options.outgoing_budget = 200_000;
    });
    let (mut slow, id) = sleeper(&server).await;
    tell(&server.clients().all(), 100).await;
    let dropped = usize::try_from(server.dropped_messages(&id).unwrap()).unwrap();
    let mut heard = Vec::new();
    while heard.last() != Some(&99) {
        heard.extend(numbers(&soon(slow.message()).await));
    }
    assert!(heard.is_sorted());
    assert_eq!(heard.len() + dropped, 100, "{heard:?}");
    // What had left the mailbox before, and what the budget holds.
    assert!((20..35).contains(&heard.len()), "{heard:?}");
    tell(&server.clients().all(), 1).await;
    assert_eq!(numbers(&soon(slow.message()).await), [0]);
    let now = server.dropped_messages(&id);
    assert_eq!(now, Some(dropped as u64), "no more than before");
}

#[tokio::test(start_paused = true)]
async fn what_slow_clients_cost_is_counted_for_all_of_them_and_stays() {
    let (_, server) = talker(|options| {
        options.slow_clients = SlowClients::DropOldest;
        options.outgoing_budget = 200_000;
    });
    assert_eq!(server.slow_client_stats(), SlowClientStats::default());
    let (first, first_id) = sleeper(&server).await;
    let (second, second_id) = sleeper(&server).await;
    tell(&server.clients().all(), 100).await;
    let dropped = [first_id, second_id].map(|id| server.dropped_messages(&id).unwrap());
    assert!(dropped.iter().all(|dropped| *dropped > 0), "{dropped:?}");
    let together = dropped.iter().sum::<u64>();
    assert_eq!(server.slow_client_stats().dropped_messages, together);
    drop((first, second));
    empty(&server).await;
    let stats = server.slow_client_stats();
    assert_eq!(stats.dropped_messages, together, "of those that are gone");
    assert_eq!(stats.dropped_connections, 0, "they left by themselves");
}

#[tokio::test(start_paused = true)]
async fn answers_are_never_dropped() {
    let (_, server) = talker(|options| {
        options.slow_clients = SlowClients::DropOldest;
        options.outgoing_budget = 100_000;
    });
    let (mut slow, id) = sleeper(&server).await;
    let talk = call(1, "Blurt", "50") + "\u{1e}" + &call(2, "Add", "1,2") + "\u{1e}";
    slow.send(talk.as_bytes()).await;
    tokio::time::sleep(SECOND).await;
    let mut heard = String::new();
    while !heard.contains(r#""invocationId":"2","result":3"#) {
        heard += &soon(slow.message()).await;
    }
    let answer = heard.find(r#""invocationId":"1","result":"done""#).unwrap();
    let numbers_before = numbers(heard.get(..answer).unwrap());
    let dropped = usize::try_from(server.dropped_messages(&id).unwrap()).unwrap();
    assert!(dropped > 0);
    assert_eq!(numbers_before.len() + dropped, 50);
    assert_eq!(numbers_before.last(), Some(&49));
}

#[tokio::test(start_paused = true)]
async fn a_message_larger_than_the_budget_is_taken_while_nothing_else_waits() {
    let (_, server) = talker(|options| {
        options.outgoing_limit = 100;
        options.outgoing_budget = 100;
    });
    let mut client = MemoryClient::connect(&server, "").await;
    let all = server.clients().all();
    let telling = tokio::spawn(async move { tell(&all, 3).await });
    for number in 0..3 {
        assert_eq!(numbers(&soon(client.message()).await.unwrap()), [number]);
    }
    soon(telling).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_method_sends_comes_before_its_answer_also_when_the_outbox_is_full() {
    for method in ["Talk", "Blurt"] {
        let (_, server) = talker(|_| {});
        let (mut slow, _) = sleeper(&server).await;
        slow.send((call(1, method, "30") + "\u{1e}").as_bytes())
            .await;
        tokio::time::sleep(SECOND).await;
        let mut heard = String::new();
        while !heard.contains(r#""invocationId":"1","result""#) {
            heard += &soon(slow.message()).await;
        }
        let answer = heard.find(r#"{"type":3"#).unwrap();
        let before = numbers(heard.get(..answer).unwrap());
        assert_eq!(before, (0..30).collect::<Vec<_>>(), "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_the_close_comes_before_the_close() {
    let (_, server) = talker(|_| {});
    let (mut slow, id) = sleeper(&server).await;
    let client = server.clients().client(&id);
    let telling = tokio::spawn(async move {
        for number in 0..15 {
            client.send("Hear", (text(number),)).await.unwrap();
        }
    });
    tokio::time::sleep(SECOND).await;
    assert_eq!(server.close(&id, false).await, Ok(true));
    let mut heard = String::new();
    while !heard.contains(r#"{"type":7}"#) {
        heard += &soon(slow.message()).await;
    }
    assert!(heard.ends_with("{\"type\":7}\u{1e}"));
    let numbers = numbers(&heard);
    assert!(numbers.len() >= 10, "{numbers:?}");
    assert!(numbers.iter().copied().eq(0..numbers.len()));
    soon(telling).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_makes_no_items_while_its_client_takes_none() {
    let (hub, server) = talker(|_| {});
    let (mut slow, _) = sleeper(&server).await;
    let begin = r#"{"type":4,"invocationId":"1","target":"Items","arguments":[100000]}"#;
    slow.send(format!("{begin}\u{1e}").as_bytes()).await;
    tokio::time::sleep(5 * SECOND).await;
    let made = hub.made.load(Ordering::Relaxed);
    assert!((5..20).contains(&made), "{made}");
    soon(slow.message()).await;
    tokio::time::sleep(SECOND).await;
    let more = hub.made.load(Ordering::Relaxed);
    assert!((made + 1..made + 20).contains(&more), "{made} then {more}");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_takes_nothing_is_not_waited_for_again_until_it_has_caught_up() {
    let (_, server) = talker(|options| options.outgoing_budget = 10 << 20);
    let (mut slow, id) = sleeper(&server).await;
    let all = server.clients().all();
    tell(&all, 20).await;
    let begun = Instant::now();
    tell(&all, 20).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let mut heard = 0;
    while heard < 40 {
        heard += numbers(&soon(slow.message()).await).len();
    }
    let begun = Instant::now();
    tell(&all, 20).await;
    assert!(begun.elapsed() > Duration::ZERO, "waited for again");
    assert_eq!(server.dropped_messages(&id), Some(0));
}

#[tokio::test(start_paused = true)]
async fn many_who_send_at_once_cut_nobody_who_reads() {
    const SENDERS: usize = 200;
    let (_, server) = talker(|_| {});
    let mut client = MemoryClient::connect(&server, "").await;
    let all = server.clients().all();
    let telling = join_all((0..SENDERS).map(|_| tell(&all, 1)));
    let hearing = async {
        for _ in 0..SENDERS {
            soon(client.message()).await.expect("nobody is cut");
        }
    };
    join!(telling, hearing);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_takes_something_now_and_then_is_waited_for_a_little_longer() {
    let waited = async |pause: Duration| {
        let (_, server) = talker(|options| {
            options.outgoing_budget = 10 << 20;
            options.connection.limits.max_outgoing_bytes = 1;
        });
        let (mut slow, _) = sleeper(&server).await;
        let all = server.clients().all();
        let telling = join_all((0..30).map(|_| tell(&all, 1)));
        let hearing = async {
            loop {
                tokio::time::sleep(pause).await;
                soon(slow.message()).await;
            }
        };
        tokio::select! {
            waited = telling => waited.into_iter().max().unwrap(),
            () = hearing => unreachable!("it has no end"),
        }
    };
    let moment = Duration::from_millis(100);
    assert_eq!(waited(moment * 9 / 10).await, 5 * moment);
    // In the first of them the pipe takes something, and in the second nothing.
    assert_eq!(waited(100 * moment).await, 2 * moment);
}
