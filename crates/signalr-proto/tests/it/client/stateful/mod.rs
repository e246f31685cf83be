//! Stateful reconnect: a connection that outlives its WebSocket, in both protocols.

mod acknowledgements;
mod calls;
mod limits;
mod losses;
mod negotiation;
mod numbers;
mod replacement;
mod stop;

use bytes::Bytes;
use signalr_harness::script::{Script, Wish, Words, granted, offer_with};
use signalr_proto::client::{
    Action, CallError, ClientConfig, ConnectionState, Event, Ignored, Input, Misuse,
    ReconnectPolicy, ReplyTo,
};
use signalr_proto::codec::{ArgumentWriter, CompletionOutcome, HubArguments};
use signalr_proto::transport::negotiate::TransportKind::{
    LongPolling, ServerSentEvents, WebSockets,
};
use signalr_proto::{CloseReason, EncodeError, EndCause, Protocol, SendError, SequenceError};

use super::{MILLISECOND, lost, never, seconds, standard};

const PROTOCOLS: [Protocol; 2] = [Protocol::Json, Protocol::MessagePack];

/// Plays the server from negotiation up to the handshake.
fn connect(script: &mut Script) {
    script.answer(Wish::Negotiate, 200, &granted(&[WebSockets]));
    script.open();
    script.receive(b"{}\x1e");
}

/// A stateful connection whose log is cleared; pings and the server timeout keep out of the way.
fn connected_with(protocol: Protocol, change: impl FnOnce(&mut ClientConfig)) -> Script {
    let mut script = Script::with(|config| {
        config.protocol = protocol;
        config.stateful_reconnect = Some(100_000);
        config.keep_alive_interval = seconds(10_000);
        config.server_timeout = seconds(10_000);
        change(config);
    });
    script.start();
    connect(&mut script);
    assert!(matches!(script.events[..], [Event::Connected { .. }]));
    script.clear();
    script
}

fn connected(change: impl FnOnce(&mut ClientConfig)) -> Script {
    connected_with(Protocol::Json, change)
}

fn sent(script: &mut Script) -> Vec<u8> {
    std::mem::take(&mut script.sent)
}

/// The names of the methods that the server called.
fn targets(script: &mut Script) -> Vec<String> {
    let events = script.take_events().into_iter();
    let targets = events.filter_map(|event| match event {
        Event::Invocation { target, .. } => Some(target.to_string()),
        _ => None,
    });
    targets.collect()
}

fn openings(script: &Script) -> usize {
    script.count(|action| matches!(action, Action::OpenWebSocket { .. }))
}

/// Loses the socket and opens the next.
fn resume(script: &mut Script) {
    script.cut();
    script.open();
}

/// Some upload streams and nothing else.
struct Uploads(usize);

impl HubArguments for Uploads {
    fn stream_count(&self) -> usize {
        self.0
    }

    fn write(&self, _: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        Ok(())
    }
}
