//! Questions of one hub, and who has to answer them.

use std::sync::Arc;

use signalr_proto::server::{DisconnectReason, ResultOwners};

fn open(owners: &mut ResultOwners, connection_id: &str) -> String {
    owners.begin(Arc::from(connection_id)).to_string()
}

#[test]
fn questions_are_counted_over_all_connections_of_a_hub() {
    let mut owners = ResultOwners::default();
    assert_eq!(open(&mut owners, "ann"), "s1");
    assert_eq!(open(&mut owners, "bob"), "s2");
    owners.end("s1");
    owners.end("s2");
    assert_eq!(open(&mut owners, "ann"), "s3");
}

#[test]
fn a_foreign_answer_is_blamed_on_whoever_gave_it() {
    let mut owners = ResultOwners::default();
    let id = open(&mut owners, "ann");
    assert_eq!(
        owners.judge(&id, "bob"),
        Err(DisconnectReason::ForeignAnswer)
    );
    assert_eq!(owners.judge(&id, "ann"), Ok(()));
}

#[test]
fn answers_to_no_question_and_late_ones_are_passed_over() {
    let mut owners = ResultOwners::default();
    assert_eq!(owners.judge("s1", "bob"), Ok(()));
    let id = open(&mut owners, "ann");
    owners.end(&id);
    owners.end(&id);
    assert_eq!(owners.judge(&id, "bob"), Ok(()));
    assert_eq!(owners.judge(&id, "ann"), Ok(()));
}

#[test]
fn questions_of_other_servers_have_owners_too() {
    let mut owners = ResultOwners::default();
    owners.expect("far".into(), Arc::from("ann"));
    assert_eq!(
        owners.judge("far", "bob"),
        Err(DisconnectReason::ForeignAnswer)
    );
    assert_eq!(open(&mut owners, "bob"), "s1", "it counts its own only");
    owners.end("far");
    assert_eq!(owners.judge("far", "bob"), Ok(()));
}
