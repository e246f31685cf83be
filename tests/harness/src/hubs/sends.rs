//! Calls on clients, groups, and questions.

use std::time::Duration;

use signalr_server::{CallContext, HubError, HubMethods, InvokeError, Payload};

use super::{ArgumentException, TestHub, Text, This, required};

/// A value that may go to clients of the other protocol.
type Value = serde_json::Value;

/// The name of a client's method.
fn target(method: Text) -> Result<String, HubError> {
    let method = required(method, "target")?;
    if method.is_empty() {
        let text = "The value cannot be an empty string. (Parameter 'target')";
        return Err(ArgumentException(text.to_owned()).into());
    }
    Ok(method)
}

pub(super) fn sends<const A: bool>(methods: &mut HubMethods<TestHub<A>>) {
    methods
        .on(
            "SendToCaller",
            async |_: This<A>, context: CallContext, method: Text, value: Payload| {
                let method = target(method)?;
                Ok::<_, HubError>(context.caller().send(&method, (value,)).await?)
            },
        )
        .on(
            "SendMany",
            async |_: This<A>,
                   context: CallContext,
                   method: Text,
                   a: Payload,
                   b: Payload,
                   c: Payload| {
                let method = target(method)?;
                Ok::<_, HubError>(context.caller().send(&method, (a, b, c)).await?)
            },
        )
        .on(
            "Burst",
            async |_: This<A>, context: CallContext, method: Text, count: i32| {
                burst(&context, method, count).await
            },
        )
        .on(
            "Flood",
            async |_: This<A>, context: CallContext, method: Text, count: i32, bytes: i32| {
                flood(&context, method, count, bytes).await
            },
        )
        .on(
            "SendToAll",
            async |hub: This<A>, context: CallContext, method: Text, value: Value| {
                let method = target(method)?;
                for (_, clients) in hub.places(&context) {
                    clients.all().send(&method, (&value,)).await?;
                }
                Ok::<_, HubError>(())
            },
        )
        .on(
            "SendToOthers",
            async |hub: This<A>, context: CallContext, method: Text, value: Value| {
                let method = target(method)?;
                for (path, clients) in hub.places(&context) {
                    let others = if path == hub.path {
                        context.others()
                    } else {
                        clients.all()
                    };
                    others.send(&method, (&value,)).await?;
                }
                Ok::<_, HubError>(())
            },
        )
        .on(
            "SendToClient",
            async |hub: This<A>, context: CallContext, id: Text, method: Text, value: Value| {
                let (id, method) = (required(id, "connectionId")?, target(method)?);
                for (_, clients) in hub.places(&context) {
                    clients.client(&id).send(&method, (&value,)).await?;
                }
                Ok::<_, HubError>(())
            },
        )
        .on(
            "SendToUser",
            async |hub: This<A>, context: CallContext, user: Text, method: Text, value: Value| {
                let (user, method) = (required(user, "userId")?, target(method)?);
                for (_, clients) in hub.places(&context) {
                    clients.user(&user).send(&method, (&value,)).await?;
                }
                Ok::<_, HubError>(())
            },
        );
}

async fn burst(context: &CallContext, method: Text, count: i32) -> Result<(), HubError> {
    if count <= 0 {
        return Ok(());
    }
    let method = target(method)?;
    for number in 0..count {
        context.caller().send(&method, (number,)).await?;
    }
    Ok(())
}

async fn flood(
    context: &CallContext,
    method: Text,
    count: i32,
    bytes: i32,
) -> Result<(), HubError> {
    let bytes = usize::try_from(bytes).map_err(|_| {
        let text = format!(
            "count ('{bytes}') must be a non-negative value. (Parameter 'count')\nActual value was {bytes}."
        );
        super::ArgumentOutOfRangeException(text)
    })?;
    let text = "f".repeat(bytes);
    let method = target(method)?;
    for _ in 0..count {
        context.caller().send(&method, (&text,)).await?;
    }
    Ok(())
}

pub(super) fn groups<const A: bool>(methods: &mut HubMethods<TestHub<A>>) {
    methods
        .on(
            "SendToGroup",
            async |hub: This<A>, context: CallContext, group: Text, method: Text, value: Value| {
                let (group, method) = (required(group, "groupName")?, target(method)?);
                for (_, clients) in hub.places(&context) {
                    clients.group(&group).send(&method, (&value,)).await?;
                }
                Ok::<_, HubError>(())
            },
        )
        .on(
            "SendToOthersInGroup",
            async |hub: This<A>, context: CallContext, group: Text, method: Text, value: Value| {
                let (group, method) = (required(group, "groupName")?, target(method)?);
                for (path, clients) in hub.places(&context) {
                    let others = if path == hub.path {
                        context.others_in_group(&group)
                    } else {
                        clients.group(&group)
                    };
                    others.send(&method, (&value,)).await?;
                }
                Ok::<_, HubError>(())
            },
        )
        .on(
            "JoinGroup",
            async |_: This<A>, context: CallContext, group: Text| {
                let group = required(group, "groupName")?;
                Ok::<_, HubError>(context.join_group(&group).await?)
            },
        )
        .on(
            "LeaveGroup",
            async |_: This<A>, context: CallContext, group: Text| {
                let group = required(group, "groupName")?;
                Ok::<_, HubError>(context.leave_group(&group).await?)
            },
        )
        // Not at the reference server: joins of others, which a farm may have to carry.
        .on(
            "AddToGroup",
            async |_: This<A>, context: CallContext, id: Text, group: Text| {
                let (id, group) = (required(id, "connectionId")?, required(group, "groupName")?);
                Ok::<_, HubError>(context.groups().join(&id, &group).await?)
            },
        )
        .on(
            "RemoveFromGroup",
            async |_: This<A>, context: CallContext, id: Text, group: Text| {
                let (id, group) = (required(id, "connectionId")?, required(group, "groupName")?);
                Ok::<_, HubError>(context.groups().leave(&id, &group).await?)
            },
        );
}

/// Longer than any test: .NET waits until the connection ends.
const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

/// The questions of `/parallel`, whose clients may go on while it waits for one of them.
pub(super) fn questions<const A: bool>(methods: &mut HubMethods<TestHub<A>>) {
    methods
        .on(
            "AskCaller",
            async |_: This<A>, context: CallContext, question: Text| {
                let answer: Text = context
                    .caller()
                    .invoke("Answer", (question,))
                    .timeout(FOR_EVER)
                    .await
                    .map_err(|error| told("String", error))?;
                let answer = answer.unwrap_or_default();
                Ok::<_, HubError>(format!("the client said {answer}"))
            },
        )
        .on(
            "AskClient",
            async |_: This<A>, context: CallContext, id: Text, a: i32, b: i32| {
                let client = context.clients().client(&required(id, "connectionId")?);
                let answer = client.invoke::<i32>("Add", (a, b));
                let answer = answer.timeout(Duration::from_secs(5));
                answer.await.map_err(|error| told("Int32", error))
            },
        )
        .on(
            "AskAndReport",
            async |_: This<A>, context: CallContext, method: Text| {
                let caller = context.caller();
                let method = target(method)?;
                let answer = caller.invoke::<Text>(&method, ());
                let answer = answer.timeout(Duration::from_secs(2));
                Ok::<_, HubError>(match answer.await {
                    Ok(answer) => format!("result: {}", answer.unwrap_or_default()),
                    Err(error) => report("String", &error),
                })
            },
        );
}

/// The error as .NET shows it, with the name of the type that was expected.
fn report(expected: &str, error: &InvokeError) -> String {
    match words(expected, error) {
        Some(words) => format!("HubException: {words}"),
        None => format!("IOException: {error}"),
    }
}

/// For .NET, an answer that is no good is a `HubException`, which clients see; not having the client is another.
fn told(expected: &str, error: InvokeError) -> HubError {
    match words(expected, &error) {
        Some(words) => HubError::new(words),
        None => error.into(),
    }
}

fn words(expected: &str, error: &InvokeError) -> Option<String> {
    match error {
        InvokeError::Client { error } => Some(error.clone().into()),
        InvokeError::NoResult => Some(
            "Exception of type 'Microsoft.AspNetCore.SignalR.HubException' was thrown.".to_owned(),
        ),
        InvokeError::Result(error) => Some(format!(
            "Error trying to deserialize result to {expected}. {error}"
        )),
        InvokeError::TimedOut { .. } => Some(error.to_string()),
        _ => None,
    }
}
