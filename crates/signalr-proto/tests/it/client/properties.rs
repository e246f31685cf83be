//! Rules that hold for a client machine in any state, whatever happens to it.

use std::sync::Arc;

use proptest::prelude::*;
use signalr_harness::client_property;
use signalr_harness::script::Script;
use signalr_proto::client::{ClientConfig, ClientConnection, Event};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_operations_in_any_order_keep_every_rule(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        client_property::check(&data);
    }

    /// As above, but the beginning leads to a connection, so that more happens on one.
    #[test]
    fn any_operations_on_a_connection_keep_every_rule(flags in any::<[u8; 3]>(), data in proptest::collection::vec(any::<u8>(), 0..400)) {
        let [flags, more, how] = flags;
        let mut operations = vec![flags, more, 0, 1, 22, how, 1];
        operations.extend(data);
        client_property::check(&operations);
    }

    #[test]
    fn any_splitting_of_the_stream_gives_the_same_events(cuts in proptest::collection::vec(1_usize..40, 1..40)) {
        let stream: &[u8] = concat!(
            "{\"type\":1,\"target\":\"a\",\"arguments\":[\"é\\u001e\"]}\u{1e}{\"type\":6}\u{1e}{\"type\":99,\"x\":[{}]}\u{1e}",
            "{\"arguments\":[1,{\"b\":2}],\"target\":\"b\",\"type\":1}\u{1e}{\"type\":3,\"invocationId\":\"9\"}\u{1e}{\"type\":7,\"error\":\"end\"}\u{1e}"
        ).as_bytes();
        let mut whole = Script::connected(|_| {});
        whole.receive(stream);
        let mut pieces = Script::connected(|_| {});
        let mut rest = stream;
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, tail) = rest.split_at(cut.min(rest.len()));
            pieces.receive(piece);
            rest = tail;
        }
        prop_assert_eq!(whole.events.len(), 5);
        let closed = matches!(whole.events.last(), Some(Event::Closed { .. }));
        prop_assert!(closed);
        prop_assert_eq!(whole.events, pieces.events);
    }
}

/// A property that never gets anywhere proves nothing.
#[test]
fn operations_in_any_order_reach_every_kind_of_event() {
    let mut counts = [
        "Connected {",
        "StartFailed",
        "StartRetry",
        "Reconnecting",
        "Reconnected",
        "Resuming {",
        "\nResumed\n",
        "Invocation {",
        "StreamItem",
        "Completion",
        "Writable",
        "Ignored",
        "Expired",
        "AuthenticationRefreshed {",
        "AuthenticationRefreshFailed",
        "Closed",
        "DELETE /hub",
        "POST /hub)",
        "NextRetryDelay",
        "Some(b\"{\\\"type\\\":9,",
        "Some(b\"{\\\"type\\\":8,",
    ]
    .map(|event| (event, 0));
    let mut seed = 1_u64;
    for _ in 0..3000 {
        let data: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        })
        .take(400)
        .collect();
        let trace =
            client_property::trace(&[&data[..2], &[0, 1, 22, data[2], 1], &data[3..]].concat());
        for (event, count) in &mut counts {
            *count += trace.matches(*event).count();
        }
    }
    assert!(counts.iter().all(|(_, count)| *count > 0), "{counts:?}");
}

#[test]
fn an_idle_client_machine_takes_at_most_a_kibibyte_besides_its_shared_configuration() {
    let config = Arc::new(ClientConfig::new("http://host/hub").unwrap());
    let mut client = None;
    let heap = allocation_counter::measure(|| {
        let Script {
            client: connected, ..
        } = {
            let mut script = Script::new(Arc::clone(&config));
            script.start();
            script.connect();
            script
        };
        client = Some(connected);
    });
    let inline = size_of::<ClientConnection>() as i64;
    let total = inline + heap.bytes_current;
    assert!(
        heap.bytes_current > 0 && total <= 1024,
        "{inline} bytes inline and {} on the heap",
        heap.bytes_current
    );
}
