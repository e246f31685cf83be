//! Calls, streams, uploads and calls from the server, under a virtual clock.

mod answers;
mod cancelling;
mod incoming;
mod refused;
mod uploads;

use std::time::Duration;

use signalr_harness::script::Script;
use signalr_proto::client::{CallError, Event, Ignored, Input, InvocationId};
use signalr_proto::codec::{ArgumentWriter, CompletionOutcome, HubArguments};
use signalr_proto::{CloseReason, DecodeErrorKind, EncodeError, Limits, Payload, SendError};

use super::never;

/// The connected client with the calls made and sent.
fn invoked(targets: &[&str]) -> Script {
    let mut script = Script::connected(never);
    for target in targets {
        script.client.invoke(script.now, target, &()).unwrap();
    }
    script.poll();
    script.clear();
    script
}

fn completions(script: &mut Script) -> Vec<(u64, Result<Option<Payload>, CallError>)> {
    let events = script.take_events().into_iter();
    events
        .map(|event| {
            if let Event::Completion {
                invocation_id,
                outcome,
            } = event
            {
                (invocation_id.number(), outcome)
            } else {
                panic!("{event:?}")
            }
        })
        .collect()
}

/// Arguments of which some are streams.
struct WithStreams(usize);

impl HubArguments for WithStreams {
    fn stream_count(&self) -> usize {
        self.0
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        writer.value("-")
    }
}

/// A value that cannot be written.
struct Unwritable;

impl serde::Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("never"))
    }
}
