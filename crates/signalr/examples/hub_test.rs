//! A hub with its tests: `cargo test -p signalr --example hub_test`.
//!
//! `TestClient`s are real clients within the same process, and no port is opened. Under a paused clock nobody waits.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use signalr::server::{CallContext, Hub, HubError, HubMethods, HubServer, InvokeError, serve};

/// How long a player may think.
const PATIENCE: Duration = Duration::from_secs(3);

struct Quiz;

impl Quiz {
    /// Asks the caller, and tells all how it went.
    async fn play(self: Arc<Self>, context: CallContext) -> Result<bool, HubError> {
        let player = context.caller();
        let question = player.invoke::<u32>("Ask", ("6 times 7?",));
        let is_right = match question.timeout(PATIENCE).await {
            Ok(answer) => answer == 42,
            Err(InvokeError::TimedOut { .. }) => return Err(HubError::new("too slow")),
            Err(error) => return Err(error.into()),
        };
        let all = context.clients().all();
        all.send("Played", (is_right,)).await?;
        Ok(is_right)
    }
}

impl Hub for Quiz {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Play", Self::play);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = Router::new().merge(HubServer::new(Quiz)?.router("/quiz"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:5000").await?;
    eprintln!("http://{}/quiz", listener.local_addr()?);
    serve(listener, app).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use signalr::server::testing::{TestClient, TestError};

    use super::*;

    #[tokio::test]
    async fn a_right_answer_is_told_to_all() {
        let hub = HubServer::new(Quiz).unwrap();
        let mut player = TestClient::connect(&hub).await.unwrap();
        let mut watcher = TestClient::connect(&hub).await.unwrap();
        player.answer("Ask", |question: String| {
            assert_eq!(question, "6 times 7?");
            Ok(42)
        });
        assert_eq!(player.invoke("Play", ()).await, Ok(true));
        assert_eq!(watcher.received("Played").await, Ok((true,)));
    }

    #[tokio::test]
    async fn a_player_who_gives_up_is_told_its_own_words() {
        let hub = HubServer::new(Quiz).unwrap();
        let mut player = TestClient::connect(&hub).await.unwrap();
        player.answer("Ask", |_: String| Err::<u32, _>("I give up".to_owned()));
        let Err(TestError::Call(error)) = player.invoke::<bool>("Play", ()).await else {
            panic!("no error");
        };
        assert!(error.ends_with("HubException: I give up"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_player_has_three_seconds() {
        let hub = HubServer::new(Quiz).unwrap();
        let mut player = TestClient::connect(&hub).await.unwrap();
        player.ignore("Ask");
        let Err(TestError::Call(error)) = player.invoke::<bool>("Play", ()).await else {
            panic!("no error");
        };
        assert!(error.ends_with("HubException: too slow"), "{error}");
    }
}
