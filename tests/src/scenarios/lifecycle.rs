//! How connections begin, end and come back.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_channel::mpsc;
use futures_util::{FutureExt as _, StreamExt as _, future};
use signalr_client::{
    CallError, CallErrorKind, CloseReason, ConnectionState, HubConnection, LifecycleEvent,
    ReconnectPolicy, RetryPolicy, StartError, StartErrorKind, TransportKind,
};

use crate::{Failure, Outcome, Platform, Session, ensure, ensure_eq, with_causes};

/// What `on_close` is told.
fn closes(connection: &HubConnection) -> mpsc::UnboundedReceiver<Option<CloseReason>> {
    let (sender, receiver) = mpsc::unbounded();
    connection.on_close(move |reason| {
        let _ = sender.unbounded_send(reason.cloned());
    });
    receiver
}

/// Whether a call failed because its connection ended.
fn is_lost<T>(outcome: &Result<T, CallError>) -> bool {
    let error = outcome.as_ref().err();
    error.is_some_and(|error| matches!(error.kind(), CallErrorKind::ConnectionLost(_)))
}

pub(super) async fn connects_has_an_id_and_stops<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.builder("/hub").build_on(R::default())?;
    let mut closed = closes(&connection);
    ensure_eq!(
        (connection.state(), connection.connection_id()),
        (ConnectionState::Disconnected, None)
    );
    connection.start().await?;
    ensure_eq!(connection.state(), ConnectionState::Connected);
    ensure_eq!(
        connection.invoke::<String>("ConnectionId", ()).await.ok(),
        connection.connection_id()
    );
    ensure_eq!(
        connection.invoke::<String>("Transport", ()).await?,
        session.transport().name()
    );
    connection.stop().await;
    ensure_eq!(
        (connection.state(), connection.connection_id()),
        (ConnectionState::Disconnected, None)
    );
    ensure_eq!(session.soon(&mut closed).await?, None);
    connection.stop().await;
    Ok(())
}

pub(super) async fn a_second_start_is_refused_and_harmless<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.builder("/hub").build_on(R::default())?;
    let (first, second) = future::join(connection.start(), connection.start()).await;
    ensure_eq!(first, Ok(()));
    for refused in [second, connection.start().await] {
        ensure_eq!(
            refused.map_err(StartError::into_kind),
            Err(StartErrorKind::NotDisconnected)
        );
    }
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    connection.stop().await;
    Ok(())
}

pub(super) async fn starts_again_after_a_stop<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/hub").await?;
    let first = connection.connection_id();
    connection.stop().await;
    connection.start().await?;
    ensure!(first != connection.connection_id(), "the same id twice");
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    connection.stop().await;
    Ok(())
}

pub(super) async fn stops_in_every_state<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session
        .builder("/hub")
        .automatic_reconnect(vec![Duration::from_secs(60)])
        .build_on(R::default())?;
    connection.stop().await;
    let (started, ()) = future::join(connection.start(), connection.stop()).await;
    ensure_eq!(
        started.map_err(StartError::into_kind),
        Err(StartErrorKind::Failed(CloseReason::Stopped))
    );
    ensure_eq!(connection.state(), ConnectionState::Disconnected);
    connection.start().await?;
    let call = connection.invoke::<String>("Slow", (20_000, "x"));
    let stops = future::join(connection.stop(), connection.stop());
    let (answer, _) = future::join(call, stops).await;
    ensure_eq!(
        answer.map_err(CallError::into_kind),
        Err(CallErrorKind::ConnectionLost(CloseReason::Stopped))
    );
    ensure_eq!(connection.state(), ConnectionState::Disconnected);
    Ok(())
}

/// How often a connection may be given up because the machine was busy elsewhere. One without pings is given up every time.
const STANDSTILLS: usize = 5;

pub(super) async fn stays_connected_by_pings<R: Platform>(session: Session<R>) -> Outcome {
    for _ in 0..STANDSTILLS {
        if outlives_its_timeouts(&session).await? {
            return Ok(());
        }
    }
    Err(format!("{STANDSTILLS} connections were given up").into())
}

/// Whether a connection is there after five seconds of nothing but pings, of which each side gives it up after two without.
async fn outlives_its_timeouts<R: Platform>(session: &Session<R>) -> Result<bool, Failure> {
    let builder = session
        .builder("/tiny")
        .keep_alive_interval(Duration::from_millis(500))
        .server_timeout(Duration::from_secs(2));
    let connection = builder.build_on(R::default())?;
    if connection.start().await.is_err() {
        return Ok(false);
    }
    session.sleep(Duration::from_secs(5)).await;
    if connection.state() != ConnectionState::Connected {
        return Ok(false);
    }
    let sum = connection.invoke::<i32>("Add", (1, 2)).await;
    connection.stop().await;
    Ok(matches!(sum, Ok(3)))
}

pub(super) async fn calls_before_start_and_after_stop_are_refused<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.builder("/hub").build_on(R::default())?;
    ensure_eq!(
        connection
            .invoke::<i32>("Add", (1, 2))
            .await
            .map_err(CallError::into_kind),
        Err(CallErrorKind::NotConnected)
    );
    ensure_eq!(
        connection
            .send("DoNothing", ())
            .await
            .map_err(CallError::into_kind),
        Err(CallErrorKind::NotConnected)
    );
    ensure!(
        connection.stream::<i32>("Count", (1, 0)).await.is_err(),
        "a stream without a connection"
    );
    connection.start().await?;
    connection.stop().await;
    ensure_eq!(
        connection
            .invoke::<i32>("Add", (1, 2))
            .await
            .map_err(CallError::into_kind),
        Err(CallErrorKind::NotConnected)
    );
    Ok(())
}

pub(super) async fn a_stop_from_inside_a_handler_works<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/hub").await?;
    let mut closed = closes(&connection);
    let weak = connection.downgrade();
    connection.on("Stop", move |_: i32| {
        let connection = weak.upgrade();
        async move {
            if let Some(connection) = connection {
                connection.stop().await;
            }
        }
    });
    connection.send("SendToCaller", ("Stop", 1)).await?;
    ensure_eq!(session.soon(&mut closed).await?, None);
    ensure_eq!(connection.state(), ConnectionState::Disconnected);
    Ok(())
}

pub(super) async fn the_last_handle_stops_the_connection<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/hub").await?;
    let mut closed = closes(&connection);
    let other = connection.clone();
    drop(connection);
    ensure_eq!(other.invoke::<i32>("Add", (1, 2)).await?, 3);
    let weak = other.downgrade();
    drop(other);
    ensure_eq!(session.soon(&mut closed).await?, None);
    ensure!(weak.upgrade().is_none(), "a handle out of nowhere");
    Ok(())
}

pub(super) async fn is_closed_by_the_hub_without_reconnecting<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let connection = session
        .builder("/hub")
        .automatic_reconnect(ReconnectPolicy::standard())
        .build_on(R::default())?;
    let mut closed = closes(&connection);
    connection.start().await?;
    let aborted = connection.invoke::<()>("Abort", ()).await;
    ensure!(aborted.is_ok() || is_lost(&aborted), "{aborted:?}");
    ensure_eq!(session.soon(&mut closed).await?, None);
    ensure_eq!(connection.state(), ConnectionState::Disconnected);
    Ok(())
}

pub(super) async fn hears_what_the_hub_says_first<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.builder("/greeting").build_on(R::default())?;
    let (sender, mut heard) = mpsc::unbounded();
    connection.on("Welcome", move |number: i32| {
        let _ = sender.unbounded_send(number);
    });
    connection.start().await?;
    for number in 0..3 {
        ensure_eq!(session.soon(&mut heard).await?, number);
    }
    Ok(())
}

pub(super) async fn a_start_that_cannot_connect_says_so<R: Platform>(_: Session<R>) -> Outcome {
    let connection = HubConnection::builder("http://127.0.0.1:1/hub?access_token=canary")
        .build_on(R::default())?;
    let Err(error) = connection.start().await else {
        return Err("connected to nothing".into());
    };
    ensure!(
        matches!(
            error.kind(),
            StartErrorKind::Failed(CloseReason::TransportFailed { .. })
        ) && error.is_transient(),
        "{error:?}"
    );
    ensure_eq!(error.address(), "http://127.0.0.1:1/hub");
    ensure!(
        with_causes(&error).starts_with(
            "could not connect to http://127.0.0.1:1/hub: 127.0.0.1:1 cannot be reached: "
        ),
        "{error:?}"
    );
    ensure!(!format!("{error:?}").contains("canary"), "the query shows");
    let connection =
        HubConnection::builder("http://no-such-host.invalid/hub").build_on(R::default())?;
    let Err(error) = connection.start().await else {
        return Err("connected to nothing".into());
    };
    ensure!(
        error.to_string().contains("no-such-host.invalid"),
        "{error}"
    );
    Ok(())
}

pub(super) async fn is_turned_away_by_a_hub<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session
        .builder("/failing")
        .automatic_reconnect(ReconnectPolicy::standard())
        .build_on(R::default())?;
    let mut closed = closes(&connection);
    connection.start().await?;
    let Some(reason) = session.soon(&mut closed).await? else {
        return Err("closed without a reason".into());
    };
    ensure!(reason.to_string().contains("not today"), "{reason}");
    Ok(())
}

pub(super) async fn a_message_over_the_servers_limit_ends_the_connection_and_its_calls<
    R: Platform,
>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/hub").await?;
    let mut closed = closes(&connection);
    let answer = connection
        .invoke::<String>("EchoText", ("x".repeat(40_000),))
        .await;
    ensure!(is_lost(&answer), "{:?}", answer.map(|text| text.len()));
    let Some(reason) = session.soon(&mut closed).await? else {
        return Err("closed without a reason".into());
    };
    ensure!(
        reason
            .to_string()
            .contains("Connection closed with an error."),
        "{reason}"
    );
    Ok(())
}

pub(super) async fn an_expired_token_is_replaced<R: Platform>(session: Session<R>) -> Outcome {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let first_tokens = if session.transport() == TransportKind::WebSockets {
        2
    } else {
        1
    };
    let builder = session
        .builder("/expiring")
        .automatic_reconnect(ReconnectPolicy::standard());
    let connection = builder
        .access_token(move || {
            // Negotiation of the first connection, and its WebSocket, which has a token of its own.
            let first = count.fetch_add(1, Ordering::Relaxed) < first_tokens;
            async move { if first { "short" } else { "long" }.to_owned() }
        })
        .build_on(R::default())?;
    let mut events = connection.events();
    connection.start().await?;
    // On a busy machine two seconds may be over before the answer is there.
    match connection.invoke::<String>("UserName", ()).await {
        Ok(name) => ensure_eq!(name, "short"),
        Err(error) if matches!(error.kind(), CallErrorKind::ConnectionLost(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let back = async {
        while let Some(event) = events.next().await {
            if matches!(event, LifecycleEvent::Reconnected { .. }) {
                break;
            }
        }
    };
    session.within(Duration::from_secs(30), back).await?;
    ensure_eq!(connection.invoke::<String>("UserName", ()).await?, "long");
    Ok(())
}

pub(super) async fn a_cut_connection_comes_back<R: Platform>(session: Session<R>) -> Outcome {
    if session.transport() == TransportKind::LongPolling {
        // The official server has nothing to cut there: the request it remembers is over.
        return Ok(());
    }
    let connection = session
        .builder("/nostateful")
        .automatic_reconnect(ReconnectPolicy::standard())
        .build_on(R::default())?;
    let (sender, mut heard) = mpsc::unbounded();
    let lost = sender.clone();
    connection.on_reconnecting(move |reason| {
        let _ = lost.unbounded_send(format!("lost {}", reason.is_clean()));
    });
    connection.on_reconnected(move |id| {
        let _ = sender.unbounded_send(id.unwrap_or_default().to_owned());
    });
    connection.start().await?;
    let first = connection.connection_id().unwrap_or_default();
    let pending = connection.invoke::<String>("Slow", (20_000, "x"));
    let items = connection.stream::<i32>("Count", (1000, 1000)).await?;
    session.admin(&format!("cut/{first}")).await?;
    ensure_eq!(session.soon(&mut heard).await?, "lost false");
    ensure!(is_lost(&pending.await), "the pending call has an answer");
    let last = items.collect::<Vec<_>>().await.pop();
    ensure!(
        last.as_ref().is_some_and(is_lost),
        "the stream ends with {last:?}"
    );
    let second = session.soon(&mut heard).await?;
    ensure!(
        second != first && Some(&second) == connection.connection_id().as_ref(),
        "{first} became {second}"
    );
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    ensure!(heard.try_recv().is_err(), "something was told twice");
    Ok(())
}

pub(super) async fn a_custom_policy_decides<R: Platform>(session: Session<R>) -> Outcome {
    if session.transport() == TransportKind::LongPolling {
        // The official server has nothing to cut there: the request it remembers is over.
        return Ok(());
    }
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let policy = RetryPolicy::custom(move |context| {
        count.fetch_add(1, Ordering::Relaxed);
        (context.previous_retry_count == 0).then_some(Duration::from_secs(60))
    });
    let connection = session
        .builder("/nostateful")
        .automatic_reconnect(policy)
        .build_on(R::default())?;
    let mut closed = closes(&connection);
    connection.start().await?;
    session
        .admin(&format!(
            "cut/{}",
            connection.connection_id().unwrap_or_default()
        ))
        .await?;
    while connection.state() != ConnectionState::Reconnecting {
        session.sleep(Duration::from_millis(20)).await;
    }
    ensure_eq!(
        connection
            .invoke::<i32>("Add", (1, 2))
            .await
            .map_err(CallError::into_kind),
        Err(CallErrorKind::NotConnected)
    );
    session
        .within(Duration::from_secs(5), connection.stop())
        .await?;
    ensure_eq!(session.soon(&mut closed).await?, None);
    ensure_eq!(asked.load(Ordering::Relaxed), 1);
    Ok(())
}

pub(super) async fn a_lost_connection_without_policy_is_closed<R: Platform>(
    session: Session<R>,
) -> Outcome {
    if session.transport() == TransportKind::LongPolling {
        // The official server has nothing to cut there: the request it remembers is over.
        return Ok(());
    }
    let connection = session.connect("/nostateful").await?;
    let mut closed = closes(&connection);
    session
        .admin(&format!(
            "cut/{}",
            connection.connection_id().unwrap_or_default()
        ))
        .await?;
    let reason = session.soon(&mut closed).await?;
    ensure!(reason.is_some(), "no reason");
    ensure_eq!(connection.start().now_or_never(), None);
    connection.stop().await;
    Ok(())
}

/// Cut again and again, a stateful connection loses, doubles and reorders nothing, and nobody hears of it.
pub(super) async fn a_stateful_connection_outlives_its_web_sockets<R: Platform>(
    session: Session<R>,
) -> Outcome {
    if session.transport() != TransportKind::WebSockets {
        return Ok(());
    }
    let connection = session
        .builder("/hub")
        .stateful_reconnect(true)
        .automatic_reconnect(ReconnectPolicy::standard())
        .build_on(R::default())?;
    let mut events = connection.events();
    let (sender, mut heard) = mpsc::unbounded();
    connection.on("Number", move |number: i32| {
        let _ = sender.unbounded_send(number);
    });
    connection.start().await?;
    let id = connection.connection_id().ok_or("no id")?;
    let slow = connection.invoke::<String>("Slow", (1500, "survived"));
    for _ in 0..4 {
        session.admin(&format!("cut/{id}")).await?;
        let calls = (0..50).map(|number| connection.invoke::<i32>("Add", (number, 1)));
        let calls = future::try_join_all(calls.collect::<Vec<_>>());
        session.admin(&format!("send/{id}/Number/200")).await?;
        for expected in 0..200 {
            ensure_eq!(session.soon(&mut heard).await?, expected);
        }
        let sums = session.within(Duration::from_secs(8), calls).await??;
        ensure_eq!(sums, (1..51).collect::<Vec<_>>());
    }
    ensure_eq!(slow.await?, "survived");
    ensure_eq!(connection.connection_id(), Some(id));
    let mut resumed = 0;
    while let Some(Some(event)) = events.next().now_or_never() {
        let expected = matches!(
            event,
            LifecycleEvent::Resumed
                | LifecycleEvent::Connected { .. }
                | LifecycleEvent::Resuming { .. }
        );
        ensure!(expected, "{event:?}");
        resumed += i32::from(event == LifecycleEvent::Resumed);
    }
    ensure!(resumed >= 1, "nothing was cut");
    connection.stop().await;
    ensure!(
        heard.next().now_or_never().is_none(),
        "something came twice"
    );
    Ok(())
}

/// Between two connections calls wait, those that may be repeated are, and sends lie in the queue.
pub(super) async fn calls_wait_and_are_repeated_over_a_cut<R: Platform>(
    session: Session<R>,
) -> Outcome {
    if session.transport() == TransportKind::LongPolling {
        // The official server has nothing to cut there: the request it remembers is over.
        return Ok(());
    }
    let connection = session
        .builder("/nostateful")
        .automatic_reconnect(vec![Duration::from_secs(3600)])
        .offline_queue(10_000, Duration::from_secs(60))
        .build_on(R::default())?;
    let (sender, mut heard) = mpsc::unbounded();
    connection.on("Mail", move |text: String| {
        let _ = sender.unbounded_send(text);
    });
    let mut states = connection.states();
    ensure_eq!(states.next().await, Some(ConnectionState::Disconnected));
    connection.start().await?;
    session
        .within(
            Duration::from_secs(8),
            connection.wait_until(ConnectionState::Connected),
        )
        .await??;
    let lost = connection.invoke::<String>("Slow", (500, "once"));
    let repeated = connection
        .idempotent()
        .invoke::<String>("Slow", (500, "twice"));
    let id = connection.connection_id().ok_or("no id")?;
    session.admin(&format!("cut/{id}")).await?;
    session
        .within(
            Duration::from_secs(8),
            connection.wait_until(ConnectionState::Reconnecting),
        )
        .await??;
    ensure!(is_lost(&lost.await), "a call outlived its connection");
    ensure_eq!(
        connection
            .invoke::<i32>("Add", (1, 2))
            .await
            .map_err(CallError::into_kind),
        Err(CallErrorKind::NotConnected)
    );
    let waiting = connection.waiting().invoke::<i32>("Add", (1, 2));
    connection.send("SendToCaller", ("Mail", "later")).await?;
    // The delay is an hour; nobody wants to wait for that.
    connection.retry_now();
    ensure_eq!(session.within(Duration::from_secs(8), waiting).await??, 3);
    ensure_eq!(
        session.within(Duration::from_secs(8), repeated).await??,
        "twice"
    );
    ensure_eq!(session.soon(&mut heard).await?, "later");
    let stats = connection.stats();
    ensure_eq!((stats.reconnects, stats.resumes), (1, 0));
    ensure!(stats.round_trip.is_some(), "nothing was measured");
    connection.stop().await;
    Ok(())
}
