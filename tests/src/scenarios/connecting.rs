//! Addresses, tokens, headers and negotiation.

use signalr_client::{Error, Launch};

use crate::{Failure, Outcome, Session, ensure, ensure_eq};

/// Why a hub cannot be connected to.
async fn refusal<R: Launch>(
    session: &Session<R>,
    hub: &str,
    token: Option<&str>,
) -> Result<String, Failure> {
    let mut builder = session.builder(hub);
    if let Some(token) = token {
        builder = builder.token(token);
    }
    match builder.build()?.start().await {
        Ok(()) => Err(format!("{hub} lets everybody in").into()),
        Err(error @ Error::Start(_)) => Ok(error.to_string()),
        Err(other) => Err(other.into()),
    }
}

pub(super) async fn skips_negotiation<R: Launch>(session: Session<R>) -> Outcome {
    let connection = session.builder("/hub").skip_negotiation(true).build()?;
    connection.start().await?;
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    ensure_eq!(connection.connection_id(), None);
    connection.stop().await;
    Ok(())
}

pub(super) async fn a_hub_with_this_transport_alone_is_used<R: Launch>(
    session: Session<R>,
) -> Outcome {
    let connection = session.connect("/websockets").await?;
    ensure_eq!(connection.invoke::<i32>("Add", (1, 2)).await?, 3);
    Ok(())
}

pub(super) async fn a_redirect_is_followed<R: Launch>(session: Session<R>) -> Outcome {
    let connection = session.connect("/redirect").await?;
    ensure_eq!(connection.invoke::<String>("UserName", ()).await?, "alice");
    ensure_eq!(
        connection.invoke::<String>("Query", ("via",)).await?,
        "redirect"
    );
    Ok(())
}

pub(super) async fn bad_answers_to_negotiate_are_told_apart<R: Launch>(
    session: Session<R>,
) -> Outcome {
    for (hub, words) in [
        ("/loop", "redirection limit of 100"),
        ("/refused", "This connection is not allowed."),
        ("/broken", "invalid negotiation response"),
        ("/classic", "ASP.NET SignalR server"),
        ("/unavailable", "503"),
        ("/nowhere", "404"),
        ("/sse", "none of the transports"),
    ] {
        let refusal = refusal(&session, hub, None).await?;
        ensure!(refusal.contains(words), "{hub}: {refusal}");
    }
    Ok(())
}

pub(super) async fn tokens_are_used_and_refused<R: Launch>(session: Session<R>) -> Outcome {
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
            .build()?;
        connection.start().await?;
        ensure_eq!(connection.invoke::<String>("UserName", ()).await?, "carol");
    }
    let connection = session
        .builder("/auth")
        .access_token(|| async { Err::<String, _>("logged out") })
        .build()?;
    let Err(error) = connection.start().await else {
        return Err("connected without a token".into());
    };
    ensure!(error.to_string().contains("logged out"), "{error}");
    let connection = session
        .builder("/auth")
        .token("dave")
        .skip_negotiation(true)
        .build()?;
    connection.start().await?;
    ensure_eq!(connection.invoke::<String>("UserName", ()).await?, "dave");
    Ok(())
}

pub(super) async fn headers_and_query_are_sent<R: Launch>(session: Session<R>) -> Outcome {
    let connection = session
        .builder("/hub?colour=red")
        .header("X-Colour", "blue")
        .build()?;
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
