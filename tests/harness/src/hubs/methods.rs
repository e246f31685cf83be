//! Plain calls.

use std::time::Duration;

use signalr_proto::server::query_parameters;
use signalr_server::{CallContext, HubError, HubMethods, Payload, TransportKind};

use super::dto::Dto;
use super::numbers::{Char, Decimal};
use super::times::{DateTime, DateTimeOffset, TimeSpan};
use super::values::{Blob, Colour, Guid};
use super::{
    ArgumentOutOfRangeException, InvalidOperationException, TestHub, Text, This, World,
    null_reference, required,
};

pub(super) fn echoes<const A: bool>(methods: &mut HubMethods<TestHub<A>>) {
    methods
        .on("Echo", async |_: This<A>, value: Payload| value)
        .on("EchoDto", async |_: This<A>, value: Option<Dto>| value)
        .on("EchoText", async |_: This<A>, value: Text| value)
        .on("EchoBytes", async |_: This<A>, value: Option<Blob>| value)
        .on("EchoLong", async |_: This<A>, value: i64| value)
        .on("EchoUnsigned", async |_: This<A>, value: u64| value)
        .on("EchoDouble", async |_: This<A>, value: f64| value)
        .on("EchoFloat", async |_: This<A>, value: f32| value)
        .on("EchoDateTime", async |_: This<A>, value: DateTime| value)
        .on(
            "EchoDateTimeOffset",
            async |_: This<A>, value: DateTimeOffset| value,
        )
        .on("EchoTimeSpan", async |_: This<A>, value: TimeSpan| value)
        .on("EchoGuid", async |_: This<A>, value: Guid| value)
        .on("EchoChar", async |_: This<A>, value: Char| value)
        .on("EchoDecimal", async |_: This<A>, value: Decimal| value)
        .on("EchoColour", async |_: This<A>, value: Colour| value);
}

pub(super) fn plain<const A: bool>(methods: &mut HubMethods<TestHub<A>>) {
    methods
        .on("Add", async |_: This<A>, a: i32, b: i32| a.wrapping_add(b))
        .on("Concat", async |_: This<A>, a: Text, b: Text| {
            a.unwrap_or_default() + &b.unwrap_or_default()
        })
        .on(
            "CountNames",
            async |_: This<A>, names: Option<Vec<Text>>| match names {
                Some(names) => Ok(names.len()),
                None => Err(null_reference()),
            },
        )
        .on("DoNothing", async |hub: This<A>| hub.world.add("nothing"))
        .on("Heartbeat", async |hub: This<A>| hub.world.add("heartbeat"))
        .on("ReturnNull", async |_: This<A>| None::<String>)
        .on(
            "Slow",
            async |hub: This<A>, milliseconds: i32, value: Text| {
                pause(&hub.world, milliseconds).await?;
                Ok::<_, HubError>(value)
            },
        )
        .on("FailWith", async |_: This<A>, message: Text| {
            Err::<(), _>(HubError::new(message.unwrap_or_else(|| {
                "Exception of type 'Microsoft.AspNetCore.SignalR.HubException' was thrown."
                    .to_owned()
            })))
        })
        .on("FailInside", async |_: This<A>, message: Text| {
            Err::<(), _>(InvalidOperationException(message.unwrap_or_default()))
        })
        .on("renamed-method", async |_: This<A>| "renamed")
        .on(
            "WaitForCancel",
            async |hub: This<A>, context: CallContext| {
                context.cancelled().await;
                hub.world.add("cancelled-invocation");
                "cancelled"
            },
        );
}

/// What `Task.Delay` does: -1 is for ever.
async fn pause(world: &World, milliseconds: i32) -> Result<(), HubError> {
    match u64::try_from(milliseconds) {
        Ok(milliseconds) => world.sleep(Duration::from_millis(milliseconds)).await,
        Err(_) if milliseconds == -1 => std::future::pending().await,
        Err(_) => {
            let text = "The value needs to be either -1 (signifying an infinite timeout), 0 or a positive integer. (Parameter 'millisecondsDelay')";
            return Err(ArgumentOutOfRangeException(text.to_owned()).into());
        }
    }
    Ok(())
}

pub(super) fn about_the_caller<const A: bool>(methods: &mut HubMethods<TestHub<A>>) {
    methods
        .on("ConnectionId", async |_: This<A>, context: CallContext| {
            context.connection_id().to_owned()
        })
        .on("UserName", async |_: This<A>, context: CallContext| {
            context.user_id()
        })
        .on(
            "Header",
            async |_: This<A>, context: CallContext, name: Text| match name {
                Some(name) => Ok(header(&context, &name)),
                None => Err(null_reference()),
            },
        )
        .on(
            "Query",
            async |_: This<A>, context: CallContext, name: Text| {
                let name = required(name, "key")?;
                Ok::<_, HubError>(query(&context, &name))
            },
        )
        .on("Transport", async |_: This<A>, context: CallContext| {
            context.transport().map(TransportKind::name)
        })
        .on("Abort", async |_: This<A>, context: CallContext| {
            context.close()
        })
        .on("Counter", async |hub: This<A>, name: Text| {
            let name = required(name, "key")?;
            let counters = hub.world.counters();
            Ok::<_, HubError>(counters.get(&name).copied().unwrap_or_default())
        });
}

/// All values of a header, as .NET joins them.
fn header(context: &CallContext, name: &str) -> Text {
    let values = context.request().headers().get_all(name);
    joined(values.iter().filter_map(|value| value.to_str().ok()))
}

/// All values of a query parameter.
fn query(context: &CallContext, name: &str) -> Text {
    joined(query_parameters(context.request().query(), name))
}

fn joined(values: impl Iterator<Item = impl AsRef<str>>) -> Text {
    values.fold(None, |all, value| match all {
        None => Some(value.as_ref().to_owned()),
        Some(all) => Some(all + "," + value.as_ref()),
    })
}
