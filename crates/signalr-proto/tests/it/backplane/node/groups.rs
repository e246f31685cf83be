use super::*;
use signalr_proto::backplane::{Ack, Counted, GroupAction, GroupCommand, JoinRefusal};

#[test]
fn a_group_is_subscribed_to_while_it_has_members() {
    let mut farm = Farm::of(1);
    farm.client(0, "1", None);
    farm.client(0, "2", None);
    farm.actions.clear();
    let first = farm.join(0, "1", "room");
    let again = farm.join(0, "1", "room");
    let second = farm.join(0, "2", "room");
    farm.settle();
    assert_eq!(farm.actions, ["a + group:room"]);
    for operation in [first, again, second] {
        assert_eq!(farm.result(0, operation), Some(Ok(())));
    }
    let now = farm.now;
    farm.node(0).leave(now, "1", "room");
    farm.node(0).leave(now, "1", "room");
    farm.settle();
    assert_eq!(farm.actions.len(), 1);
    farm.node(0).leave(now, "2", "room");
    farm.settle();
    assert_eq!(farm.actions[1..], ["a - group:room"]);
}

#[test]
fn names_of_groups_are_compared_exactly_and_may_be_empty() {
    let mut farm = Farm::of(1);
    farm.client(0, "1", None);
    for group in ["Room", "room", "ROOM", ""] {
        farm.join(0, "1", group);
    }
    farm.settle();
    let now = farm.now;
    farm.node(0).leave(now, "1", "room");
    farm.settle();
    assert_eq!(
        farm.subscribed(0),
        ["all", "connection:1", "group:", "group:ROOM", "group:Room"]
    );
}

#[test]
fn who_joins_while_the_last_one_leaves_is_subscribed_again() {
    let mut farm = Farm::of(1);
    farm.client(0, "1", None);
    farm.client(0, "2", None);
    farm.join(0, "1", "room");
    farm.settle();
    let now = farm.now;
    farm.node(0).leave(now, "1", "room");
    // The broker has been told to forget the group, and has not answered.
    while !farm.actions.iter().any(|action| action == "a - group:room") {
        farm.step(0);
    }
    let answer = farm.servers[0].inputs.pop_front().unwrap();
    let joined = farm.join(0, "2", "room");
    farm.settle();
    assert_eq!(farm.result(0, joined), None);
    farm.servers[0].inputs.push_back(answer);
    farm.settle();
    assert_eq!(farm.result(0, joined), Some(Ok(())));
    assert_eq!(
        farm.subscribed(0),
        ["all", "connection:1", "connection:2", "group:room"]
    );
    farm.publish(0, Channel::Group("room"), "hi");
    farm.settle();
    assert_eq!(farm.delivered(0), ["Group(\"room\") hi"]);
}

#[test]
fn who_leaves_while_it_joins_leaves_nothing_behind() {
    let mut farm = Farm::of(1);
    farm.client(0, "1", None);
    let joined = farm.join(0, "1", "room");
    let now = farm.now;
    farm.node(0).leave(now, "1", "room");
    farm.settle();
    assert_eq!(farm.result(0, joined), Some(Ok(())));
    assert_eq!(farm.subscribed(0), ["all", "connection:1"]);
}

/// The first of two joins gives up before the second, which has made nobody a member but waits for the same.
#[test]
fn a_join_that_fails_takes_nothing_from_a_later_one() {
    let mut farm = Farm::of(1);
    farm.client(0, "1", None);
    farm.frozen = true;
    let first = farm.join(0, "1", "room");
    farm.pass(seconds(3));
    let second = farm.join(0, "1", "room");
    farm.pass(Duration::from_millis(2_500));
    let timeout = seconds(5);
    let late = BackplaneError::TimedOut { timeout };
    assert_eq!(farm.result(0, first), Some(Err(late)));
    assert_eq!(farm.result(0, second), None);
    assert_eq!(farm.node(0).counters().channels, 8);
    let now = farm.now;
    // The subscription was the last thing asked of the broker but one.
    for op in farm.unanswered.split_off(farm.unanswered.len() - 2) {
        farm.node(0)
            .handle_input(now, BackplaneInput::Subscribed { op });
    }
    farm.settle();
    assert_eq!(farm.result(0, second), Some(Ok(())));
    assert_eq!(farm.node(0).counters().channels, 8);
}

#[test]
fn a_connection_of_another_server_joins_and_leaves() {
    let mut farm = Farm::of(3);
    farm.client(1, "1", None);
    farm.servers[1].events.clear();
    let joined = farm.join(0, "1", "room");
    farm.settle();
    assert_eq!(farm.result(0, joined), Some(Ok(())));
    assert_eq!(farm.subscribed(1), ["all", "connection:1", "group:room"]);
    let joined: Vec<_> = farm.servers[1]
        .events
        .iter()
        .map(|event| format!("{event:?}"))
        .collect();
    assert_eq!(joined, ["Joined { connection_id: \"1\", group: \"room\" }"]);
    farm.publish(2, Channel::Group("room"), "hi");
    farm.settle();
    assert_eq!(farm.delivered(1), ["Group(\"room\") hi"]);
    let now = farm.now;
    let left = farm.node(0).leave(now, "1", "room");
    farm.settle();
    assert_eq!(farm.result(0, left), Some(Ok(())));
    assert_eq!(farm.subscribed(1), ["all", "connection:1"]);
}

#[test]
fn a_change_for_a_connection_that_nobody_has_fails_after_thirty_seconds() {
    let mut farm = Farm::of(2);
    let joined = farm.join(0, "nobody", "room");
    farm.pass(Duration::from_millis(29_999));
    assert_eq!(farm.result(0, joined), None);
    farm.pass(Duration::from_millis(1));
    let timeout = seconds(30);
    assert_eq!(
        farm.result(0, joined),
        Some(Err(BackplaneError::NotAcknowledged { timeout }))
    );
}

/// What another server would say.
fn say(farm: &mut Farm, channel: Channel<'_>, encode: impl FnOnce(&mut BytesMut)) {
    let mut out = BytesMut::new();
    encode(&mut out);
    let channel = Channels::new("pre", "My.Hub").name(channel);
    let payload = out.freeze();
    farm.spread(Message { channel, payload });
    farm.settle();
}

fn command(farm: &mut Farm, id: i32, action: GroupAction, group: &str) {
    let command = GroupCommand {
        id,
        server: "other".into(),
        action,
        group: group.into(),
        connection_id: "1".into(),
    };
    say(farm, Channel::GroupCommands, |out| command.encode(out));
}

fn acks(farm: &mut Farm) -> Vec<i32> {
    let published = std::mem::take(&mut farm.published);
    let acks = published
        .iter()
        .filter(|message| message.channel == "preMy.Hub:internal:ack:other");
    acks.map(|message| Ack::decode(&message.payload).unwrap().id)
        .collect()
}

#[test]
fn commands_are_confirmed_whatever_their_action_and_id_and_however_often() {
    let mut farm = Farm::of(1);
    farm.client(0, "1", None);
    command(&mut farm, 7, GroupAction::Add, "room");
    command(&mut farm, 7, GroupAction::Add, "room");
    command(&mut farm, -5, GroupAction::Remove, "room");
    command(&mut farm, 8, GroupAction::Remove, "room");
    command(&mut farm, 9, GroupAction::Unknown(0), "room");
    command(&mut farm, 10, GroupAction::Unknown(3), "room");
    assert_eq!(acks(&mut farm), [7, 7, -5, 8, 9, 10]);
    assert_eq!(farm.subscribed(0), ["all", "connection:1"]);
}

#[test]
fn the_group_is_subscribed_to_before_a_command_is_confirmed() {
    let mut farm = Farm::of(1);
    farm.client(0, "1", None);
    farm.actions.clear();
    command(&mut farm, 1, GroupAction::Add, "room");
    assert_eq!(farm.actions, ["a + group:room", "a > internal:ack:other"]);
}

#[test]
fn limits_hold_for_local_and_for_remote_joins_and_a_refusal_is_not_confirmed() {
    let mut farm = Farm::away(1, |config| {
        config.maximum_groups_per_connection = 1;
        config.maximum_group_name_length = 4;
    });
    farm.up = true;
    farm.client(0, "1", None);
    let now = farm.now;
    let length = 5;
    assert_eq!(
        farm.node(0).join(now, "1", "rooms").unwrap_err(),
        JoinRefusal::NameTooLong { length, limit: 4 }
    );
    farm.join(0, "1", "room");
    farm.join(0, "1", "room");
    assert_eq!(
        farm.node(0).join(now, "1", "more").unwrap_err(),
        JoinRefusal::TooManyGroups { limit: 1 }
    );
    command(&mut farm, 1, GroupAction::Add, "more");
    command(&mut farm, 2, GroupAction::Add, "rooms");
    assert!(acks(&mut farm).is_empty());
    let refused = farm.servers[0].events.iter();
    let refused = refused.filter(|event| matches!(event, BackplaneEvent::Refused { .. }));
    assert_eq!(refused.count(), 2);
}

#[test]
fn acks_of_other_commands_confirm_nothing() {
    let mut farm = Farm::of(1);
    let joined = farm.join(0, "elsewhere", "room");
    farm.settle();
    say(&mut farm, Channel::Acks("a"), |out| {
        Ack { id: 99 }.encode(out)
    });
    say(&mut farm, Channel::Acks("b"), |out| {
        Ack { id: 1 }.encode(out)
    });
    assert_eq!(farm.result(0, joined), None);
    say(&mut farm, Channel::Acks("a"), |out| {
        Ack { id: 1 }.encode(out)
    });
    say(&mut farm, Channel::Acks("a"), |out| {
        Ack { id: 1 }.encode(out)
    });
    assert_eq!(farm.result(0, joined), Some(Ok(())));
}

fn counted(farm: &Farm, server: usize, wanted: OperationId) -> Option<u64> {
    let events = farm.servers[server].events.iter();
    let mut counts = events.filter_map(|event| match event {
        BackplaneEvent::Counted { operation, count } if *operation == wanted => Some(*count),
        _ => None,
    });
    counts.next()
}

#[test]
fn the_connections_of_the_farm_are_counted_by_the_servers_that_are_there() {
    let mut farm = Farm::of(3);
    farm.client(0, "1", Some("alice"));
    farm.client(1, "2", Some("alice"));
    farm.client(2, "3", None);
    farm.join(1, "2", "room");
    farm.join(2, "3", "room");
    farm.settle();
    let now = farm.now;
    for (whose, expected) in [
        (Counted::All, 3),
        (Counted::Group("room".into()), 2),
        (Counted::Group("hall".into()), 0),
        (Counted::User("alice".into()), 2),
    ] {
        let operation = farm.node(0).count(now, whose);
        farm.settle();
        assert_eq!(counted(&farm, 0, operation), Some(expected));
    }
    // Who has died counts for nothing.
    farm.servers.pop();
    let operation = farm.node(1).count(now, Counted::All);
    farm.settle();
    assert_eq!(counted(&farm, 1, operation), Some(2));
    farm.pass(seconds(60));
    assert_eq!(farm.result(1, operation), None);
}

/// Still subscribed at the broker, and hears nothing.
fn deafen(farm: &mut Farm, server: usize) {
    assert!(farm.servers[server].link.is_some());
    farm.servers[server].link = Some(OpId::new(99));
}

#[test]
fn a_server_that_does_not_answer_in_time_is_not_counted() {
    let mut farm = Farm::of(2);
    farm.client(0, "1", None);
    farm.client(1, "2", None);
    farm.settle();
    deafen(&mut farm, 1);
    let now = farm.now;
    let operation = farm.node(0).count(now, Counted::All);
    farm.settle();
    assert_eq!(counted(&farm, 0, operation), None);
    farm.pass(seconds(5));
    assert_eq!(counted(&farm, 0, operation), Some(1));
}

#[test]
fn a_count_that_this_server_does_not_hear_itself_fails() {
    let mut farm = Farm::of(2);
    deafen(&mut farm, 0);
    deafen(&mut farm, 1);
    let now = farm.now;
    let operation = farm.node(0).count(now, Counted::All);
    farm.pass(seconds(5));
    let timeout = seconds(5);
    let failed = Some(Err(BackplaneError::TimedOut { timeout }));
    assert_eq!(farm.result(0, operation), failed);
}
