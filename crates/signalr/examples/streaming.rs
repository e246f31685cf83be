//! Streams in both directions, a hub and a client in one program: `cargo run -p signalr --example streaming`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::{Stream, StreamExt, stream};
use signalr::server::{Hub, HubError, HubMethods, HubServer, UploadStream, serve};
use signalr::{HubConnection, Upload};
use tokio::net::TcpListener;

struct Streams;

impl Streams {
    /// Items leave as fast as the client takes them. When it cancels, the stream is dropped.
    async fn count(self: Arc<Self>, up_to: u32) -> Result<impl Stream<Item = u32>, HubError> {
        if up_to > 1_000 {
            return Err(HubError::new("that is too far"));
        }
        Ok(stream::iter(1..=up_to).then(|number| async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            number
        }))
    }

    /// Takes a stream and gives its sum.
    async fn sum(self: Arc<Self>, mut numbers: UploadStream<u64>) -> Result<u64, HubError> {
        let mut sum = 0_u64;
        while let Some(number) = numbers.next().await {
            // An error is the client's own, or its connection is gone.
            sum = sum.saturating_add(number?);
        }
        Ok(sum)
    }

    /// Takes a stream and gives one, item by item.
    async fn shout(
        self: Arc<Self>,
        words: UploadStream<String>,
    ) -> impl Stream<Item = Result<String, HubError>> {
        words.map(|word| Ok(word?.to_uppercase()))
    }
}

impl Hub for Streams {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.stream("Count", Self::count);
        methods.on("Sum", Self::sum);
        methods.stream("Shout", Self::shout);
    }
}

async fn play(connection: &HubConnection) -> Result<(), Box<dyn Error>> {
    let mut numbers = connection.stream::<u32>("Count", (5,)).await?;
    while let Some(number) = numbers.next().await {
        eprintln!("the hub counts {}", number?);
    }

    // Dropping a stream cancels it, and the hub stops counting.
    let mut numbers = connection.stream::<u32>("Count", (1_000,)).await?;
    let first = numbers.next().await;
    eprintln!("the first of many is {first:?}");
    drop(numbers);

    let numbers = Upload::new(stream::iter([20_u64, 22]));
    let sum: u64 = connection.invoke("Sum", (numbers,)).await?;
    eprintln!("the hub says that the sum is {sum}");

    let words = Upload::new(stream::iter(["up", "and", "down"]));
    let mut loud = connection.stream::<String>("Shout", (words,)).await?;
    while let Some(word) = loud.next().await {
        eprintln!("the hub shouts {}", word?);
    }
    Ok(())
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let hub = HubServer::new(Streams)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/streams", listener.local_addr()?);
    let app = Router::new().merge(hub.router("/streams"));
    let server = tokio::spawn(serve(listener, app).into_future());

    let connection = HubConnection::builder(url).build()?;
    connection.start().await?;
    play(&connection).await?;
    connection.stop().await;
    server.abort();
    Ok(())
}
