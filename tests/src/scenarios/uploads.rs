//! Streams to the server.

use core::time::Duration;

use futures_channel::mpsc;
use futures_util::{StreamExt as _, stream};
use signalr_client::{Argument, CallError, CallErrorKind, Spread, Upload};

use crate::{Outcome, Platform, Session, ensure, ensure_eq};

pub(super) async fn numbers_are_summed<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/hub").await?;
    ensure_eq!(
        connection
            .invoke::<i64>("Sum", (Upload::new(stream::iter(0..1000)),))
            .await?,
        499_500
    );
    ensure_eq!(
        connection
            .invoke::<i64>("Sum", (Upload::new(stream::empty::<i32>()),))
            .await?,
        0
    );
    let (sender, numbers) = mpsc::unbounded();
    let sum = connection.invoke::<i64>("Sum", (Upload::new(numbers),));
    for number in 0..20 {
        sender.unbounded_send(number)?;
        session.sleep(Duration::from_millis(2)).await;
    }
    drop(sender);
    ensure_eq!(sum.await?, 190);
    Ok(())
}

pub(super) async fn two_streams_of_one_call_advance_side_by_side<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/hub").await?;
    let words = |words: [&'static str; 3]| Upload::new(stream::iter(words));
    let joined = connection
        .invoke::<String>(
            "JoinApart",
            (words(["a", "b", "c"]), "-", words(["d", "e", "f"])),
        )
        .await?;
    ensure_eq!(joined, "a-b-c-d-e-f");
    let joined = connection
        .invoke::<String>(
            "Join",
            (words(["a", "b", "c"]), words(["d", "e", "f"]), "-"),
        )
        .await?;
    ensure_eq!(joined, "a-b-c-d-e-f");
    // The first ends only after the second is read to its end here, so neither may hold up the other.
    let (sender, left) = mpsc::unbounded();
    let mut last = Some(sender);
    let right = stream::iter(["x", "y"]).map(move |word| {
        if word == "y" {
            if let Some(sender) = last.take() {
                let _ = sender.unbounded_send("left");
            }
        }
        word
    });
    let joined = connection
        .invoke::<String>("Join", (Upload::new(left), Upload::new(right), "-"))
        .await?;
    ensure_eq!(joined, "left-x-y");
    Ok(())
}

pub(super) async fn streams_run_both_ways<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/hub").await?;
    let (sender, words) = mpsc::unbounded();
    sender.unbounded_send("w0".to_owned())?;
    let mut sender = Some(sender);
    let mut upper = connection
        .stream::<String>("Upper", (Upload::new(words),))
        .await?;
    let mut count = 0;
    while let Some(word) = upper.next().await {
        ensure_eq!(word?, format!("W{count}"));
        count += 1;
        if count == 50 {
            sender = None;
        } else if let Some(sender) = &sender {
            sender.unbounded_send(format!("w{count}"))?;
        }
    }
    ensure_eq!(count, 50);
    Ok(())
}

pub(super) async fn a_failing_upload_is_reported<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/hub").await?;
    let numbers = stream::iter([Ok(1), Ok(2), Err("gave up")]);
    let outcome = connection
        .invoke::<String>("UploadOutcome", (Upload::try_new(numbers),))
        .await?;
    ensure!(
        outcome.starts_with("failed after 2:")
            && outcome.contains("Stream errored by client: 'gave up'"),
        "{outcome}"
    );
    Ok(())
}

/// The server answers a call that was given up when its method has ended, which one that waits for items does not by itself.
pub(super) async fn a_call_that_is_given_up_ends_its_uploads<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/hub").await?;
    let answers = || {
        let stats = connection.stats();
        stats.messages_received - stats.pings_received
    };
    for timeout in [false, true] {
        let upload = Upload::new(stream::pending::<i32>());
        let mut call = connection.invoke::<i64>("Sum", (upload,));
        ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
        let before = answers();
        if timeout {
            let after = Duration::from_millis(1);
            call = call.timeout(after);
            let late = call.await.map_err(CallError::into_kind);
            ensure_eq!(late, Err(CallErrorKind::Timeout { after }));
        } else {
            drop(call);
        }
        for _ in 0..500 {
            if answers() > before {
                break;
            }
            session.sleep(Duration::from_millis(10)).await;
        }
        ensure_eq!(answers(), before + 1);
    }
    Ok(())
}

pub(super) async fn dynamic_arguments_may_hold_streams<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/hub").await?;
    let upload = |word| Argument::Upload(Upload::new(stream::iter([word])));
    let arguments = vec![upload("a"), Argument::Value("+".into()), upload("b")];
    ensure_eq!(
        connection
            .invoke::<String>("JoinApart", Spread(arguments))
            .await?,
        "a+b"
    );
    ensure_eq!(
        connection
            .invoke::<i32>(
                "Add",
                Spread(vec![serde_json::json!(1), serde_json::json!(2)])
            )
            .await?,
        3
    );
    Ok(())
}

pub(super) async fn wrong_uploads_have_the_servers_words<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/hub").await?;
    let outcome = connection
        .invoke::<String>("UploadOutcome", (Upload::new(stream::iter(["x"])),))
        .await?;
    ensure_eq!(outcome, "failed after 0: Failed to bind Stream message.");
    let words = "An unexpected error occurred invoking 'Sum' on the server. HubException: Client sent 0 stream(s), Hub method expects 1.";
    let refused = connection.invoke::<i64>("Sum", ()).await;
    ensure_eq!(
        refused.map_err(CallError::into_kind),
        Err(CallErrorKind::Server {
            error: words.into()
        })
    );
    Ok(())
}
