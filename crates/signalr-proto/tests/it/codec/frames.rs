//! Framing: any splitting of a stream gives the same frames.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::{DecodeErrorKind, Protocol};

use crate::support::{frames, hex};

fn json_frame(body: &[u8]) -> Vec<u8> {
    [body, b"\x1e"].concat()
}

fn msgpack_frame(body: &[u8]) -> Vec<u8> {
    let mut left = body.len();
    let mut frame = Vec::new();
    while left > 0x7f {
        frame.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    frame.push(left as u8);
    frame.extend_from_slice(body);
    frame
}

fn stream(protocol: Protocol, bodies: &[Vec<u8>]) -> Bytes {
    let one = |body: &Vec<u8>| {
        if protocol == Protocol::Json {
            json_frame(body)
        } else {
            msgpack_frame(body)
        }
    };
    bodies.iter().flat_map(one).collect()
}

#[test]
fn a_stream_split_at_every_offset_gives_the_same_frames() {
    let bodies = [b"{\"type\":6}".to_vec(), vec![b'x'; 200], b"y".to_vec()];
    for protocol in Protocol::ALL {
        let whole = stream(protocol, &bodies);
        for first in 0..=whole.len() {
            for second in [first, first + 1, first + 2, whole.len()] {
                let second = second.min(whole.len());
                let pieces = [
                    whole.slice(..first),
                    whole.slice(first..second),
                    whole.slice(second..),
                ];
                assert_eq!(
                    frames(protocol, 200, &pieces),
                    (bodies.iter().cloned().map(Bytes::from).collect(), None)
                );
            }
        }
    }
}

#[test]
fn an_empty_chunk_changes_nothing() {
    for protocol in Protocol::ALL {
        let mut decoder = FrameDecoder::new(protocol, 10);
        assert_eq!(decoder.decode(&mut Bytes::new()), Ok(None));
        assert!(!decoder.is_mid_frame());
        assert_eq!(decoder.buffered(), 0);
    }
}

#[test]
fn length_prefixes_are_read_up_to_their_limits() {
    let known = |digits: &str| {
        let (frames, error) = frames(Protocol::MessagePack, usize::MAX, &[hex(digits)]);
        assert!(frames.is_empty());
        error.map(|error| error.kind)
    };
    for waits in [
        "",
        "80",
        "ffff",
        "35",
        "8029",
        "ffffffff07",
        "8080808007",
        "ffffff7f",
        "808001",
    ] {
        assert_eq!(known(waits), None, "{waits}");
    }
    for refused in [
        "ffffffff08",
        "ffffffff0f",
        "8080808080",
        "ffffffffff",
        "ffffffff7f",
    ] {
        assert_eq!(known(refused), Some(DecodeErrorKind::Prefix), "{refused}");
    }
    for empty in ["00", "8000", "8080808000"] {
        assert_eq!(known(empty), Some(DecodeErrorKind::Empty), "{empty}");
    }
}

#[test]
fn a_prefix_padded_with_zero_groups_counts_as_its_value() {
    assert_eq!(
        frames(Protocol::MessagePack, 2, &[hex("82009106")]),
        (vec![hex("9106")], None)
    );
    assert_eq!(
        frames(Protocol::MessagePack, 2, &[hex("8280808000"), hex("9106")]),
        (vec![hex("9106")], None)
    );
}

#[test]
fn a_message_may_be_as_large_as_the_limit_and_no_larger() {
    for protocol in Protocol::ALL {
        let fits = stream(protocol, &[vec![b'x'; 300]]);
        assert_eq!(
            frames(protocol, 300, std::slice::from_ref(&fits)).0.len(),
            1
        );
        for cut in 0..fits.len() {
            assert_eq!(
                frames(protocol, 300, &[fits.slice(..cut), fits.slice(cut..)])
                    .0
                    .len(),
                1
            );
            let (none, error) = frames(protocol, 299, &[fits.slice(..cut), fits.slice(cut..)]);
            assert!(none.is_empty());
            assert!(matches!(
                error.unwrap().kind,
                DecodeErrorKind::TooLarge {
                    size: 300,
                    limit: 299
                }
            ));
        }
    }
}

#[test]
fn an_unfinished_record_over_the_limit_is_refused_at_once() {
    let mut decoder = FrameDecoder::new(Protocol::Json, 4);
    assert_eq!(decoder.decode(&mut Bytes::from_static(b"xxxx")), Ok(None));
    let error = decoder.decode(&mut Bytes::from_static(b"x")).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::TooLarge { size: 5, limit: 4 });
}

#[test]
fn an_announced_size_over_the_limit_is_refused_before_any_of_it_comes() {
    let (_, error) = frames(Protocol::MessagePack, 1024, &[hex("8108")]);
    assert_eq!(
        error.unwrap().kind,
        DecodeErrorKind::TooLarge {
            size: 1025,
            limit: 1024
        }
    );
}

#[test]
fn positions_count_from_the_start_of_the_stream() {
    let mut decoder = FrameDecoder::new(Protocol::MessagePack, 100);
    let mut input = hex("029106 8300 910602");
    assert!(decoder.decode(&mut input).unwrap().is_some());
    assert_eq!(decoder.frame_start(), 1);
    assert!(decoder.decode(&mut input).unwrap().is_some());
    assert_eq!(decoder.frame_start(), 5);
    assert_eq!(decoder.decode(&mut hex("00")).unwrap_err().position, 9);

    let mut decoder = FrameDecoder::new(Protocol::Json, 100);
    assert_eq!(decoder.decode(&mut Bytes::from_static(b"ab")), Ok(None));
    assert_eq!(decoder.buffered(), 2);
    let mut input = Bytes::from_static(b"c\x1ede\x1e");
    assert_eq!(decoder.decode(&mut input).unwrap().unwrap(), "abc");
    assert_eq!((decoder.frame_start(), decoder.buffered()), (0, 0));
    assert_eq!(decoder.decode(&mut input).unwrap().unwrap(), "de");
    assert_eq!(decoder.frame_start(), 4);
}

#[test]
fn a_frame_that_came_whole_is_not_copied() {
    for protocol in Protocol::ALL {
        let whole = stream(protocol, &[vec![b'x'; 50], vec![b'y'; 50]]);
        let (found, _) = frames(protocol, 50, std::slice::from_ref(&whole));
        for frame in found {
            assert!(whole.as_ptr_range().contains(&frame.as_ptr()));
        }
    }
}

#[test]
fn the_decoder_knows_whether_it_is_inside_a_frame() {
    for (protocol, parts) in [
        (Protocol::Json, ["a", "b\x1e"]),
        (Protocol::MessagePack, ["\x02", "ab"]),
    ] {
        let mut decoder = FrameDecoder::new(protocol, 10);
        assert_eq!(
            decoder.decode(&mut Bytes::from_static(parts[0].as_bytes())),
            Ok(None)
        );
        assert!(decoder.is_mid_frame());
        assert!(
            decoder
                .decode(&mut Bytes::from_static(parts[1].as_bytes()))
                .unwrap()
                .is_some()
        );
        assert!(!decoder.is_mid_frame());
    }
}

fn bodies(protocol: Protocol) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = any::<u8>().prop_map(move |byte| {
        if protocol == Protocol::Json && byte == 0x1e {
            0
        } else {
            byte
        }
    });
    prop::collection::vec(prop::collection::vec(byte, 1..300), 0..8)
}

fn split(whole: &Bytes, cuts: &[prop::sample::Index]) -> Vec<Bytes> {
    let mut offsets: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
    offsets.extend([0, whole.len()]);
    offsets.sort_unstable();
    offsets
        .windows(2)
        .map(|pair| whole.slice(pair[0]..pair[1]))
        .collect()
}

proptest! {
    #[test]
    fn any_splitting_of_a_json_stream_gives_the_same_frames(bodies in bodies(Protocol::Json), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let whole = stream(Protocol::Json, &bodies);
        prop_assert_eq!(frames(Protocol::Json, 300, &split(&whole, &cuts)), (bodies.into_iter().map(Bytes::from).collect(), None));
    }

    #[test]
    fn any_splitting_of_a_msgpack_stream_gives_the_same_frames(bodies in bodies(Protocol::MessagePack), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let whole = stream(Protocol::MessagePack, &bodies);
        prop_assert_eq!(frames(Protocol::MessagePack, 300, &split(&whole, &cuts)), (bodies.into_iter().map(Bytes::from).collect(), None));
    }

    #[test]
    fn any_splitting_of_arbitrary_bytes_gives_the_same_frames_and_the_same_error(
        bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(2), Just(0x1e), Just(0x80), any::<u8>()], 0..100),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        limit in 0_usize..50,
    ) {
        let whole = Bytes::from(bytes);
        for protocol in Protocol::ALL {
            let (once, error) = frames(protocol, limit, std::slice::from_ref(&whole));
            let (split, split_error) = frames(protocol, limit, &split(&whole, &cuts));
            prop_assert_eq!(once, split);
            prop_assert_eq!(error.map(|error| error.kind), split_error.map(|error| error.kind));
        }
    }
}

#[test]
fn memory_follows_the_bytes_received_and_not_those_announced() {
    let info = allocation_counter::measure(|| {
        let mut decoder = FrameDecoder::new(Protocol::MessagePack, usize::MAX);
        let mut input = hex("ffffffff07");
        assert_eq!(decoder.decode(&mut input), Ok(None));
        let mut piece = Bytes::from(BytesMut::zeroed(1000));
        assert_eq!(decoder.decode(&mut piece), Ok(None));
        assert_eq!(decoder.buffered(), 1000);
    });
    assert!(info.bytes_max < 10_000, "{}", info.bytes_max);
}
