//! What servers of a farm tell each other: the recorded bytes both ways, and what else is read (`SB-63`).

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use signalr_proto::backplane::{
    Ack, Census, Completion, Count, Counted, GroupAction, GroupCommand, Invocation, ResultRequest,
};
use signalr_proto::codec::{InvocationHead, Outcome};
use signalr_proto::{DecodeError, DecodeErrorKind, HubArguments, Protocol};

use crate::support::hex;

fn written(encode: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.freeze()
}

/// Every shorter piece is an error.
fn cut<T: std::fmt::Debug>(bytes: &Bytes, decode: impl Fn(&Bytes) -> Result<T, DecodeError>) {
    for length in 0..bytes.len() {
        assert!(
            decode(&bytes.slice(..length)).is_err(),
            "{length} of {} bytes were read",
            bytes.len()
        );
    }
}

fn both_ways(invocation: &Invocation, bytes: &Bytes) {
    assert_eq!(written(|out| invocation.encode(out)), bytes);
    assert_eq!(Invocation::decode(bytes).as_ref(), Ok(invocation));
    cut(bytes, Invocation::decode);
}

fn payload(protocol: &'static str, frame: impl Into<Bytes>) -> (ByteString, Option<Bytes>) {
    (protocol.into(), Some(frame.into()))
}

fn frame<A: HubArguments>(
    protocol: Protocol,
    id: Option<&str>,
    target: &str,
    arguments: A,
) -> Bytes {
    let head = InvocationHead {
        streaming: false,
        headers: &[],
        invocation_id: id,
        target,
        stream_ids: &[],
    };
    written(|out| protocol.encode_invocation(out, head, &arguments).unwrap())
}

#[test]
fn acks_are_those_of_the_official_server() {
    let cases = [
        (0, "91 00"),
        (42, "91 2A"),
        (180, "91 CC B4"),
        (384, "91 CD 01 80"),
        (70_000, "91 CE 00 01 11 70"),
        (-5, "91 FB"),
    ];
    for (id, text) in cases {
        let bytes = hex(text);
        assert_eq!(written(|out| Ack { id }.encode(out)), bytes);
        assert_eq!(Ack::decode(&bytes), Ok(Ack { id }));
        cut(&bytes, Ack::decode);
    }
}

fn command(
    id: i32,
    server: &str,
    action: GroupAction,
    group: &str,
    connection: &str,
) -> GroupCommand {
    GroupCommand {
        id,
        server: server.into(),
        action,
        group: group.into(),
        connection_id: connection.into(),
    }
}

#[test]
fn group_commands_are_those_of_the_official_server() {
    let cases = [
        (
            command(42, "S", GroupAction::Add, "G", "C"),
            "95 2A A1 53 01 A1 47 A1 43",
        ),
        (
            command(42, "S", GroupAction::Remove, "G", "C"),
            "95 2A A1 53 02 A1 47 A1 43",
        ),
        (
            command(1, "srv_1", GroupAction::Add, "room", "abc"),
            "95 01 A5 73 72 76 5F 31 01 A4 72 6F 6F 6D A3 61 62 63",
        ),
    ];
    for (command, text) in cases {
        let bytes = hex(text);
        assert_eq!(written(|out| command.encode(out)), bytes);
        assert_eq!(GroupCommand::decode(&bytes), Ok(command));
        cut(&bytes, GroupCommand::decode);
    }
}

#[test]
fn group_commands_of_unknown_actions_are_read_and_others_are_not() {
    let action = |bytes: &str| {
        let text = format!("95 2A A1 53 {bytes} A1 47 A1 43");
        GroupCommand::decode(&hex(&text)).map(|command| command.action)
    };
    assert_eq!(action("00"), Ok(GroupAction::Unknown(0)));
    assert_eq!(action("03"), Ok(GroupAction::Unknown(3)));
    assert_eq!(action("CC FF"), Ok(GroupAction::Unknown(255)));
    assert_eq!(action("CD 00 01"), Ok(GroupAction::Add));
    for wrong in [
        "CD 01 2C",
        "FF",
        "A1 31",
        "C0",
        "CB 3F F0 00 00 00 00 00 00",
        "C3",
    ] {
        assert!(action(wrong).is_err(), "{wrong}");
    }
    // Ids of 2^31 and more, and too few elements.
    assert!(Ack::decode(&hex("91 CE 80 00 00 00")).is_err());
    assert!(Ack::decode(&hex("91 CE 7F FF FF FF")).is_ok());
    assert!(Ack::decode(&hex("90")).is_err());
    assert!(GroupCommand::decode(&hex("94 2A A1 53 01 A1 47")).is_err());
}

#[test]
fn invocations_are_those_of_the_official_server() {
    let dummies = || vec![payload("p1", &b"\x2a"[..]), payload("p2", &b"\x2a"[..])];
    let plain = Invocation {
        payloads: dummies(),
        ..Invocation::default()
    };
    both_ways(&plain, &hex("92 90 82 A2 70 31 C4 01 2A A2 70 32 C4 01 2A"));
    let excluding = Invocation {
        excluded: vec!["a".into()],
        ..plain
    };
    both_ways(
        &excluding,
        &hex("92 91 A1 61 82 A2 70 31 C4 01 2A A2 70 32 C4 01 2A"),
    );
}

const HI: &str = "A4 6A 73 6F 6E C4 2B
  7B 22 74 79 70 65 22 3A 31 2C 22 74 61 72 67 65 74 22 3A 22 48 69 22 2C
  22 61 72 67 75 6D 65 6E 74 73 22 3A 5B 22 78 22 5D 7D 1E";

#[test]
fn messages_to_all_are_those_of_the_official_server() {
    let to_all = Invocation {
        payloads: Protocol::ALL
            .map(|protocol| payload(protocol.name(), frame(protocol, None, "Hi", ("x",))))
            .to_vec(),
        ..Invocation::default()
    };
    let text = format!(
        "92 90 82 {HI} AB 6D 65 73 73 61 67 65 70 61 63 6B C4 0C 0B 96 01 80 C0 A2 48 69 91 A1 78 90"
    );
    let bytes = hex(&text);
    assert_eq!(bytes.len(), 79);
    both_ways(&to_all, &bytes);

    let but_one = Invocation {
        excluded: vec!["c1".into()],
        payloads: vec![payload("json", frame(Protocol::Json, None, "Hi", ("x",)))],
        result_request: None,
    };
    let bytes = hex(&format!("92 91 A2 63 31 81 {HI}"));
    assert_eq!(bytes.len(), 56);
    both_ways(&but_one, &bytes);
}

const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

#[test]
fn questions_and_answers_are_those_of_the_official_server() {
    let result_request = Invocation {
        payloads: vec![payload("json", frame(Protocol::Json, Some(ID), "Ask", ()))],
        result_request: Some(ResultRequest {
            id: ID.into(),
            return_address: "My.Hub:internal:return:srv_1".into(),
        }),
        ..Invocation::default()
    };
    let bytes = written(|out| result_request.encode(out));
    assert_eq!(bytes.len(), 143);
    assert_eq!(bytes[..9], hex("94 90 81 A4 6A 73 6F 6E C4"));
    assert_eq!(bytes[10..20], *b"{\"type\":1,");
    assert_eq!(bytes[91], 0xb6);
    both_ways(&result_request, &bytes);

    let answer = Completion {
        protocol: "json".into(),
        frame: Bytes::from(format!(
            "{{\"type\":3,\"invocationId\":\"{ID}\",\"result\":42}}\x1e"
        )),
    };
    let bytes = written(|out| answer.encode(out));
    assert_eq!(bytes.len(), 71);
    assert_eq!(bytes[..8], hex("92 A4 6A 73 6F 6E C4 3F"));
    assert_eq!(Completion::decode(&bytes).as_ref(), Ok(&answer));
    cut(&bytes, Completion::decode);
    let (id, outcome) = answer.read().unwrap();
    assert_eq!(id, ID);
    match outcome {
        Outcome::Result(result) => assert_eq!(result.decode::<i32>(), Ok(42)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_is_the_first_message_of_its_frame_in_a_protocol_of_that_very_name() {
    let read = |protocol: &'static str, frame: &str| {
        let completion = Completion {
            protocol: protocol.into(),
            frame: Bytes::from(frame.to_owned()),
        };
        completion.read().map(|(id, _)| id)
    };
    let done = "{\"type\":3,\"invocationId\":\"1\"}\x1e";
    assert_eq!(read("json", done).as_deref(), Some("1"));
    assert_eq!(
        read("json", &format!("{done}garbage")).as_deref(),
        Some("1")
    );
    assert_eq!(read("Json", done), None);
    assert_eq!(read("messagepack", done), None);
    assert_eq!(read("xml", done), None);
    assert_eq!(read("json", &format!("{{\"type\":6}}\x1e{done}")), None);
    assert_eq!(read("json", "{\"type\":3,\"invocationId\":\"1\"}"), None);
    assert_eq!(read("json", ""), None);
}

#[test]
fn other_forms_and_additions_are_read() {
    let one =
        |protocols: &str| Invocation::decode(&hex(&format!("92 90 81 A4 6A 73 6F 6E {protocols}")));
    let known = one("C4 01 2A").unwrap();
    assert_eq!(
        known.payload(Protocol::Json),
        Some(&Some(Bytes::from_static(b"*")))
    );
    assert_eq!(known.payload(Protocol::MessagePack), None);
    // Longer forms of lengths, and a short string.
    for form in [
        "C5 00 01 2A",
        "C6 00 00 00 01 2A",
        "A1 2A",
        "C4 01 2A C1 FF FF",
    ] {
        assert_eq!(one(form).as_ref(), Ok(&known), "{form}");
    }
    let long = hex("DD 00 00 00 02 DC 00 00 DF 00 00 00 01 DB 00 00 00 04 6A 73 6F 6E C4 01 2A");
    assert_eq!(Invocation::decode(&long), Ok(known.clone()));
    // A third element alone says nothing.
    let three = hex("93 90 81 A4 6A 73 6F 6E C4 01 2A A1 78");
    assert_eq!(Invocation::decode(&three), Ok(known));
    // Nothing for this protocol.
    assert_eq!(one("C0").unwrap().payload(Protocol::Json), Some(&None));
    assert_eq!(
        Ack::decode(&hex("92 D2 00 00 00 2A C0 99")),
        Ok(Ack { id: 42 })
    );
}

#[test]
fn what_the_official_server_drops_is_dropped() {
    for text in [
        // A payload in a long string, or as a number.
        "92 90 81 A4 6A 73 6F 6E D9 01 2A",
        "92 90 81 A4 6A 73 6F 6E 2A",
        // A key in bytes.
        "92 90 81 C4 04 6A 73 6F 6E C4 01 2A",
        // Nil and a number among the excluded, and nil instead of them.
        "92 91 C0 81 A4 6A 73 6F 6E C4 01 2A",
        "92 91 01 81 A4 6A 73 6F 6E C4 01 2A",
        "92 C0 81 A4 6A 73 6F 6E C4 01 2A",
        // No map, no array, too few elements, bytes that are not text.
        "92 90 90",
        "82 90 81 A4 6A 73 6F 6E C4 01 2A",
        "91 90",
        "92 90 81 A1 FF C4 01 2A",
    ] {
        assert!(Invocation::decode(&hex(text)).is_err(), "{text}");
    }
}

#[test]
fn counts_are_bounded() {
    let too_many = |bytes: &Bytes| match Invocation::decode(bytes).unwrap_err().kind {
        DecodeErrorKind::TooMany { members, .. } => members,
        other => panic!("{other}"),
    };
    let excluded = [
        hex("92 DD 00 02 00 01"),
        vec![0xa0; 0x2_0001].into(),
        hex("80"),
    ]
    .concat();
    assert_eq!(too_many(&excluded.into()), "excluded connections");
    let payloads = [hex("92 90 DE 00 41"), [0xa0, 0xc0].repeat(0x41).into()].concat();
    assert_eq!(too_many(&payloads.into()), "protocols");
    // More than there can be.
    for bomb in [
        "92 DD FF FF FF FF 00",
        "92 90 DF FF FF FF FF 00",
        "DD FF FF FF FF 90",
    ] {
        assert!(Invocation::decode(&hex(bomb)).is_err());
    }
}

#[test]
fn payloads_are_not_shown() {
    let invocation = Invocation {
        payloads: vec![payload("json", &b"secret"[..])],
        ..Invocation::default()
    };
    assert!(!format!("{invocation:?}").contains("secret"));
    let completion = Completion {
        protocol: "json".into(),
        frame: Bytes::from_static(b"secret"),
    };
    assert!(!format!("{completion:?}").contains("secret"));
}

#[test]
fn censuses_are_written_and_read() {
    let cases = [
        (Counted::All, "94 07 A1 53 00 A0"),
        (Counted::Group("G".into()), "94 07 A1 53 01 A1 47"),
        (Counted::User("U".into()), "94 07 A1 53 02 A1 55"),
    ];
    for (counted, text) in cases {
        let census = Census {
            id: 7,
            server: "S".into(),
            counted,
        };
        let bytes = hex(text);
        assert_eq!(written(|out| census.encode(out)), bytes);
        assert_eq!(Census::decode(&bytes), Ok(census));
        cut(&bytes, Census::decode);
    }
    assert!(Census::decode(&hex("94 07 A1 53 03 A0")).is_err());
    let count = Count { id: 7, count: 300 };
    let bytes = hex("92 07 CD 01 2C");
    assert_eq!(written(|out| count.encode(out)), bytes);
    assert_eq!(Count::decode(&bytes), Ok(count));
    cut(&bytes, Count::decode);
    assert!(Count::decode(&hex("92 07 FF")).is_err());
}
