use super::*;
use signalr_proto::backplane::WhenAway;

#[test]
fn a_broker_that_is_not_there_is_tried_again_with_growing_delays() {
    let mut farm = Farm::away(1, |_| {});
    let start = farm.now;
    farm.pass(seconds(60));
    let attempts = farm
        .actions
        .iter()
        .filter(|action| *action == "a connect")
        .count();
    // 0.1 s, 0.2 s, … 5 s, of which up to a half is left out.
    assert!((16..40).contains(&attempts), "{attempts}");
    assert_eq!(farm.node(0).state(), BackplaneState::Away);
    farm.up = true;
    farm.pass(seconds(5));
    assert_eq!(farm.node(0).state(), BackplaneState::Up);
    assert!(farm.now.since(start) == seconds(65));
    assert_eq!(farm.node(0).counters().connects, 1);
}

#[test]
fn servers_do_not_come_back_all_at_once() {
    let mut farm = Farm::of(3);
    farm.cut();
    farm.up = false;
    farm.settle();
    let deadlines: BTreeSet<_> = farm
        .servers
        .iter_mut()
        .map(|server| match server.node.poll_output() {
            BackplaneOutput::Wait(deadline) => deadline,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(deadlines.len(), 3);
}

#[test]
fn while_the_broker_is_away_everything_fails_at_once_and_leaves_nothing_behind() {
    let mut farm = Farm::of(1);
    farm.client(0, "1", None);
    farm.up = false;
    farm.cut();
    farm.settle();
    assert_eq!(farm.node(0).state(), BackplaneState::Away);
    let now = farm.now;
    let sent = farm.publish(0, Channel::All, "x");
    let joined = farm.join(0, "1", "room");
    let elsewhere = farm.join(0, "2", "room");
    let connected = farm.node(0).connect(now, "3", None);
    farm.node(0).disconnect(now, "3");
    farm.settle();
    for operation in [sent, joined, elsewhere, connected] {
        assert_eq!(farm.result(0, operation), Some(Err(BackplaneError::Away)));
    }
    farm.up = true;
    farm.pass(seconds(5));
    assert_eq!(farm.subscribed(0), ["all", "connection:1"]);
    assert_eq!(farm.delivered(0).len(), 0);
}

#[test]
fn leaving_a_group_needs_no_broker() {
    let mut farm = Farm::of(1);
    farm.client(0, "1", None);
    farm.join(0, "1", "room");
    farm.settle();
    farm.up = false;
    farm.cut();
    farm.settle();
    let now = farm.now;
    let left = farm.node(0).leave(now, "1", "room");
    farm.settle();
    assert_eq!(farm.result(0, left), Some(Ok(())));
    farm.up = true;
    farm.pass(seconds(5));
    assert_eq!(farm.subscribed(0), ["all", "connection:1"]);
}

#[test]
fn operations_that_shall_wait_go_on_in_order_when_the_broker_is_back() {
    let wait = |config: &mut BackplaneConfig| config.when_away = WhenAway::Wait(seconds(20));
    let mut farm = Farm::away(1, wait);
    let now = farm.now;
    let connected = farm.node(0).connect(now, "1", None);
    let joined = farm.join(0, "1", "room");
    let sent = ["1", "2", "3"].map(|text| farm.publish(0, Channel::Group("room"), text));
    farm.pass(seconds(10));
    assert_eq!(farm.result(0, connected), None);
    farm.up = true;
    farm.pass(seconds(5));
    for operation in [connected, joined, sent[0], sent[1], sent[2]] {
        assert_eq!(farm.result(0, operation), Some(Ok(())));
    }
    let texts = ["1", "2", "3"].map(|text| format!("Group(\"room\") {text}"));
    assert_eq!(farm.delivered(0), texts);
}

#[test]
fn operations_do_not_wait_longer_than_they_shall_and_are_not_made_up_for() {
    let wait = |config: &mut BackplaneConfig| config.when_away = WhenAway::Wait(seconds(20));
    let mut farm = Farm::away(1, wait);
    let sent = farm.publish(0, Channel::All, "late");
    farm.pass(seconds(21));
    let timeout = seconds(20);
    assert_eq!(
        farm.result(0, sent),
        Some(Err(BackplaneError::TimedOut { timeout }))
    );
    assert_eq!(farm.node(0).counters().waiting_bytes, 0);
    farm.up = true;
    farm.pass(seconds(10));
    assert!(farm.delivered(0).is_empty());
}

#[test]
fn what_is_in_flight_when_the_link_breaks_is_not_sent_again() {
    for when_away in [WhenAway::Fail, WhenAway::Wait(seconds(20))] {
        let mut farm = Farm::away(1, |config| config.when_away = when_away);
        farm.up = true;
        farm.settle();
        farm.frozen = true;
        let sent = farm.publish(0, Channel::All, "in flight");
        farm.settle();
        farm.frozen = false;
        farm.cut();
        farm.pass(seconds(5));
        assert_eq!(farm.result(0, sent), Some(Err(BackplaneError::Lost)));
        assert_eq!(farm.node(0).state(), BackplaneState::Up);
        assert!(farm.delivered(0).is_empty());
    }
}

#[test]
fn everything_is_subscribed_to_again_before_anything_is_sent_or_delivered() {
    let wait = |config: &mut BackplaneConfig| config.when_away = WhenAway::Wait(seconds(20));
    let mut farm = Farm::away(1, wait);
    farm.up = true;
    farm.settle();
    farm.client(0, "1", Some("alice"));
    farm.join(0, "1", "room");
    farm.settle();
    farm.cut();
    farm.settle();
    farm.publish(0, Channel::All, "sent");
    farm.actions.clear();
    farm.frozen = true;
    farm.pass(seconds(1));
    let link = farm.unanswered[0];
    farm.servers[0].link = Some(link);
    let now = farm.now;
    farm.node(0)
        .handle_input(now, BackplaneInput::Connected { op: link });
    let channel = Channels::new("pre", "My.Hub").name(Channel::Group("room"));
    let early = Message {
        channel,
        payload: message("early"),
    };
    let early = BackplaneInput::Received {
        link,
        message: early,
    };
    farm.node(0).handle_input(now, early);
    farm.settle();
    assert_eq!(
        farm.actions,
        [
            "a connect",
            "a + all connection:1 group:room internal:ack:a internal:census internal:census:a internal:groups internal:return:a user:alice",
        ]
    );
    assert!(farm.delivered(0).is_empty());
    farm.frozen = false;
    let op = farm.unanswered[1];
    assert_eq!(farm.node(0).counters().channels, 9);
    let own = Channels::new("pre", "My.Hub").name(Channel::Acks("a"));
    farm.servers[0].subscribed.insert(own);
    farm.node(0)
        .handle_input(now, BackplaneInput::Subscribed { op });
    farm.settle();
    assert_eq!(farm.actions[2..], ["a > internal:ack:a", "a > all"]);
    assert_eq!(farm.delivered(0)[0], "Group(\"room\") early");
}

#[test]
fn a_broker_that_stops_answering_is_noticed_by_the_heartbeat() {
    let mut farm = Farm::of(1);
    farm.pass(seconds(60));
    assert_eq!(farm.node(0).state(), BackplaneState::Up);
    assert!(
        farm.actions
            .iter()
            .all(|action| action == "a > internal:ack:a")
    );
    assert!(farm.actions.len() >= 10);
    farm.frozen = true;
    let sent = farm.publish(0, Channel::All, "x");
    farm.pass(seconds(10));
    assert_ne!(farm.node(0).state(), BackplaneState::Up);
    let timeout = seconds(5);
    assert_eq!(
        farm.result(0, sent),
        Some(Err(BackplaneError::TimedOut { timeout }))
    );
    farm.frozen = false;
    farm.pass(seconds(20));
    assert_eq!(farm.node(0).state(), BackplaneState::Up);
}

#[test]
fn a_broker_that_forgot_the_subscriptions_is_noticed_by_the_heartbeat() {
    let mut farm = Farm::of(1);
    farm.client(0, "1", None);
    farm.servers[0].subscribed.clear();
    farm.pass(seconds(6));
    assert_eq!(farm.subscribed(0), ["all", "connection:1"]);
    assert_eq!(farm.node(0).counters().losses, 1);
}

/// A server that is connected and may not do as it wants.
fn hampered(hamper: impl Fn(&mut Farm, OpId)) -> Farm {
    let mut farm = Farm::away(1, |_| {});
    farm.up = true;
    while !farm.actions.iter().any(|action| action.contains('+')) {
        farm.step(0);
    }
    farm.step(0);
    farm.frozen = true;
    farm.settle();
    assert_eq!(farm.actions[2..], ["a > internal:ack:a"]);
    assert_eq!(farm.node(0).state(), BackplaneState::Restoring);
    let op = farm.unanswered[0];
    hamper(&mut farm, op);
    farm.settle();
    farm
}

#[test]
fn a_server_that_may_not_publish_or_listen_is_never_up() {
    let may_not_publish = |farm: &mut Farm, op| {
        let detail = "no right to publish".into();
        let now = farm.now;
        farm.node(0)
            .handle_input(now, BackplaneInput::Failed { op, detail });
    };
    let may_not_listen = |farm: &mut Farm, op| {
        let (receivers, now) = (vec![Some(0)], farm.now);
        farm.node(0)
            .handle_input(now, BackplaneInput::Published { op, receivers });
    };
    let is_not_heard = |farm: &mut Farm, op| {
        let (receivers, now) = (vec![None], farm.now);
        farm.node(0)
            .handle_input(now, BackplaneInput::Published { op, receivers });
        farm.pass(seconds(10));
    };
    for (mut farm, words) in [
        (hampered(may_not_publish), "no right to publish"),
        (hampered(may_not_listen), "allowed to subscribe"),
        (hampered(is_not_heard), "has not heard itself within 10s"),
    ] {
        assert_ne!(farm.node(0).state(), BackplaneState::Up);
        let events = &farm.servers[0].events;
        let told = events.iter().find_map(|event| match event {
            BackplaneEvent::Away { detail } => Some(&**detail),
            _ => None,
        });
        assert!(told.is_some_and(|told| told.contains(words)), "{told:?}");
        assert!(
            !events
                .iter()
                .any(|event| matches!(event, BackplaneEvent::Up))
        );
    }
}

#[test]
fn servers_that_share_a_name_are_told_once_and_know_their_own_heartbeats() {
    let mut farm = Farm::away(2, |config| config.server_name = "same".into());
    farm.up = true;
    farm.pass(seconds(30));
    for index in 0..2 {
        assert_eq!(farm.node(index).state(), BackplaneState::Up);
        let told = farm.servers[index].events.iter();
        let told = told.filter(|event| matches!(event, BackplaneEvent::Namesake));
        assert_eq!(told.count(), 1);
    }
    // What the other one says is no sign of life.
    let link = farm.servers[0].link.take();
    assert!(link.is_some());
    farm.pass(seconds(10));
    assert_eq!(farm.node(0).counters().losses, 1);
    assert_eq!(farm.node(1).counters().losses, 0);
}

#[test]
fn what_comes_over_a_link_that_was_given_up_is_ignored() {
    let mut farm = Farm::of(1);
    let old = farm.servers[0].link.unwrap();
    farm.cut();
    farm.pass(seconds(1));
    assert_eq!(farm.node(0).state(), BackplaneState::Up);
    let channel = Channels::new("pre", "My.Hub").name(Channel::All);
    let stale = Message {
        channel,
        payload: message("stale"),
    };
    let now = farm.now;
    farm.node(0).handle_input(
        now,
        BackplaneInput::Received {
            link: old,
            message: stale,
        },
    );
    let detail: Box<str> = "stale".into();
    farm.node(0).handle_input(
        now,
        BackplaneInput::Lost {
            link: old,
            detail: detail.clone(),
        },
    );
    farm.node(0)
        .handle_input(now, BackplaneInput::Failed { op: old, detail });
    farm.node(0)
        .handle_input(now, BackplaneInput::Connected { op: old });
    farm.settle();
    assert_eq!(farm.node(0).state(), BackplaneState::Up);
    assert!(farm.delivered(0).is_empty());
}

#[test]
fn stopping_fails_what_is_open_and_what_comes_afterwards() {
    let mut farm = Farm::of(2);
    farm.client(0, "1", None);
    farm.frozen = true;
    let sent = farm.publish(0, Channel::All, "x");
    let joined = farm.join(0, "1", "room");
    let elsewhere = farm.join(0, "2", "room");
    farm.settle();
    let now = farm.now;
    farm.node(0).stop(now);
    let late = farm.publish(0, Channel::All, "x");
    farm.pass(seconds(100));
    for operation in [sent, joined, elsewhere, late] {
        assert_eq!(
            farm.result(0, operation),
            Some(Err(BackplaneError::Stopped))
        );
    }
    let last = farm.actions.iter().rfind(|action| action.starts_with('a'));
    assert_eq!(last.map(String::as_str), Some("a disconnect"));
    assert_eq!(farm.node(0).state(), BackplaneState::Stopped);
    assert!(matches!(
        farm.node(0).poll_output(),
        BackplaneOutput::Wait(None)
    ));
}

#[test]
fn the_same_seed_and_inputs_give_the_same_actions() {
    let play = || {
        let mut farm = Farm::away(2, |_| {});
        farm.pass(seconds(7));
        farm.up = true;
        farm.pass(seconds(7));
        farm.client(0, "1", Some("u"));
        farm.join(1, "1", "room");
        farm.cut();
        farm.pass(seconds(7));
        farm.actions
    };
    assert_eq!(play(), play());
}
