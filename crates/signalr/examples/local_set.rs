//! A client beside tasks that are not `Send`, on a `LocalSet`:
//! `cargo run -p signalr --example local_set -- http://127.0.0.1:5000/chat`
//!
//! Expects the hub of the example `chat`. Handlers have to be `Send`; what they hand over through a channel need not be handled so.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;

use signalr::HubConnection;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::{LocalSet, spawn_local};

/// A conversation that only this thread may touch.
type Conversation = Rc<RefCell<Vec<String>>>;

/// Says something, and gives what everybody said until then.
async fn talk(url: &str, conversation: Conversation) -> Result<(), Box<dyn Error>> {
    let connection = HubConnection::builder(url).build()?;
    let (heard, mut hears) = unbounded_channel();
    connection.on("Receive", move |user: String, text: String| {
        drop(heard.send(format!("{user}: {text}")));
    });
    connection.start().await?;
    let listener = spawn_local(async move {
        while let Some(line) = hears.recv().await {
            let is_ours = line == "local: hello";
            conversation.borrow_mut().push(line);
            if is_ours {
                break;
            }
        }
    });
    connection.call("Send", ("local", "hello")).await?;
    listener.await?;
    connection.stop().await;
    Ok(())
}

pub(crate) async fn play(url: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let conversation = Conversation::default();
    let talking = talk(url, Rc::clone(&conversation));
    LocalSet::new().run_until(talking).await?;
    Ok(conversation.take())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("http://127.0.0.1:5000/chat");
    for line in play(url).await? {
        eprintln!("{line}");
    }
    Ok(())
}
