//! Calls of the server.

use core::time::Duration;

use futures_channel::mpsc;
use signalr_client::HandlerError;

use crate::{Outcome, Platform, Session, ensure, ensure_eq};

pub(super) async fn calls_come_in_order<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/hub").await?;
    let (sender, mut heard) = mpsc::unbounded();
    connection.on("Number", move |number: i32| {
        let _ = sender.unbounded_send(number);
    });
    connection.invoke::<()>("Burst", ("Number", 2000)).await?;
    for number in 0..2000 {
        ensure_eq!(session.soon(&mut heard).await?, number);
    }
    Ok(())
}

pub(super) async fn slow_handlers_keep_the_order_and_do_not_block_calls<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session
        .builder("/hub")
        .handler_queue(8)
        .build_on(R::default())?;
    connection.start().await?;
    let (sender, mut heard) = mpsc::unbounded();
    let (gate, open) = futures_channel::oneshot::channel::<()>();
    let open = futures_util::FutureExt::shared(open);
    connection.on("Number", move |number: i32| {
        let (sender, open) = (sender.clone(), open.clone());
        async move {
            let _ = open.await;
            let _ = sender.unbounded_send(number);
        }
    });
    connection.send("Burst", ("Number", 4)).await?;
    // A handler waits, and calls go on.
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    connection.send("Burst", ("Number", 3000)).await?;
    session.sleep(Duration::from_millis(200)).await;
    ensure!(heard.try_recv().is_err(), "a handler did not wait");
    let _ = gate.send(());
    for number in (0..4).chain(0..3000) {
        ensure_eq!(session.soon(&mut heard).await?, number);
    }
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    Ok(())
}

pub(super) async fn several_arguments_and_handlers_work<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/hub").await?;
    let (sender, mut heard) = mpsc::unbounded();
    let (first, second) = (sender.clone(), sender);
    let (misfit, other_name) = (first.clone(), first.clone());
    connection.on("Many", move |_: i32, _: i32| {
        let _ = misfit.unbounded_send("called with arguments that do not fit".into());
    });
    connection.on("Many", |a: i32, _: String, _: Option<i32>| {
        assert_eq!(a, 0, "this panic is contained")
    });
    connection.on("Many", move |a: i32, b: String, c: Option<i32>| {
        let _ = first.unbounded_send(format!("{a} {b} {c:?}"));
    });
    connection.on("Many", move |raw: signalr_client::Arguments| {
        let _ = second.unbounded_send(format!("{:?}", raw.len()));
    });
    connection.on("many", move |_: signalr_client::Arguments| {
        let _ = other_name.unbounded_send("names do not match exactly".into());
    });
    connection
        .invoke::<()>("SendMany", ("Many", 1, "two", None::<i32>))
        .await?;
    ensure_eq!(session.soon(&mut heard).await?, "1 two None");
    ensure_eq!(session.soon(&mut heard).await?, "Ok(3)");
    Ok(())
}

pub(super) async fn the_servers_questions_are_answered<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/parallel").await?;
    connection.on("Answer", |question: String| async move { question + "!" });
    connection.on("Add", |a: i32, b: i32| a + b);
    ensure_eq!(
        connection.invoke::<String>("AskCaller", ("why",)).await?,
        "the client said why!"
    );
    let id = connection.connection_id();
    ensure_eq!(connection.invoke::<i32>("AskClient", (id, 2, 3)).await?, 5);
    Ok(())
}

pub(super) async fn a_removed_handler_is_silent<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/hub").await?;
    let (sender, mut heard) = mpsc::unbounded();
    let (first, second) = (sender.clone(), sender);
    let subscription = connection.on("Hear", move |_: i32| {
        let _ = first.unbounded_send("first");
    });
    connection.on("Hear", move |_: i32| {
        let _ = second.unbounded_send("second");
    });
    ensure!(connection.off(&subscription), "it was not there");
    connection.invoke::<()>("SendToCaller", ("Hear", 1)).await?;
    ensure_eq!(session.soon(&mut heard).await?, "second");
    ensure_eq!(connection.off_all("Hear"), 1);
    connection.invoke::<()>("SendToCaller", ("Hear", 1)).await?;
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    ensure!(heard.try_recv().is_err(), "a removed handler was called");
    Ok(())
}

pub(super) async fn questions_without_an_answer_get_the_official_texts<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/parallel").await?;
    connection.on("Fail", || async {
        Err::<String, _>(HandlerError::new("cannot"))
    });
    connection.on("Panic", || -> String { panic!("a canary") });
    connection.on("Void", || {});
    connection.on("Misfit", |_: i32| String::new());
    connection.on("Several", || "first");
    connection.on("Several", async || "second");
    for (method, answer) in [
        ("Fail", "HubException: cannot"),
        ("Panic", "HubException: The client's handler failed."),
        (
            "NoSuchHandler",
            "HubException: Client didn't provide a result.",
        ),
        ("Void", "HubException: Client didn't provide a result."),
        (
            "Misfit",
            "HubException: Client failed to parse argument(s).",
        ),
        ("Several", "HubException: Client provided multiple results."),
    ] {
        ensure_eq!(
            connection
                .invoke::<String>("AskAndReport", (method,))
                .await?,
            answer
        );
    }
    Ok(())
}
