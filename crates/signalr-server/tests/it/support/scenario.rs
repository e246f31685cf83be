//! A hub, and what a client does with it, over sockets.

use std::sync::Arc;
use std::task::Poll;

use futures_util::{TryStreamExt as _, stream};
use signalr_client::{HubConnection, Spawn, Upload};
use signalr_server::{
    CallContext, Hub, HubMethods, InvokeError, Protocol, SendError, TransportKind, UploadError,
    UploadStream,
};

/// Something of everything, and nothing that needs a runtime.
pub(crate) struct Stage;

impl Stage {
    async fn sum(self: Arc<Self>, mut numbers: UploadStream<i32>) -> Result<i32, UploadError> {
        let mut sum = 0;
        while let Some(number) = numbers.next().await {
            sum += number?;
        }
        Ok(sum)
    }

    async fn ask(self: Arc<Self>, context: CallContext) -> Result<String, InvokeError> {
        context.caller().invoke("Question", (6, 7)).await
    }

    async fn shout(self: Arc<Self>, context: CallContext, text: String) -> Result<(), SendError> {
        context.clients().all().send("Hear", (text,)).await
    }
}

impl Hub for Stage {
    fn methods(methods: &mut HubMethods<Self>) {
        methods
            .on("Add", async |_: Arc<Self>, a: i32, b: i32| a + b)
            .on("AddLater", async |_: Arc<Self>, a: i32, b: i32| {
                next_turn().await;
                a + b
            })
            .on("Sum", Self::sum)
            .on("Ask", Self::ask)
            .on("Shout", Self::shout)
            .on("Transport", async |_: Arc<Self>, context: CallContext| {
                context
                    .transport()
                    .map(|transport| transport.name().to_owned())
            })
            .stream("Count", async |_: Arc<Self>, to: i32| stream::iter(0..to));
    }
}

/// Lets everything else happen first, on any runtime.
async fn next_turn() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Plays on every transport, in every protocol that it carries.
pub(crate) async fn play<R: Spawn + Default>(url: &str) {
    for transport in TransportKind::ALL {
        for protocol in Protocol::ALL {
            if transport.formats().contains(&protocol.transfer_format()) {
                play_on::<R>(url, transport, protocol).await;
            }
        }
    }
}

/// A client over this transport.
pub(crate) fn client<R: Spawn + Default>(
    url: &str,
    transport: TransportKind,
    protocol: Protocol,
) -> HubConnection {
    HubConnection::builder(url)
        .transports([transport])
        .protocol(protocol)
        .build_on(R::default())
        .unwrap()
}

async fn play_on<R: Spawn + Default>(url: &str, transport: TransportKind, protocol: Protocol) {
    let connection = client::<R>(url, transport, protocol);
    let (heard, mut hears) = futures_channel::mpsc::unbounded();
    connection.on("Hear", move |text: String| {
        let _ = heard.unbounded_send(text);
    });
    connection.on("Question", |a: i32, b: i32| format!("{}", a * b));
    connection.start().await.unwrap();
    let name = connection.invoke::<String>("Transport", ()).await;
    assert_eq!(name.as_deref(), Ok(transport.name()));
    assert_eq!(connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    let numbers = connection.stream::<i32>("Count", (200,)).await.unwrap();
    let numbers: Vec<i32> = numbers.try_collect().await.unwrap();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    let upload = Upload::new(stream::iter(0..200));
    assert_eq!(connection.invoke::<i32>("Sum", (upload,)).await, Ok(19_900));
    let answer = connection.invoke::<String>("Ask", ()).await;
    assert_eq!(answer.as_deref(), Ok("42"));
    let text = "x".repeat(100_000);
    connection.send("Shout", ("short",)).await.unwrap();
    assert_eq!(next(&mut hears).await, "short");
    for text in text.as_bytes().chunks(20_000) {
        let text = std::str::from_utf8(text).unwrap();
        connection.invoke::<()>("Shout", (text,)).await.unwrap();
        assert_eq!(next(&mut hears).await, text);
    }
    connection.stop().await;
}

async fn next(hears: &mut futures_channel::mpsc::UnboundedReceiver<String>) -> String {
    use futures_util::StreamExt as _;
    hears.next().await.unwrap()
}
