//! Speed of framing, decoding and encoding: `cargo bench -p signalr-proto --bench codec`.

#![allow(missing_docs, reason = "benchmarks are no API")]
#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a benchmark may fail"
)]

use bytes::{Bytes, BytesMut};
use divan::{Bencher, black_box};
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::{CompletionOutcome, InvocationHead, Role};
use signalr_proto::{HubMessage, Protocol};

const PROTOCOLS: [Protocol; 2] = Protocol::ALL;
const SMALL: InvocationHead<'_> = InvocationHead {
    streaming: false,
    headers: &[],
    invocation_id: Some("123"),
    target: "send",
    stream_ids: &[],
};

fn main() {
    divan::main();
}

fn frame(protocol: Protocol, text: &str) -> Bytes {
    let mut out = BytesMut::new();
    protocol
        .encode_invocation(&mut out, SMALL, &(text, 42))
        .unwrap();
    let mut stream = out.freeze();
    FrameDecoder::new(protocol, usize::MAX)
        .decode(&mut stream)
        .unwrap()
        .unwrap()
}

#[divan::bench(args = PROTOCOLS)]
fn decode_small_invocation(bencher: Bencher<'_, '_>, protocol: Protocol) {
    let frame = frame(protocol, "hello");
    bencher.bench(|| protocol.decode(Role::Client, black_box(&frame)));
}

#[divan::bench(args = PROTOCOLS)]
fn decode_invocation_of_a_long_text(bencher: Bencher<'_, '_>, protocol: Protocol) {
    let frame = frame(protocol, &"x".repeat(10_000));
    bencher.bench(|| protocol.decode(Role::Client, black_box(&frame)));
}

#[divan::bench(args = PROTOCOLS)]
fn decode_small_invocation_with_its_arguments(bencher: Bencher<'_, '_>, protocol: Protocol) {
    let frame = frame(protocol, "hello");
    bencher.bench(|| {
        match protocol
            .decode(Role::Client, black_box(&frame))
            .unwrap()
            .unwrap()
        {
            HubMessage::Invocation(invocation) => {
                invocation.arguments.decode::<(String, i32)>().unwrap()
            }
            other => panic!("{other:?}"),
        }
    });
}

#[divan::bench(args = PROTOCOLS)]
fn frame_and_decode_a_thousand_messages(bencher: Bencher<'_, '_>, protocol: Protocol) {
    let mut out = BytesMut::new();
    for _ in 0..1000 {
        protocol
            .encode_invocation(&mut out, SMALL, &("hello", 42))
            .unwrap();
    }
    let stream = out.freeze();
    bencher
        .counter(divan::counter::ItemsCount::new(1000_u32))
        .bench(|| {
            let mut frames = FrameDecoder::new(protocol, usize::MAX);
            let mut input = stream.clone();
            while let Some(frame) = frames.decode(&mut input).unwrap() {
                black_box(protocol.decode(Role::Client, &frame).unwrap());
            }
        });
}

#[divan::bench(args = PROTOCOLS)]
fn encode_small_invocation(bencher: Bencher<'_, '_>, protocol: Protocol) {
    let mut out = BytesMut::with_capacity(256);
    bencher.bench_local(|| {
        out.clear();
        protocol
            .encode_invocation(&mut out, SMALL, black_box(&("hello", 42)))
            .unwrap();
    });
}

#[divan::bench(args = PROTOCOLS)]
fn encode_small_completion(bencher: Bencher<'_, '_>, protocol: Protocol) {
    let mut out = BytesMut::with_capacity(256);
    bencher.bench_local(|| {
        out.clear();
        protocol
            .encode_completion(
                &mut out,
                &[],
                "123",
                CompletionOutcome::Result(black_box(&42)),
            )
            .unwrap();
    });
}
