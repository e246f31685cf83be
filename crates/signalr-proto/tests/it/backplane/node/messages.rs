use super::*;

#[test]
fn messages_reach_the_servers_that_listen_the_sender_included() {
    let mut farm = Farm::of(3);
    farm.client(0, "1", Some("alice"));
    farm.client(1, "2", Some("alice"));
    for index in 0..3 {
        farm.servers[index].events.clear();
    }
    farm.publish(0, Channel::All, "all");
    farm.publish(0, Channel::User("alice"), "user");
    farm.publish(2, Channel::Connection("1"), "one");
    farm.publish(2, Channel::Group("nobody"), "none");
    farm.settle();
    let mut first = farm.delivered(0);
    first.sort();
    assert_eq!(
        first,
        ["All all", "Connection(\"1\") one", "User(\"alice\") user"]
    );
    assert_eq!(farm.delivered(1), ["All all", "User(\"alice\") user"]);
    assert_eq!(farm.delivered(2), ["All all"]);
}

#[test]
fn one_publication_is_under_way_and_the_rest_becomes_the_next() {
    let mut farm = Farm::of(1);
    let before = farm.node(0).counters().published;
    farm.frozen = true;
    farm.publish(0, Channel::All, "1");
    farm.settle();
    for _ in 0..3 {
        farm.publish(0, Channel::All, "more");
    }
    farm.settle();
    assert_eq!(farm.actions, ["a > all"]);
    assert!(farm.node(0).counters().waiting_bytes > 0);
    farm.frozen = false;
    let receivers = vec![Some(1)];
    let now = farm.now;
    let op = farm.unanswered[0];
    farm.node(0)
        .handle_input(now, BackplaneInput::Published { op, receivers });
    farm.settle();
    assert_eq!(farm.actions[1..], ["a > all all all"]);
    assert_eq!(farm.node(0).counters().waiting_bytes, 0);
    assert_eq!(farm.node(0).counters().published, before + 4);
}

#[test]
fn a_message_to_many_is_done_when_all_are_published() {
    let mut farm = Farm::of(1);
    let now = farm.now;
    let names: Vec<String> = (0..2_500).map(|number| number.to_string()).collect();
    let users = names.iter().map(|name| Channel::User(name));
    let sent = farm.node(0).publish(now, users, &message("x"));
    farm.settle();
    assert_eq!(farm.result(0, sent), Some(Ok(())));
    assert_eq!(farm.published.len(), 2_500);
    assert_eq!(farm.actions.len(), 3);
    let nobody = farm.node(0).publish(now, [], &message("x"));
    farm.settle();
    assert_eq!(farm.result(0, nobody), Some(Ok(())));
}

#[test]
fn what_cannot_be_read_is_told_and_the_next_message_arrives() {
    let mut farm = Farm::of(1);
    let channels = Channels::new("pre", "My.Hub");
    for channel in [
        Channel::All,
        Channel::GroupCommands,
        Channel::Acks("a"),
        Channel::Returns("a"),
    ] {
        let channel = channels.name(channel);
        let payload = Bytes::from_static(b"\x92\xff");
        farm.spread(Message { channel, payload });
    }
    farm.publish(0, Channel::All, "good");
    farm.settle();
    assert_eq!(farm.node(0).counters().malformed, 4);
    let told = farm.servers[0].events.iter();
    let told = told.filter(|event| matches!(event, BackplaneEvent::Malformed { .. }));
    assert_eq!(told.count(), 4);
    assert_eq!(farm.delivered(0), ["All good"]);
}

#[test]
fn a_message_over_the_limit_is_neither_published_nor_read() {
    let limit = 20;
    let mut farm = Farm::away(1, |config| config.max_message_size = limit);
    farm.up = true;
    let (short, long) = (message("short"), message("longer than that"));
    farm.publish(0, Channel::All, "short");
    let refused = farm.publish(0, Channel::All, "longer than that");
    let now = farm.now;
    let timeout = seconds(30);
    let question = farm.node(0).ask(now, "x", "q", long.clone(), timeout);
    farm.settle();
    let size = long.len();
    let too_large = Some(Err(BackplaneError::TooLarge { size, limit }));
    assert_eq!(farm.result(0, refused), too_large);
    assert_eq!(farm.result(0, question), too_large);
    for payload in [long, short] {
        let channel = Channels::new("pre", "My.Hub").name(Channel::All);
        farm.spread(Message { channel, payload });
    }
    farm.settle();
    assert_eq!(farm.delivered(0), ["All short", "All short"]);
    assert_eq!(farm.node(0).counters().malformed, 1);
}

/// The next message to the same client would be taken for the rest.
#[test]
fn a_message_with_half_a_frame_is_not_delivered() {
    let mut farm = Farm::of(1);
    let (json, packed): (&[u8], &[u8]) = (b"{}\x1e", b"\x02\x91\x06");
    let halves: [[(&str, &[u8]); 2]; 7] = [
        [("json", b"{}"), ("messagepack", packed)],
        [("json", b"{}\x1e{"), ("messagepack", packed)],
        [("json", b""), ("messagepack", packed)],
        [("json", json), ("messagepack", b"\x03\x91\x06")],
        [("json", json), ("messagepack", b"\x02\x91\x06\x02")],
        [("json", json), ("messagepack", b"\x00")],
        [("json", json), ("messagepack", b"\xff\xff\xff\xff\xff\xff")],
    ];
    let channel = Channels::new("pre", "My.Hub").name(Channel::All);
    for half in &halves {
        let (channel, payload) = (channel.clone(), frames(half));
        farm.spread(Message { channel, payload });
    }
    farm.settle();
    assert!(farm.delivered(0).is_empty());
    assert_eq!(farm.node(0).counters().malformed, halves.len() as u64);
    let twice: [(&str, &[u8]); 3] = [
        ("json", b"{}\x1e{}\x1e"),
        ("messagepack", b"\x02\x91\x06\x02\x91\x06"),
        ("unknown", b"half"),
    ];
    let payload = frames(&twice);
    farm.spread(Message { channel, payload });
    farm.settle();
    assert_eq!(farm.delivered(0), ["All {}\x1e{}"]);
}

#[test]
fn a_message_too_many_is_refused_and_one_of_any_size_is_taken() {
    let mut farm = Farm::away(1, |config| config.waiting_limit = 100);
    farm.up = true;
    farm.settle();
    farm.frozen = true;
    let large = farm.publish(
        0,
        Channel::All,
        "a message that is larger than all that may wait, but for which there is room as it is the only one of its kind here",
    );
    let second = farm.publish(0, Channel::All, "x");
    farm.settle();
    assert_eq!(farm.result(0, large), None);
    assert_eq!(
        farm.result(0, second),
        Some(Err(BackplaneError::Full { limit: 100 }))
    );
}
