//! A normal message costs no allocation on its way in or out.

use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::{CompletionOutcome, InvocationHead, Role};
use signalr_proto::{HubMessage, Protocol};

const COUNT: usize = 100;
const HEAD: InvocationHead<'_> = InvocationHead {
    streaming: false,
    headers: &[],
    invocation_id: Some("123"),
    target: "send",
    stream_ids: &[],
};

fn write(protocol: Protocol, out: &mut BytesMut) {
    protocol
        .encode_invocation(out, HEAD, &("hello", 42, [1.5, 2.5]))
        .unwrap();
    protocol
        .encode_stream_item(out, &[], "123", &"item")
        .unwrap();
    protocol
        .encode_completion(out, &[], "123", CompletionOutcome::Result(&[1, 2, 3]))
        .unwrap();
    protocol
        .encode_completion(out, &[], "123", CompletionOutcome::error("failed"))
        .unwrap();
    protocol.encode_cancel_invocation(out, &[], "123");
    protocol.encode_ping(out);
    protocol.encode_close(out, Some("bye"), true);
    protocol.encode_ack(out, 1234);
    protocol.encode_sequence(out, 1234);
}

#[test]
fn framing_and_decoding_allocate_nothing() {
    for protocol in Protocol::ALL {
        let mut out = BytesMut::new();
        for _ in 0..COUNT {
            write(protocol, &mut out);
        }
        let stream = out.freeze();
        // The first clone makes the bytes shared, for which they allocate once.
        let mut input = stream.clone();
        let mut messages = 0;
        let info = measure(|| {
            let mut frames = FrameDecoder::new(protocol, 1024);
            while let Some(frame) = frames.decode(&mut input).unwrap() {
                messages += usize::from(protocol.decode(Role::Client, &frame).unwrap().is_some());
            }
        });
        assert_eq!(messages, 9 * COUNT);
        assert_eq!(info.count_total, 0, "{protocol:?}");
        drop(stream);
    }
}

#[test]
fn encoding_into_a_buffer_with_room_allocates_nothing() {
    for protocol in Protocol::ALL {
        let mut out = BytesMut::with_capacity(100_000);
        let info = measure(|| {
            for _ in 0..COUNT {
                write(protocol, &mut out);
            }
        });
        assert_eq!(info.count_total, 0, "{protocol:?}");
    }
}

#[test]
fn a_split_message_allocates_only_what_it_needs_to_be_put_together() {
    let first = Bytes::from_static(b"{\"type\":1,\"target\":\"send\",");
    let second = Bytes::from_static(b"\"arguments\":[]}\x1e");
    let info = measure(|| {
        let mut frames = FrameDecoder::new(Protocol::Json, 1024);
        assert_eq!(frames.decode(&mut first.clone()), Ok(None));
        let frame = frames.decode(&mut second.clone()).unwrap().unwrap();
        assert!(matches!(
            Protocol::Json.decode(Role::Client, &frame),
            Ok(Some(HubMessage::Invocation(_)))
        ));
    });
    assert!(info.count_total <= 4, "{}", info.count_total);
    assert_eq!(info.count_current, 0);
}
