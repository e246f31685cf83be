//! Calls that are not made.

use super::*;

#[test]
fn calls_without_a_connection_fail_at_once_and_write_nothing() {
    let mut script = Script::with(never);
    assert_eq!(
        script.client.invoke(script.now, "A", &()),
        Err(SendError::NotConnected)
    );
    script.start();
    assert_eq!(
        script.client.send(script.now, "A", &()),
        Err(SendError::NotConnected)
    );
    script.connect();
    script.clear();
    script.client.stop(script.now);
    assert_eq!(
        script.client.stream(script.now, "A", &()),
        Err(SendError::NotConnected)
    );
}

#[test]
fn a_value_that_cannot_be_written_leaves_connection_and_ids_alone() {
    let mut script = Script::connected(never);
    assert!(matches!(
        script.client.invoke(script.now, "A", &(1, Unwritable)),
        Err(SendError::Encode(_))
    ));
    let call = script.client.invoke(script.now, "B", &()).unwrap();
    script.poll();
    assert_eq!(
        (call.id().number(), script.take_sent().contains("\"A\"")),
        (1, false)
    );
}

#[test]
fn too_much_that_waits_is_refused_until_there_is_room_again() {
    let mut script = Script::connected(|config| config.limits.max_outgoing_bytes = 1000);
    script.takes_sends = false;
    script
        .client
        .send(script.now, "Big", &("x".repeat(5000),))
        .unwrap();
    script.poll();
    assert!(matches!(
        script.client.send(script.now, "A", &()),
        Err(SendError::Full { limit: 1000, .. })
    ));
    script.take_sends();
    assert_eq!(script.take_events(), [Event::Writable]);
    script.client.send(script.now, "A", &()).unwrap();
}

#[test]
fn pending_calls_are_bounded() {
    let mut script = Script::connected(|config| config.limits.max_pending_invocations = 2);
    script.client.invoke(script.now, "A", &()).unwrap();
    script.client.invoke(script.now, "B", &()).unwrap();
    assert_eq!(
        script.client.invoke(script.now, "C", &()),
        Err(SendError::TooManyInvocations { limit: 2 })
    );
    script.client.send(script.now, "D", &()).unwrap();
}
