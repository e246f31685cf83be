//! Calls with one answer or none.

use core::time::Duration;

use futures_util::future;
use signalr_client::{CallError, CallErrorKind, HubConnection, Spread};

use crate::{Failure, Outcome, Platform, Session, ensure, ensure_eq};

pub(super) async fn results_come_back<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/hub").await?;
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    ensure_eq!(
        connection
            .invoke::<String>("Concat", ("a", String::from("b")))
            .await?,
        "ab"
    );
    ensure_eq!(
        connection
            .invoke::<i32>("CountNames", (["a", "b"],))
            .await?,
        2
    );
    ensure!(
        matches!(
            connection
                .invoke::<String>("Add", (1, 2))
                .await
                .map_err(CallError::into_kind),
            Err(CallErrorKind::Decode(_))
        ),
        "3 was read as text"
    );
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    Ok(())
}

pub(super) async fn text_of_every_kind_comes_back<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/hub").await?;
    for text in ["", "a", "é漢😀", "\u{1e}\0\n\"\\", &"x".repeat(20_000)] {
        ensure_eq!(
            connection.invoke::<String>("EchoText", (text,)).await?,
            text
        );
    }
    ensure_eq!(
        connection
            .invoke::<Option<String>>("EchoText", (None::<&str>,))
            .await?,
        None
    );
    Ok(())
}

pub(super) async fn void_null_and_renamed_methods_work<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/hub").await?;
    connection.invoke::<()>("DoNothing", ()).await?;
    ensure_eq!(
        connection.invoke::<Option<String>>("DoNothing", ()).await?,
        None
    );
    ensure_eq!(
        connection
            .invoke::<Option<String>>("ReturnNull", ())
            .await?,
        None
    );
    connection.invoke::<()>("Add", (1, 2)).await?;
    ensure_eq!(
        connection.invoke::<String>("renamed-method", ()).await?,
        "renamed"
    );
    ensure_eq!(connection.invoke::<i32>("add", (1, 2)).await?, 3);
    Ok(())
}

pub(super) async fn five_hundred_calls_in_flight_are_kept_apart<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/parallel").await?;
    let calls = (0..500)
        .map(|number| connection.invoke::<String>("Slow", (number % 7, number.to_string())));
    let answers = future::try_join_all(calls).await?;
    ensure_eq!(
        answers,
        (0..500)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
    );
    Ok(())
}

pub(super) async fn calls_are_sent_in_order<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/hub").await?;
    let slow = connection.invoke::<String>("Slow", (150, "a"));
    let quick = connection.invoke::<i32>("Add", (1, 2));
    // The hub runs one call of a client at a time, so the quick one has to wait whichever is awaited first.
    ensure_eq!(quick.await?, 3);
    ensure_eq!(
        futures_util::FutureExt::now_or_never(slow),
        Some(Ok("a".into()))
    );
    Ok(())
}

pub(super) async fn sends_arrive<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/hub").await?;
    let before = connection.invoke::<i64>("Counter", ("nothing",)).await?;
    for _ in 0..50 {
        connection.send("DoNothing", ()).await?;
    }
    future::try_join_all((0..50).map(|_| connection.send("DoNothing", ()))).await?;
    session
        .counted(&connection, "nothing", before + 100)
        .await?;
    connection.send("NoSuchMethod", ()).await?;
    connection.send("FailWith", ("ignored",)).await?;
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    Ok(())
}

pub(super) async fn a_dropped_call_disturbs_nothing<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/parallel").await?;
    drop(connection.invoke::<String>("Slow", (100, "a")));
    let mut polled = connection.invoke::<String>("Slow", (100, "b"));
    ensure!(
        futures_util::FutureExt::now_or_never(&mut polled).is_none(),
        "answered at once"
    );
    drop(polled);
    session.sleep(Duration::from_millis(300)).await;
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    Ok(())
}

pub(super) async fn a_deadline_ends_one_call<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/parallel").await?;
    let after = Duration::from_millis(200);
    let slow = connection
        .invoke::<String>("Slow", (30_000, "x"))
        .timeout(after);
    let quick = connection
        .invoke::<String>("Slow", (10, "y"))
        .timeout(Duration::from_secs(20));
    let (slow, quick) = session
        .within(Duration::from_secs(10), future::join(slow, quick))
        .await?;
    ensure_eq!(
        (slow.map_err(CallError::into_kind), quick),
        (Err(CallErrorKind::Timeout { after }), Ok("y".to_owned()))
    );
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    Ok(())
}

pub(super) async fn a_mebibyte_comes_back<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/large").await?;
    let text = "m".repeat(1 << 20);
    let (first, second) = future::try_join(
        connection.invoke::<String>("EchoText", (&text,)),
        connection.invoke::<String>("EchoText", (&text,)),
    )
    .await?;
    ensure!(first == text && second == text, "it came back changed");
    Ok(())
}

pub(super) async fn more_than_fits_waits_for_room<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/large").await?;
    let text = "r".repeat(100_000);
    let calls = (0..60).map(|number| {
        let call = connection.invoke::<String>("Concat", (number.to_string(), &text));
        let text = &text;
        async move { Ok::<_, CallError>(call.await? == format!("{number}{text}")) }
    });
    let answers = future::try_join_all(calls).await?;
    ensure!(
        answers.iter().all(|fits| *fits),
        "an answer went to another call"
    );
    future::try_join_all((0..60).map(|_| connection.send("EchoText", (&text,)))).await?;
    Ok(())
}

async fn failure(
    connection: &HubConnection,
    target: &str,
    arguments: Vec<serde_json::Value>,
) -> Result<String, Failure> {
    let called = connection.call(target, Spread(arguments)).await;
    match called.map_err(CallError::into_kind) {
        Err(CallErrorKind::Server { error }) => Ok(error.into()),
        other => Err(format!("{target}: {other:?}").into()),
    }
}

pub(super) async fn failures_have_the_servers_words<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/hub").await?;
    for (target, argument, words) in [
        (
            "FailWith",
            vec!["my words".into()],
            "An unexpected error occurred invoking 'FailWith' on the server. HubException: my words",
        ),
        (
            "FailInside",
            vec!["secret".into()],
            "An unexpected error occurred invoking 'FailInside' on the server.",
        ),
        (
            "Nope",
            vec![],
            "Failed to invoke 'Nope' due to an error on the server. HubException: Method does not exist.",
        ),
        (
            "Add",
            vec![1.into()],
            "Failed to invoke 'Add' due to an error on the server.",
        ),
        (
            "Add",
            vec!["x".into(), 2.into()],
            "Failed to invoke 'Add' due to an error on the server.",
        ),
    ] {
        ensure_eq!(failure(&connection, target, argument).await?, words);
    }
    let detailed = session.connect("/detailed").await?;
    ensure_eq!(
        failure(&detailed, "Add", vec![1.into()]).await?,
        "Failed to invoke 'Add' due to an error on the server. InvalidDataException: Invocation provides 1 argument(s) but target expects 2."
    );
    Ok(())
}
