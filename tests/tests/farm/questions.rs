//! Questions to clients of other servers.

use std::time::{Duration, Instant};

use signalr_client::HandlerError;

use super::*;
use crate::clients::PATIENCE;

async fn answers(kinds: &[Kind]) {
    let Some(farm) = Farm::start(kinds).await else {
        return;
    };
    for ways in mixtures(kinds).into_iter().step_by(2) {
        let clients = farm.clients("/parallel", &ways, "").await;
        for asker in &clients {
            for asked in &clients {
                assert_eq!(ask(asker, &asked.id).await.unwrap(), 42);
            }
        }
        for (index, asker) in clients.iter().enumerate() {
            let asked = &clients[(index + 1) % clients.len()];
            asked.connection.off_all("Add");
            asked.connection.on("Add", async |_: i32, _: i32| {
                Err::<i32, _>(HandlerError::new("cannot count"))
            });
            let error = ask(asker, &asked.id).await.unwrap_err();
            assert!(error.contains("cannot count"), "{error}");
            asked.connection.off_all("Add");
            asked
                .connection
                .on("Add", async |_: i32, _: i32| "two".to_owned());
            let error = ask(asker, &asked.id).await.unwrap_err();
            let words = "Error trying to deserialize result to Int32.";
            assert!(error.contains(words), "{error}");
            asked.connection.off_all("Add");
            asked.connection.on("Add", async |a: i32, b: i32| a + b);
            // Nobody is harmed.
            assert_eq!(ask(asker, &asked.id).await.unwrap(), 42);
        }
    }
}

async fn ask(asker: &Client, id: &str) -> Result<i32, String> {
    let asked = asker.connection.invoke::<i32>("AskClient", (id, 20, 22));
    let answer = tokio::time::timeout(PATIENCE, asked).await.unwrap();
    answer.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_ours_answer_each_others_servers() {
    answers(FARMS[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_ours_and_of_the_official_server_answer_each_others_servers() {
    join!(answers(FARMS[1]), answers(FARMS[2]));
}

/// Within five seconds, which is the asker's own patience.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_to_nobody_fails_at_once() {
    let Some(farm) = Farm::start(&[Kind::Ours, Kind::Ours]).await else {
        return;
    };
    let clients = farm.clients("/parallel", &WAYS, "").await;
    let began = Instant::now();
    ask(&clients[0], "nobody").await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_while_it_is_asked_fails_the_question() {
    in_every_farm(async |farm| {
        for turn in 0..2 {
            let clients = farm.clients("/parallel", &WAYS, "").await;
            let last = clients.len() - 1;
            let (asker, asked) = if turn == 0 { (0, last) } else { (last, 0) };
            let (sender, mut arrived) = futures_channel::mpsc::unbounded::<()>();
            clients[asked].connection.off_all("Add");
            clients[asked].connection.on("Add", move |_: i32, _: i32| {
                let _ = sender.unbounded_send(());
                async { std::future::pending::<i32>().await }
            });
            let question = ask(&clients[asker], &clients[asked].id);
            let leaving = async {
                futures_util::StreamExt::next(&mut arrived).await;
                clients[asked].connection.stop().await;
            };
            let began = Instant::now();
            let (answer, ()) = tokio::join!(question, leaving);
            let error = answer.unwrap_err();
            assert!(error.contains("Connection disconnected."), "{error}");
            assert!(began.elapsed() < Duration::from_secs(4));
        }
    })
    .await;
}
