//! The handshake: both its messages, as far as either side reads them.

use bytes::{Bytes, BytesMut};
use signalr_proto::codec::frame::FrameDecoder;
use signalr_proto::codec::handshake;
use signalr_proto::{DecodeErrorKind, Protocol};

use crate::support::hex;

#[test]
fn handshake_vectors_are_written_byte_for_byte() {
    let request = |protocol, version| {
        let mut out = BytesMut::new();
        handshake::encode_request(&mut out, protocol, version);
        out.freeze()
    };
    assert_eq!(
        request(Protocol::Json, 1),
        hex("7b2270726f746f636f6c223a226a736f6e222c2276657273696f6e223a317d1e")
    );
    assert_eq!(
        request(Protocol::MessagePack, 2),
        "{\"protocol\":\"messagepack\",\"version\":2}\x1e"
    );
    assert_eq!(
        request(Protocol::Json, i32::MIN),
        "{\"protocol\":\"json\",\"version\":-2147483648}\x1e"
    );
    let response = |error| {
        let mut out = BytesMut::new();
        handshake::encode_response(&mut out, error);
        out.freeze()
    };
    assert_eq!(response(None), hex("7b7d1e"));
    assert_eq!(
        response(Some("a \"b\"\n\x1e")),
        "{\"error\":\"a \\\"b\\\"\\n\\u001e\"}\x1e"
    );
}

#[test]
fn handshake_requests_are_read_leniently_where_the_server_does() {
    let read = |text: &str| handshake::decode_request(&Bytes::copy_from_slice(text.as_bytes()));
    for text in [
        r#"{"version":1,"x":{"y":[]},"protocol":"json"}"#,
        " {\"protocol\" : \"json\", \"version\" : 1} ",
        r#"{"protocol":"xml","protocol":"json","version":1}"#,
    ] {
        let request = read(text).unwrap();
        assert_eq!((&*request.protocol, request.version), ("json", 1));
    }
    assert_eq!(
        read(r#"{"protocol":"json","version":-1}"#).unwrap().version,
        -1
    );
    let refused = [
        "",
        "hello",
        "[]",
        "{}",
        r#"{"protocol":"json"}"#,
        r#"{"version":1}"#,
        r#"{"protocol":"json","version":1.0}"#,
        r#"{"protocol":"json","version":"1"}"#,
        r#"{"protocol":1,"version":1}"#,
        r#"{"protocol":null,"version":1}"#,
        r#"{"protocol":"json","version":2147483648}"#,
        r#"{"Protocol":"json","version":1}"#,
    ];
    for text in refused {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn handshake_responses_tell_success_from_refusal_and_from_messages() {
    let read = |text: &str| handshake::decode_response(&Bytes::copy_from_slice(text.as_bytes()));
    for text in ["{}", r#"{"error":null}"#, r#"{"minorVersion":0}"#] {
        assert_eq!(read(text).unwrap().error, None, "{text}");
    }
    assert_eq!(
        read(r#"{"error":"x"}"#).unwrap().error.as_deref(),
        Some("x")
    );
    assert_eq!(read(r#"{"error":""}"#).unwrap().error.as_deref(), Some(""));
    for text in [
        r#"{"type":6}"#,
        r#"{"type":0,"error":"x"}"#,
        r#"{"type":null}"#,
    ] {
        assert_eq!(
            read(text).unwrap_err().kind,
            DecodeErrorKind::NotAHandshake,
            "{text}"
        );
    }
    for text in ["", "[]", "null", r#"{"error":1}"#, r#"{"error":{}}"#] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn what_follows_the_handshake_is_left_for_the_hub_protocol() {
    let stream = b"{\"protocol\":\"messagepack\",\"version\":1}\x1e\x02\x91\x06";
    for cut in 0..stream.len() {
        let mut decoder = handshake::HandshakeDecoder::new(100);
        let mut first = Bytes::copy_from_slice(&stream[..cut]);
        let mut second = Bytes::copy_from_slice(&stream[cut..]);
        let record = decoder
            .decode(&mut first)
            .unwrap()
            .or_else(|| decoder.decode(&mut second).unwrap())
            .unwrap();
        assert_eq!(
            handshake::decode_request(&record).unwrap().protocol,
            "messagepack"
        );
        let rest = Bytes::from([first, second].concat());
        assert_eq!(rest, b"\x02\x91\x06"[..]);
        let mut again = rest.clone();
        assert_eq!(decoder.decode(&mut again), Ok(None));
        assert_eq!(again, rest);
        assert_eq!(
            FrameDecoder::new(Protocol::MessagePack, 100)
                .decode(&mut again)
                .unwrap()
                .unwrap(),
            hex("9106")
        );
    }
}

#[test]
fn an_oversized_handshake_is_refused() {
    let mut decoder = handshake::HandshakeDecoder::new(10);
    assert_eq!(
        decoder.decode(&mut Bytes::from_static(b"{         ")),
        Ok(None)
    );
    assert!(decoder.is_mid_frame());
    let error = decoder.decode(&mut Bytes::from_static(b" ")).unwrap_err();
    assert_eq!(
        error.kind,
        DecodeErrorKind::TooLarge {
            size: 11,
            limit: 10
        }
    );
}
