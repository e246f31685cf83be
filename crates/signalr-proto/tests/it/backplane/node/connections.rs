use super::*;

#[test]
fn a_server_subscribes_to_its_channels_before_anything_else() {
    let mut farm = Farm::away(1, |_| {});
    farm.up = true;
    let sent = farm.publish(0, Channel::All, "early");
    farm.settle();
    assert_eq!(
        farm.actions,
        [
            "a connect",
            "a + all internal:ack:a internal:census internal:census:a internal:groups internal:return:a",
            "a > internal:ack:a",
            "a > all",
        ]
    );
    assert_eq!(farm.result(0, sent), Some(Ok(())));
    assert_eq!(farm.delivered(0), ["All early"]);
}

#[test]
fn a_client_is_there_once_its_channels_are_subscribed_to() {
    let mut farm = Farm::of(1);
    let now = farm.now;
    let operation = farm.node(0).connect(now, "1", Some("alice"));
    assert!(farm.node(0).is_local("1"));
    assert!(farm.servers[0].events.is_empty());
    farm.settle();
    assert_eq!(farm.actions, ["a + connection:1 user:alice"]);
    assert_eq!(farm.result(0, operation), Some(Ok(())));
    farm.join(0, "1", "room");
    farm.settle();
    farm.node(0).disconnect(now, "1");
    farm.node(0).disconnect(now, "1");
    farm.settle();
    assert_eq!(farm.actions[2], "a - connection:1 group:room user:alice");
    assert_eq!(farm.subscribed(0), ["all"]);
    assert_eq!(farm.node(0).counters().channels, 6);
}

#[test]
fn a_user_is_subscribed_to_until_the_last_connection_leaves() {
    let mut farm = Farm::of(1);
    farm.client(0, "1", Some("alice"));
    farm.client(0, "2", Some("alice"));
    let now = farm.now;
    farm.node(0).disconnect(now, "1");
    farm.settle();
    assert_eq!(farm.subscribed(0), ["all", "connection:2", "user:alice"]);
    farm.node(0).disconnect(now, "2");
    farm.settle();
    assert_eq!(farm.subscribed(0), ["all"]);
}

#[test]
fn a_client_that_leaves_while_it_comes_is_waited_for_no_more() {
    let mut farm = Farm::of(1);
    farm.frozen = true;
    let now = farm.now;
    let operation = farm.node(0).connect(now, "1", None);
    farm.settle();
    farm.node(0).disconnect(now, "1");
    farm.settle();
    assert_eq!(farm.result(0, operation), Some(Ok(())));
}

#[test]
fn many_channels_are_subscribed_to_in_few_steps() {
    let mut farm = Farm::of(1);
    let now = farm.now;
    for number in 0..2_500 {
        farm.node(0).connect(now, &number.to_string(), None);
    }
    farm.settle();
    assert_eq!(farm.actions.len(), 3);
    assert_eq!(farm.subscribed(0).len(), 2_501);
}
