//! What a connection costs that does nothing.

use signalr_client::{HubConnection, Protocol};
use signalr_tests::own;

const CONNECTIONS: u32 = 200;
/// Bytes of memory that each may hold.
const BOUND: u64 = 14 << 10;

async fn connect(url: &str) -> HubConnection {
    let connection = HubConnection::builder(url)
        .protocol(Protocol::MessagePack)
        .build()
        .unwrap();
    connection.on("Receive", |_: String| {});
    connection.start().await.unwrap();
    assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    connection
}

/// Allocations are counted for one thread: the client has this one for itself, the server is on another.
#[test]
fn an_idle_connection_holds_little_memory() {
    let url = format!("{}/hub", own::start().unwrap().url);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // What is allocated once for all connections does not count.
    let first = runtime.block_on(connect(&url));
    let mut connections = Vec::with_capacity(200);
    let used = allocation_counter::measure(|| {
        runtime.block_on(async {
            for _ in 0..CONNECTIONS {
                connections.push(connect(&url).await);
            }
        });
    });
    let each = u64::try_from(used.bytes_current).unwrap() / u64::from(CONNECTIONS);
    eprintln!(
        "an idle connection holds {each} bytes in {} allocations",
        used.count_current / i64::from(CONNECTIONS)
    );
    assert!(
        each <= BOUND,
        "an idle connection holds {each} bytes, more than {BOUND}"
    );
    drop((first, connections));
}
