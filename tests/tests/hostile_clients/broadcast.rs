//! One client that reads nothing while everybody else is told a lot.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::join;

use crate::raw::{LAST, SEPARATOR, Socket, TEXT, bare_frame, call, dial};
use crate::server::{MIB, Margin, Server, Watch};

const READERS: usize = 4;
/// Each is told so often as much as a message may hold: a gigabyte in total.
const MESSAGES: u64 = 8_600;
const SIZE: usize = 30_000;
/// Nobody waits for somebody else's network.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub async fn reaches_all_but_those_who_do_not_read() {
    let server = Server::start().await;
    if server.official_differs("whoever sends to a client that does not read waits ten seconds") {
        return;
    }
    let watch = Watch::begin(
        &server,
        "1 GB for four clients beside one that reads nothing",
    );
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(Socket::connect(&server, "/hub").await);
    }
    let stream = dial(server.address, Some(16 << 10)).await.unwrap();
    let mut silent = Socket::upgrade(stream, "/hub", "").await.unwrap();
    silent.shake().await;
    let mut sender = Socket::connect(&server, "/hub").await;

    let text = "b".repeat(SIZE);
    let say = call("", "SendToOthers", &format!("\"Said\",\"{text}\""));
    let frame = bare_frame(LAST | TEXT, &[say.as_bytes(), &[SEPARATOR]].concat());
    let heard = call("", "Said", &format!("\"{text}\""));
    let payload = MESSAGES * (heard.len() as u64 + 1);
    let telling = async {
        for _ in 0..MESSAGES {
            sender.send(&frame).await;
        }
        sender.works().await;
    };
    let hearing = join_all(readers.iter_mut().map(|socket| async {
        // The pings between are heard, too, and the last bytes are those of a message all the same.
        socket.reader.pass_over(payload).await
    }));
    let ((), pauses) = join!(telling, hearing);
    let longest = pauses.into_iter().max().unwrap_or_default();
    eprintln!("  the longest pause was {longest:.1?}");
    watch.bounded(32 * MIB, Duration::from_secs(60));
    assert!(
        longest < LONGEST_PAUSE,
        "a client that does not read held up the others for {longest:?}"
    );

    // Who has taken nothing for ten seconds is cut.
    let cut = tokio::time::timeout(Duration::from_secs(15), silent.reader.gone()).await;
    assert!(cut.is_ok(), "a client that reads nothing is not cut");
    for socket in readers {
        socket.reset();
    }
    sender.reset();
    watch.returns(Margin::default()).await;
}
