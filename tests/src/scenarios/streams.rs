//! Streams from the server.

use futures_util::{TryStreamExt as _, future};
use signalr_client::{CallArguments, CallError, CallErrorKind, HubConnection};

use crate::{Failure, Outcome, Platform, Session, ensure, ensure_eq};

async fn all(
    connection: &HubConnection,
    target: &str,
    arguments: impl CallArguments,
) -> Result<Vec<i32>, CallError> {
    connection
        .stream::<i32>(target, arguments)
        .await?
        .try_collect()
        .await
}

pub(super) async fn items_come_in_order<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/hub").await?;
    ensure_eq!(
        all(&connection, "Count", (1000, 0)).await?,
        (0..1000).collect::<Vec<_>>()
    );
    ensure_eq!(all(&connection, "Count", (0, 0)).await?, Vec::<i32>::new());
    let letters: Vec<String> = connection
        .stream::<String>("Letters", ("abc",))
        .await?
        .try_collect()
        .await?;
    ensure_eq!(letters, ["a", "b", "c"]);
    Ok(())
}

pub(super) async fn several_streams_run_at_once<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/hub").await?;
    let streams = [10, 20, 30, 40].map(|count| all(&connection, "Count", (count, 1)));
    let lengths: Vec<_> = future::try_join_all(streams)
        .await?
        .iter()
        .map(Vec::len)
        .collect();
    ensure_eq!(lengths, [10, 20, 30, 40]);
    Ok(())
}

pub(super) async fn a_dropped_stream_is_cancelled<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/hub").await?;
    let before = connection
        .invoke::<i64>("Counter", ("cancelled-stream",))
        .await?;
    let mut numbers = connection.stream::<i32>("Count", (100_000, 5)).await?;
    for number in 0..5 {
        ensure_eq!(numbers.next().await, Some(Ok(number)));
    }
    drop(numbers);
    session
        .counted(&connection, "cancelled-stream", before + 1)
        .await?;
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    Ok(())
}

pub(super) async fn an_item_of_the_wrong_type_ends_its_stream_only<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/hub").await?;
    let mut numbers = connection.stream::<String>("Count", (100_000, 5)).await?;
    let first = numbers.next().await;
    let first = first.map(|item| item.map_err(CallError::into_kind));
    ensure!(
        matches!(first, Some(Err(CallErrorKind::Decode(_)))),
        "{first:?}"
    );
    ensure_eq!(numbers.next().await, None);
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    Ok(())
}

async fn failure(
    connection: &HubConnection,
    target: &str,
    arguments: impl CallArguments,
) -> Result<(usize, String), Failure> {
    let mut items = connection.stream::<i32>(target, arguments).await?;
    let mut count = 0;
    loop {
        let item = items.next().await;
        match item.map(|item| item.map_err(CallError::into_kind)) {
            Some(Ok(_)) => count += 1,
            Some(Err(CallErrorKind::Server { error })) => return Ok((count, error.into())),
            other => return Err(format!("{target}: {other:?}").into()),
        }
    }
}

pub(super) async fn failures_of_streams_have_the_servers_words<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/hub").await?;
    ensure_eq!(
        failure(&connection, "CountThenFail", (3,)).await?,
        (3, "An error occurred on the server while streaming results. HubException: the stream failed".to_owned())
    );
    ensure_eq!(
        failure(&connection, "Nope", ()).await?,
        (0, "Failed to invoke 'Nope' due to an error on the server. HubException: Method does not exist.".to_owned())
    );
    ensure_eq!(
        failure(&connection, "Add", (1, 2)).await?,
        (0, "The client attempted to invoke the non-streaming 'Add' method with a streaming invocation.".to_owned())
    );
    let called = connection.invoke::<i32>("Count", (1, 0)).await;
    let words = "The client attempted to invoke the streaming 'Count' method with a non-streaming invocation.";
    ensure_eq!(
        called.map_err(CallError::into_kind),
        Err(CallErrorKind::Server {
            error: words.into()
        })
    );
    Ok(())
}
