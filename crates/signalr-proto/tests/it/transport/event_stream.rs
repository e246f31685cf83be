//! Server-sent events: what a stream means, however it is cut, and how a server writes it.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use signalr_proto::transport::EventStream;
use signalr_proto::transport::event_stream::{self, OPENING};
use signalr_proto::{DecodeError, DecodeErrorKind};

/// The events of a stream that comes in these pieces, then the error if there is one.
fn events<'a>(
    limit: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Bytes>, Option<DecodeError>) {
    let mut decoder = EventStream::new(limit);
    let mut events = Vec::new();
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut input), Err(error), "errors stay");
                    return (events, Some(error));
                }
            }
        }
        assert!(input.is_empty());
    }
    (events, None)
}

/// A name, a stream and its events.
type Case = (&'static str, &'static [u8], &'static [&'static [u8]]);

const TABLE: &[Case] = &[
    ("nothing", b"", &[]),
    (
        "lines that end with LF",
        b"data: a\n\ndata: b\n\n",
        &[b"a", b"b"],
    ),
    (
        "lines that end with CR LF",
        b"data: a\r\n\r\ndata: b\r\n\r\n",
        &[b"a", b"b"],
    ),
    (
        "lines that end with CR",
        b"data: a\r\rdata: b\r\r",
        &[b"a", b"b"],
    ),
    (
        "ends of all kinds",
        b"data: a\r\ndata: b\n\rdata: c\r\n\ndata: d\n\r\n",
        &[b"a\nb", b"c", b"d"],
    ),
    (
        "an event that ends with CR at the end",
        b"data: a\r\r",
        &[b"a"],
    ),
    (
        "CR and CR LF are two ends",
        b"data: a\r\r\ndata: b\n\n",
        &[b"a", b"b"],
    ),
    ("a byte order mark", b"\xef\xbb\xbfdata: a\n\n", &[b"a"]),
    (
        "a mark before a blank line",
        b"\xef\xbb\xbf\ndata: a\n\n",
        &[b"a"],
    ),
    (
        "a second mark is part of a name",
        b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n",
        &[],
    ),
    (
        "a mark later on is part of a name",
        b"data: a\n\n\xef\xbb\xbfdata: b\n\n",
        &[b"a"],
    ),
    (
        "a part of a mark is part of a name",
        b"\xef\xbbdata: a\n\ndata: b\n\n",
        &[b"b"],
    ),
    ("a part of a mark as a line", b"\xef\ndata: b\n\n", &[b"b"]),
    ("no space after the colon", b"data:a\n\n", &[b"a"]),
    ("only one space is dropped", b"data:  a \n\n", &[b" a "]),
    ("a tab is kept", b"data:\ta\n\n", &[b"\ta"]),
    ("colons in the value", b"data::a: b:\n\n", &[b":a: b:"]),
    (
        "several lines",
        b"data: a\ndata:b\ndata\ndata: c\n\n",
        &[b"a\nb\n\nc"],
    ),
    ("empty data", b"data\n\ndata:\n\ndata: \n\n", &[]),
    ("two lines of empty data", b"data\ndata\n\ndata:", &[b"\n"]),
    (
        "comments",
        b":\r\n: a\n:data: b\ndata: c\n: d\ndata: e\n:\n\n",
        &[b"c\ne"],
    ),
    (
        "other fields",
        b"id: 1\nretry: 5\nnonsense\ndata: a\nid\n\nid: x\n\n",
        &[b"a"],
    ),
    (
        "types",
        b"event: ping\ndata: a\n\ndata: b\nevent:x\r\n\r\ndata: c\n\nevent: message\ndata: d\n\nevent:messages\ndata: e\n\nevent: Message\ndata: f\n\nevent: mess\ndata: g\n\n",
        &[b"c", b"d"],
    ),
    (
        "the last type counts, and an empty one is none",
        b"event: a\nevent: message\ndata: a\n\nevent: message\nevent: b\ndata: b\n\nevent: c\nevent\ndata: c\n\nevent: d\nevent:\ndata: d\n\nevent: e\nevent: \ndata: e\n\nevent:  message\ndata: f\n\nevent\ndata: g\n\n",
        &[b"a", b"c", b"d", b"e", b"g"],
    ),
    (
        "fields whose names resemble that of the type",
        b"events: a\nevent : b\neven: c\nEvent: d\ndata: a\n\n",
        &[b"a"],
    ),
    (
        "names that only resemble",
        b"dat: a\ndata : b\ndataa: c\n data: d\nDATA: e\ndat\n\n",
        &[],
    ),
    ("an unfinished event", b"data: a\n\ndata: b\n", &[b"a"]),
    ("an unfinished line", b"data: a\n\ndata: b", &[b"a"]),
    ("blank lines alone", b"\n\n\r\r\n\r\n", &[]),
    (
        "bytes that are not UTF-8",
        b"data: \xff\xfe\0\n\n",
        &[b"\xff\xfe\0"],
    ),
    (
        "what the official server writes",
        b":\r\ndata: {}\x1e\r\n\r\ndata: {\"type\":6}\x1e\r\n\r\n",
        &[b"{}\x1e", b"{\"type\":6}\x1e"],
    ),
];

#[test]
fn a_stream_gives_the_data_of_its_events() {
    for (name, stream, expected) in TABLE {
        let (events, error) = events(100, [*stream]);
        assert_eq!(
            (&events[..], error),
            (
                &expected
                    .iter()
                    .map(|event| Bytes::from_static(event))
                    .collect::<Vec<_>>()[..],
                None
            ),
            "{name}"
        );
    }
}

#[test]
fn a_stream_split_at_any_two_places_gives_the_same_events() {
    for (name, stream, expected) in TABLE {
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                let (events, error) = events(100, pieces);
                assert_eq!(
                    (&events[..], error),
                    (
                        &expected
                            .iter()
                            .map(|event| Bytes::from_static(event))
                            .collect::<Vec<_>>()[..],
                        None
                    ),
                    "{name} at {first} and {second}"
                );
            }
        }
    }
}

#[test]
fn an_event_leaves_at_its_last_byte_even_if_that_is_a_cr() {
    let mut decoder = EventStream::new(100);
    assert_eq!(
        decoder.decode(&mut Bytes::from_static(b"data: a\r\n")),
        Ok(None)
    );
    assert_eq!(
        decoder.decode(&mut Bytes::from_static(b"\r")),
        Ok(Some(Bytes::from_static(b"a")))
    );
    assert_eq!(
        decoder.decode(&mut Bytes::from_static(b"\ndata: b\r")),
        Ok(None)
    );
    assert_eq!(
        decoder.decode(&mut Bytes::from_static(b"\n\n")),
        Ok(Some(Bytes::from_static(b"b")))
    );
}

#[test]
fn an_event_with_one_line_within_one_input_is_a_slice_of_it() {
    let stream = Bytes::from_static(b"id: 1\ndata: slice\r\n\r\n");
    let mut input = stream.clone();
    let event = EventStream::new(100).decode(&mut input).unwrap().unwrap();
    assert_eq!(event.as_ptr(), stream[12..].as_ptr());
    // Also when its line's name and its blank line come in other inputs.
    let mut decoder = EventStream::new(100);
    assert_eq!(decoder.decode(&mut stream.slice(..12)), Ok(None));
    assert_eq!(decoder.decode(&mut stream.slice(12..19)), Ok(None));
    let event = decoder.decode(&mut stream.slice(19..)).unwrap().unwrap();
    assert_eq!(event.as_ptr(), stream[12..].as_ptr());
}

#[test]
fn an_event_at_the_limit_is_read_and_one_byte_more_is_refused_where_it_stands() {
    let too_large = |position| {
        Some(DecodeError {
            kind: DecodeErrorKind::TooLarge { size: 5, limit: 4 },
            position,
        })
    };
    for (stream, count, error) in [
        (&b"data: abcd\n\n"[..], 1, None),
        (b"data: abc\ndata:\n\n", 1, None),
        (b"data: a\ndata: bc\n\n", 1, None),
        (b"data: abcde\n\n", 0, too_large(10)),
        (b"data: abcd\n\ndata: abcde", 1, too_large(22)),
        (b"data: abc\ndata: d\n\n", 0, too_large(16)),
        (b"data: abcd\ndata\n\n", 0, too_large(15)),
        (b"data: abcd\ndata:", 0, too_large(15)),
        (b"\n\ndata:abcdefghijk\n\n", 0, too_large(11)),
    ] {
        for size in 1..=stream.len() {
            let (events, found) = events(4, stream.chunks(size));
            assert_eq!(
                (events.len(), found),
                (count, error),
                "{stream:?} in pieces of {size}"
            );
        }
    }
    assert_eq!(
        too_large(10).unwrap().to_string(),
        "message of 5 bytes or more exceeds the limit of 4 at byte 10"
    );
}

#[test]
fn nothing_is_kept_of_comments_and_other_fields() {
    let mut decoder = EventStream::new(4);
    let long = Bytes::from(vec![b'x'; 10_000]);
    for start in [&b":"[..], b"id: ", b"dat", b"data ", b"event"] {
        assert_eq!(decoder.decode(&mut Bytes::copy_from_slice(start)), Ok(None));
        for _ in 0..100 {
            assert_eq!(decoder.decode(&mut long.clone()), Ok(None));
            assert_eq!(decoder.buffered(), 0);
        }
        assert!(!decoder.is_mid_event());
        assert_eq!(decoder.decode(&mut Bytes::from_static(b"\n")), Ok(None));
    }
    let mut rest = Bytes::from_static(b"data: last\n\n");
    assert_eq!(
        decoder.decode(&mut rest),
        Ok(Some(Bytes::from_static(b"last")))
    );
}

#[test]
fn a_stream_is_mid_event_from_its_first_byte_of_data_to_its_blank_line() {
    let mut decoder = EventStream::new(100);
    for (input, mid, buffered, unfinished) in [
        (&b""[..], false, 0, 0),
        (b"\n: comment", false, 0, 0),
        (b"\n", false, 0, 0),
        (b"d", true, 0, 11),
        (b"ata", true, 0, 14),
        (b":", true, 0, 15),
        (b" ab", true, 2, 18),
        (b"\n", true, 2, 19),
        (b"id: 1", true, 2, 24),
    ] {
        assert_eq!(decoder.decode(&mut Bytes::from_static(input)), Ok(None));
        let found = (
            decoder.is_mid_event(),
            decoder.buffered(),
            decoder.unfinished(),
        );
        assert_eq!(found, (mid, buffered, unfinished), "{input:?}");
    }
    let mut rest = Bytes::from_static(b"\r\n\r\n\r\ndata: a\n\n");
    assert_eq!(
        decoder.decode(&mut rest),
        Ok(Some(Bytes::from_static(b"ab")))
    );
    assert_eq!((decoder.event_start(), decoder.unfinished()), (1, 0));
    assert_eq!(
        decoder.decode(&mut rest),
        Ok(Some(Bytes::from_static(b"a")))
    );
    assert_eq!((decoder.event_start(), decoder.unfinished()), (31, 0));
    assert!(!decoder.is_mid_event());
}

#[test]
fn a_payload_is_written_with_one_data_line_for_each_of_its_lines() {
    for (payload, written) in [
        (&b""[..], &b"\r\n"[..]),
        (b"{\"type\":6}\x1e", b"data: {\"type\":6}\x1e\r\n\r\n"),
        (b"a\nb", b"data: a\r\ndata: b\r\n\r\n"),
        (b"a\r\nb\r\n", b"data: a\r\ndata: b\r\ndata: \r\n\r\n"),
        (b"a\rb", b"data: a\r\ndata: b\r\n\r\n"),
        (b"\n", b"data: \r\ndata: \r\n\r\n"),
        (b"a\r\n\r\n", b"data: a\r\ndata: \r\ndata: \r\n\r\n"),
    ] {
        let mut out = BytesMut::from(OPENING);
        event_stream::encode(&mut out, payload);
        assert_eq!(out, [OPENING, written].concat(), "{payload:?}");
    }
}

#[test]
fn a_large_event_in_many_pieces_costs_time_in_proportion_to_its_size() {
    // Each byte copied once or a few times: were it scanned or copied for each piece, this would take minutes.
    let size = 4 << 20;
    let mut decoder = EventStream::new(size);
    assert_eq!(decoder.decode(&mut Bytes::from_static(b"data: ")), Ok(None));
    for _ in 0..size / 4 {
        assert_eq!(decoder.decode(&mut Bytes::from_static(b"abcd")), Ok(None));
    }
    let event = decoder
        .decode(&mut Bytes::from_static(b"\n\n"))
        .unwrap()
        .unwrap();
    assert_eq!(event.len(), size);
}

proptest! {
    #[test]
    fn any_splitting_of_any_stream_gives_the_same_events(
        stream in "(data|dat|id|:|\u{feff}| |a|b|\r|\n|\r\n){0,60}",
        limit in 0_usize..12,
        cuts in prop::collection::vec(1_usize..8, 1..40),
    ) {
        let mut pieces = Vec::new();
        let mut rest = stream.as_bytes();
        for cut in cuts.iter().cycle().take(stream.len()) {
            let (piece, more) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        prop_assert_eq!(events(limit, [stream.as_bytes()]), events(limit, pieces));
    }

    #[test]
    fn what_is_written_is_read(payloads in prop::collection::vec("[a:\u{1e} ]{1,9}(\n[ab]{0,3}){0,3}", 0..5), size in 1_usize..20) {
        let mut out = BytesMut::from(OPENING);
        for payload in &payloads {
            event_stream::encode(&mut out, payload.as_bytes());
        }
        let (events, error) = events(100, out.chunks(size));
        prop_assert_eq!(error, None);
        prop_assert_eq!(events, payloads);
    }
}
