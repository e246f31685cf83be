//! One client that reads nothing while everybody is told a lot.
//!
//! The gigabyte is what all of them are sent together. The silent one itself cannot be sent as much: it is cut as soon as more waits
//! for it than the budget of 16 MiB, or after ten seconds, and either of them comes long before.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::join;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::raw::{LAST, SEPARATOR, Socket, TEXT, bare_frame, call, dial};
use crate::server::{MIB, Margin, Server, Watch};

const READERS: usize = 4;
/// Each is told so often as much as a message may hold: a gigabyte in total.
const ROUNDS: u64 = 430;
/// Messages before the sender waits until its readers have them, since a busy machine must not make them the slow ones.
const ROUND: u64 = 20;
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
    let payload = ROUND * (heard.len() as u64 + 1);
    let frames = frame.repeat(usize::try_from(ROUND).unwrap());
    let mut longest = Duration::ZERO;
    for _ in 0..ROUNDS {
        sender.send(&frames).await;
        // The pings between are heard, too, and the last bytes are those of a message all the same.
        let hearing = readers
            .iter_mut()
            .map(|socket| socket.reader.pass_over(payload));
        longest = longest.max(
            join_all(hearing)
                .await
                .into_iter()
                .max()
                .unwrap_or_default(),
        );
    }
    sender.works().await;
    eprintln!("  the longest pause was {longest:.1?}");
    watch.bounded(32 * MIB, Duration::from_secs(60));
    assert!(
        longest < LONGEST_PAUSE,
        "a client that does not read held up the others for {longest:?}"
    );

    // Who has taken nothing for ten seconds is cut.
    let cut = timeout(Duration::from_secs(15), silent.reader.gone()).await;
    assert!(cut.is_ok(), "a client that reads nothing is not cut");
    for socket in readers {
        socket.reset();
    }
    sender.reset();
    watch.returns(Margin::default()).await;
}

/// What all of them may need together.
const TOGETHER: Duration = Duration::from_secs(40);

/// Everybody tells everybody something large at the same time: more than may wait for one client, but everybody reads.
pub async fn of_all_to_all_cuts_nobody() {
    const CLIENTS: usize = 60;
    const TIMES: u64 = 3;
    let server = Server::start().await;
    let watch = Watch::begin(
        &server,
        "60 clients that tell each other 30 kB at once, three times",
    );
    let sockets = join_all((0..CLIENTS).map(|_| Socket::connect(&server, "/hub"))).await;
    let text = "b".repeat(SIZE);
    let say = call("", "SendToAll", &format!("\"Said\",\"{text}\""));
    let frame = bare_frame(LAST | TEXT, &[say.as_bytes(), &[SEPARATOR]].concat());
    let heard = call("", "Said", &format!("\"{text}\""));
    let payload = TIMES * CLIENTS as u64 * (heard.len() as u64 + 1);
    let clients = sockets.into_iter().map(|socket| {
        let frame = frame.clone();
        tokio::spawn(async move {
            let Socket {
                mut writer,
                mut reader,
            } = socket;
            let telling = async {
                for _ in 0..TIMES {
                    writer.write_all(&frame).await.unwrap();
                }
            };
            let both = async { join!(telling, reader.pass_over(payload)) };
            timeout(TOGETHER, both).await.unwrap();
            Socket { writer, reader }.reset();
        })
    });
    let ended = join_all(clients.collect::<Vec<_>>()).await;
    let cut = ended.iter().filter(|ended| ended.is_err()).count();
    assert_eq!(cut, 0, "of {CLIENTS} clients that read everything were cut");
    watch.bounded(128 * MIB, TOGETHER);
    watch.returns(Margin::default()).await;
}
