//! A client on one of the servers.

use std::time::Duration;

use futures_channel::mpsc;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use serde_json::Value;
use signalr_client::HubConnection;

use crate::Way;

/// How long something may take that is bound to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for something to arrive that should not.
const QUIET: Duration = Duration::from_millis(300);

pub struct Client {
    pub connection: HubConnection,
    pub id: String,
    heard: mpsc::UnboundedReceiver<Value>,
}

impl Client {
    pub async fn connect(url: &str, hub: &str, (transport, protocol): Way, token: &str) -> Self {
        let builder = HubConnection::builder(format!("{url}{hub}"));
        let builder = builder.protocol(protocol).transports([transport]);
        let connection = if token.is_empty() {
            builder.build()
        } else {
            builder.token(token).build()
        };
        let connection = connection.unwrap();
        let (sender, heard) = mpsc::unbounded();
        connection.on("Hear", move |value: Value| {
            let _ = sender.unbounded_send(value);
        });
        connection.on("Add", async |a: i32, b: i32| a + b);
        connection.start().await.unwrap();
        let id = connection.invoke("ConnectionId", ()).await.unwrap();
        Self {
            connection,
            id,
            heard,
        }
    }

    /// Calls a method of the hub that has nothing to tell.
    pub async fn call(&self, target: &str, arguments: &[&str]) {
        let called = self.try_call(target, arguments).await;
        called.unwrap_or_else(|error| panic!("{target} {arguments:?}: {error}"));
    }

    pub async fn try_call(
        &self,
        target: &str,
        arguments: &[&str],
    ) -> Result<(), signalr_client::CallError> {
        let arguments = signalr_client::Spread(arguments.to_vec());
        let called = self.connection.call(target, arguments);
        tokio::time::timeout(PATIENCE, called).await.unwrap()
    }

    /// The next message.
    pub async fn hears(&mut self) -> Value {
        let heard = tokio::time::timeout(PATIENCE, self.heard.next()).await;
        heard.expect("a message comes").expect("the client listens")
    }

    /// The messages so far, in any order, once there are as many; and nothing comes after them.
    pub async fn hears_exactly(&mut self, texts: &[&str]) {
        let mut heard = Vec::new();
        while heard.len() < texts.len() {
            match tokio::time::timeout(PATIENCE, self.heard.next()).await {
                Ok(Some(value)) => heard.push(value.as_str().unwrap_or("?").to_owned()),
                Ok(None) | Err(_) => break,
            }
        }
        if let Ok(Some(value)) = tokio::time::timeout(QUIET, self.heard.next()).await {
            heard.push(value.to_string());
        }
        heard.sort();
        let mut expected = texts.to_vec();
        expected.sort_unstable();
        assert_eq!(heard, expected);
    }
}

/// Everybody hears exactly these texts, as [`Client::hears_exactly`] says; all listen at the same time.
pub async fn all_hear(clients: &mut [Client], texts: &[Vec<String>]) {
    assert_eq!(clients.len(), texts.len());
    let listening = clients.iter_mut().zip(texts).map(async |(client, texts)| {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        client.hears_exactly(&texts).await;
    });
    join_all(listening).await;
}

/// Nobody hears anything.
pub async fn none_hears(clients: &mut [Client]) {
    let nothing = vec![Vec::new(); clients.len()];
    all_hear(clients, &nothing).await;
}
