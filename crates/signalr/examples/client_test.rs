//! A client with its tests: `cargo test -p signalr --example client_test`.
//!
//! The tests play the hub themselves, and no port is opened. Under a paused clock reconnecting takes no time.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex};

use signalr::{CallError, HubConnection, HubConnectionBuilder, LifecycleEvent, ReconnectPolicy};

type Prices = Arc<Mutex<BTreeMap<String, u32>>>;

/// Prices of the shares that are followed, also after the connection was lost.
struct Ticker {
    connection: HubConnection,
    prices: Prices,
}

/// How the program connects; the tests connect in the same way.
fn client(url: &str) -> HubConnectionBuilder {
    HubConnection::builder(url).automatic_reconnect(ReconnectPolicy::standard())
}

impl Ticker {
    fn new(connection: HubConnection) -> Self {
        let prices = Prices::default();
        connection.on_with(Arc::clone(&prices), "Price", set_price);
        Self { connection, prices }
    }

    async fn follow(&self, share: &str) -> Result<(), CallError> {
        let price = self.connection.invoke("Follow", (share,)).await?;
        set_price(Arc::clone(&self.prices), share.to_owned(), price);
        Ok(())
    }

    fn price(&self, share: &str) -> Option<u32> {
        self.prices.lock().ok()?.get(share).copied()
    }

    /// To the server, a connection that is back is a new one: follows the same shares on it. Ends with the connection.
    async fn run(&self) -> Result<(), CallError> {
        let mut events = self.connection.events();
        while let Some(event) = events.next().await {
            if matches!(event, LifecycleEvent::Closed { .. }) {
                break;
            }
            if matches!(event, LifecycleEvent::Reconnected { .. }) {
                for share in self.shares() {
                    self.follow(&share).await?;
                }
            }
        }
        Ok(())
    }

    fn shares(&self) -> Vec<String> {
        let prices = self.prices.lock();
        prices.map_or_else(|_| Vec::new(), |prices| prices.keys().cloned().collect())
    }
}

fn set_price(prices: Prices, share: String, price: u32) {
    if let Ok(mut prices) = prices.lock() {
        prices.insert(share, price);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ticker = Ticker::new(client("http://127.0.0.1:5000/prices").build()?);
    ticker.connection.start().await?;
    ticker.follow("ACME").await?;
    eprintln!("{:?}", ticker.price("ACME"));
    Ok(ticker.run().await?)
}

#[cfg(test)]
mod tests {
    use signalr_testkit::{Observer, ScriptedHub};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn prices_are_those_that_the_hub_tells() {
        let hub = ScriptedHub::new();
        let ticker = Ticker::new(hub.connect(client("http://test/prices")).await);
        hub.answer("Follow", |_: String| Ok(100));
        ticker.follow("ACME").await.unwrap();
        assert_eq!(ticker.price("ACME"), Some(100));
        let observer = Observer::of(&ticker.connection);
        hub.send("Price", ("ACME", 101));
        observer.expect_call::<(String, u32)>("Price").await;
        assert_eq!(ticker.price("ACME"), Some(101));
    }

    #[tokio::test(start_paused = true)]
    async fn shares_are_followed_again_after_a_loss() {
        let hub = ScriptedHub::new();
        let ticker = Ticker::new(hub.connect(client("http://test/prices")).await);
        set_price(Arc::clone(&ticker.prices), "ACME".to_owned(), 100);
        let test = async {
            // Two attempts fail; the third is made 12 seconds later.
            hub.network().refuse(2);
            hub.cut();
            let call = hub.expect_invocation("Follow", ("ACME",)).await;
            call.complete(90);
            hub.close(false);
        };
        let (ran, ()) = futures_util::join!(ticker.run(), test);
        assert_eq!(ran, Ok(()));
        assert_eq!(ticker.price("ACME"), Some(90));
    }
}
