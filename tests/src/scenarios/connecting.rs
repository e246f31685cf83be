//! Addresses, tokens, headers and negotiation.

use signalr_client::{StartErrorKind, TransportKind};

use crate::{Failure, Outcome, Platform, Session, ensure, ensure_eq, with_causes};

/// Why a hub cannot be connected to.
async fn refusal<R: Platform>(
    session: &Session<R>,
    hub: &str,
    token: Option<&str>,
) -> Result<String, Failure> {
    let mut builder = session.builder(hub);
    if let Some(token) = token {
        builder = builder.token(token);
    }
    match builder.build_on(R::default())?.start().await {
        Ok(()) => Err(format!("{hub} lets everybody in").into()),
        Err(error) if matches!(error.kind(), StartErrorKind::Failed(_)) => Ok(with_causes(&error)),
        Err(other) => Err(other.into()),
    }
}

pub(super) async fn skips_negotiation<R: Platform>(session: Session<R>) -> Outcome {
    let built = session
        .builder("/hub")
        .skip_negotiation(true)
        .build_on(R::default());
    if session.transport() != TransportKind::WebSockets {
        let refusal = built.err().map(|error| error.to_string());
        ensure!(
            refusal
                .as_ref()
                .is_some_and(|words| words.contains("WebSocket transport directly")),
            "{refusal:?}"
        );
        return Ok(());
    }
    let connection = built?;
    connection.start().await?;
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    ensure_eq!(connection.connection_id(), None);
    connection.stop().await;
    Ok(())
}

pub(super) async fn a_hub_with_this_transport_alone_is_used<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let hub = format!("/{}", session.transport().name().to_lowercase());
    let hub = if hub == "/serversentevents" {
        "/sse"
    } else {
        &hub
    };
    let connection = session.connect(hub).await?;
    ensure_eq!(connection.transport(), Some(session.transport()));
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    Ok(())
}

pub(super) async fn a_redirect_is_followed<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session.connect("/redirect").await?;
    ensure_eq!(connection.invoke::<String>("UserName", ()).await?, "alice");
    ensure_eq!(
        connection.invoke::<String>("Query", ("via",)).await?,
        "redirect"
    );
    Ok(())
}

pub(super) async fn bad_answers_to_negotiate_are_told_apart<R: Platform>(
    session: Session<R>,
) -> Outcome {
    let another = if session.transport() == TransportKind::WebSockets {
        "/longpolling"
    } else {
        "/websockets"
    };
    for (hub, words) in [
        ("/loop", "redirection limit of 100"),
        ("/refused", "This connection is not allowed."),
        ("/broken", "invalid negotiation response"),
        ("/classic", "ASP.NET SignalR server"),
        ("/unavailable", "503"),
        ("/nowhere", "404"),
        (another, "transports"),
    ] {
        let refusal = refusal(&session, hub, None).await?;
        ensure!(refusal.contains(words), "{hub}: {refusal}");
    }
    Ok(())
}

pub(super) async fn tokens_are_used_and_refused<R: Platform>(session: Session<R>) -> Outcome {
    for token in [None, Some("expired")] {
        let refusal = refusal(&session, "/auth", token).await?;
        ensure!(
            refusal.contains("401") && refusal.contains("token"),
            "{refusal}"
        );
        ensure!(!refusal.contains("expired"), "the token shows: {refusal}");
    }
    for in_query in [false, true] {
        let connection = session
            .builder("/auth")
            .token("carol")
            .token_in_query(in_query)
            .build_on(R::default())?;
        connection.start().await?;
        ensure_eq!(connection.invoke::<String>("UserName", ()).await?, "carol");
    }
    let connection = session
        .builder("/auth")
        .access_token(|| async { Err::<String, _>("logged out") })
        .build_on(R::default())?;
    let Err(error) = connection.start().await else {
        return Err("connected without a token".into());
    };
    ensure!(with_causes(&error).contains("logged out"), "{error:?}");
    if session.transport() != TransportKind::WebSockets {
        return Ok(());
    }
    let connection = session
        .builder("/auth")
        .token("dave")
        .skip_negotiation(true)
        .build_on(R::default())?;
    connection.start().await?;
    ensure_eq!(connection.invoke::<String>("UserName", ()).await?, "dave");
    Ok(())
}

pub(super) async fn headers_and_query_are_sent<R: Platform>(session: Session<R>) -> Outcome {
    let connection = session
        .builder("/hub?colour=red")
        .header("X-Colour", "blue")
        .build_on(R::default())?;
    connection.start().await?;
    ensure_eq!(
        connection.invoke::<String>("Query", ("colour",)).await?,
        "red"
    );
    ensure_eq!(
        connection.invoke::<String>("Header", ("X-Colour",)).await?,
        "blue"
    );
    Ok(())
}

/// Without a wish of the user's the server's first transport is taken that can carry the messages.
pub(super) async fn the_servers_favourite_is_taken_or_the_next_that_works<R: Platform>(
    session: Session<R>,
) -> Outcome {
    for (hub, json, binary) in [
        (
            "/hub",
            TransportKind::WebSockets,
            Some(TransportKind::WebSockets),
        ),
        ("/sse", TransportKind::ServerSentEvents, None),
        (
            "/longpolling",
            TransportKind::LongPolling,
            Some(TransportKind::LongPolling),
        ),
    ] {
        let connection = session.any_transport(hub).build_on(R::default())?;
        let started = connection.start().await;
        match if session.is_json() {
            Some(json)
        } else {
            binary
        } {
            Some(expected) => {
                if started
                    .as_ref()
                    .is_err_and(|error| with_causes(error).contains("none of the"))
                {
                    // A server without this transport.
                    continue;
                }
                started?;
                ensure_eq!(connection.transport(), Some(expected));
                ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
            }
            None => {
                let refusal = started
                    .err()
                    .map(|error| with_causes(&error))
                    .unwrap_or_default();
                ensure!(
                    refusal.contains("does not support Binary") || refusal.contains("none of the"),
                    "{refusal}"
                );
            }
        }
        connection.stop().await;
    }
    Ok(())
}
