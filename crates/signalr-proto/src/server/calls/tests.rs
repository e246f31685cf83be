//! The rules of the table of calls, one by one.

use bytes::Bytes;

use super::*;
use crate::codec::{Arguments, Protocol};

fn invocation(id: &str, streams: &[&str]) -> Invocation {
    Invocation {
        headers: Vec::new(),
        invocation_id: Some(id.into()).filter(|_| !id.is_empty()),
        target: "Add".into(),
        arguments: Arguments::empty(Protocol::Json),
        stream_ids: streams.iter().map(|&id| id.into()).collect(),
    }
}

fn item(text: &'static str) -> Payload {
    Payload::new(Protocol::Json, Bytes::from_static(text.as_bytes()))
}

fn calls() -> Calls {
    Calls::new(1, 4, 2, 1000)
}

#[track_caller]
fn run(calls: &mut Calls, streaming: bool, id: &str, streams: &[&str]) -> CallId {
    match calls.begin(streaming, &invocation(id, streams)) {
        Begun::Run(call) => call,
        other @ (Begun::Wait | Begun::Refused(_)) => panic!("{other:?}"),
    }
}

fn plain(calls: &mut Calls, id: &str) -> Begun {
    let begun = calls.begin(false, &invocation(id, &[]));
    if begun == Begun::Wait {
        calls.hold(invocation(id, &[]));
    }
    begun
}

fn given(call: CallId, upload: usize, text: &'static str) -> UploadEvent {
    let item = item(text);
    UploadEvent::Item { call, upload, item }
}

fn over(call: CallId, upload: usize, error: Option<&str>) -> UploadEvent {
    UploadEvent::Ended {
        call,
        upload,
        error: error.map(Into::into),
    }
}

#[test]
fn a_plain_call_without_a_permit_is_held_until_another_ends() {
    let mut calls = calls();
    let first = run(&mut calls, false, "1", &[]);
    assert_eq!(plain(&mut calls, "2"), Begun::Wait);
    assert!(calls.is_holding() && calls.blocks_reading(true));
    assert_eq!(calls.next_held(), None);
    let info = calls.end(first).unwrap();
    assert_eq!(info.invocation_id.as_deref(), Some("1"));
    let (second, invocation) = calls.next_held().unwrap();
    assert_eq!(invocation.invocation_id.as_deref(), Some("2"));
    assert!(!calls.is_holding() && !calls.blocks_reading(false));
    assert_eq!(&*calls.info(second).unwrap().target, "Add");
    assert_eq!(calls.next_held(), None);
}

#[test]
fn as_many_plain_calls_run_as_there_are_permits() {
    let mut calls = Calls::new(3, 4, 2, 1000);
    for id in ["1", "2", "3"] {
        run(&mut calls, false, id, &[]);
    }
    assert_eq!(plain(&mut calls, "4"), Begun::Wait);
}

#[test]
fn a_call_that_waits_for_its_client_gives_its_permit_back_once() {
    let mut calls = calls();
    let first = run(&mut calls, false, "1", &[]);
    assert_eq!(plain(&mut calls, "2"), Begun::Wait);
    calls.release(first);
    let (second, _) = calls.next_held().unwrap();
    calls.release(first);
    assert_eq!(plain(&mut calls, "3"), Begun::Wait);
    assert!(calls.end(first).is_some());
    assert_eq!(calls.next_held(), None, "its permit went back before");
    calls.end(second);
    assert!(calls.next_held().is_some());
}

#[test]
fn calls_that_wait_for_their_client_do_not_pile_up() {
    let mut calls = Calls::new(1, 2, 2, 1000);
    let first = run(&mut calls, false, "1", &[]);
    calls.release(first);
    let second = run(&mut calls, false, "2", &[]);
    calls.release(second);
    assert_eq!(
        plain(&mut calls, "3"),
        Begun::Refused(Refusal::TooManyCalls)
    );
    calls.end(first);
    run(&mut calls, false, "4", &[]);
}

#[test]
fn calls_with_streams_take_no_permit() {
    let mut calls = calls();
    run(&mut calls, true, "1", &[]);
    run(&mut calls, false, "2", &["a"]);
    run(&mut calls, false, "3", &[]);
    assert_eq!(plain(&mut calls, "4"), Begun::Wait);
    run(&mut calls, true, "5", &["b"]);
}

#[test]
fn streams_beyond_the_limit_are_refused_and_nothing_else_is() {
    let mut calls = calls();
    let first = run(&mut calls, true, "1", &[]);
    run(&mut calls, true, "2", &["a", "b", "c"]);
    let refused = |calls: &mut Calls, streams: &[&str]| {
        calls.begin(true, &invocation("3", streams)) == Begun::Refused(Refusal::TooManyCalls)
    };
    assert!(refused(&mut calls, &[]));
    let plain = run(&mut calls, false, "4", &[]);
    calls.release(plain);
    run(&mut calls, false, "5", &[]);
    calls.end(first);
    assert!(refused(&mut calls, &["d", "e"]));
    run(&mut calls, true, "3", &[]);
}

#[test]
fn a_server_without_streams_still_runs_plain_calls() {
    let mut calls = Calls::new(1, 0, 2, 1000);
    run(&mut calls, false, "1", &[]);
    assert_eq!(
        calls.begin(true, &invocation("2", &[])),
        Begun::Refused(Refusal::TooManyCalls)
    );
}

#[test]
fn a_stream_under_an_id_in_use_is_refused_and_the_first_can_be_cancelled() {
    let mut calls = calls();
    let first = run(&mut calls, true, "1", &[]);
    let in_use = Refusal::InUse { id: "1".into() };
    assert_eq!(
        calls.begin(true, &invocation("1", &[])),
        Begun::Refused(in_use)
    );
    assert_eq!(calls.cancel("1"), Some(first));
    calls.end(first);
    assert_eq!(calls.cancel("1"), None);
    let again = run(&mut calls, true, "1", &[]);
    assert_ne!(first, again);
}

#[test]
fn cancelling_finds_streams_and_plain_calls_the_oldest_first() {
    let mut calls = Calls::new(4, 4, 2, 1000);
    let gone = run(&mut calls, false, "0", &[]);
    let first = run(&mut calls, false, "1", &[]);
    calls.end(gone);
    let second = run(&mut calls, false, "1", &[]);
    assert_eq!(calls.cancel("1"), Some(first));
    calls.release(first);
    assert_eq!(calls.cancel("1"), Some(first));
    calls.end(first);
    assert_eq!(calls.cancel("1"), Some(second));
    let upload = run(&mut calls, false, "2", &["a"]);
    assert_eq!(calls.cancel("2"), Some(upload));
    assert!(calls.info(upload).is_some(), "it runs on until its end");
    assert_eq!(calls.cancel("3"), None);
}

#[test]
fn a_call_without_an_id_cannot_be_cancelled_or_be_in_use() {
    let mut calls = calls();
    run(&mut calls, true, "", &[]);
    run(&mut calls, true, "", &[]);
    assert_eq!(calls.cancel(""), None);
}

#[test]
fn a_stale_id_names_no_other_call() {
    let mut calls = calls();
    let first = run(&mut calls, false, "1", &[]);
    calls.end(first);
    let second = run(&mut calls, false, "2", &[]);
    assert_eq!(first.index, second.index);
    assert_eq!(calls.info(first), None);
    assert_eq!(calls.end(first), None);
    calls.release(first);
    assert_eq!(plain(&mut calls, "3"), Begun::Wait);
}

#[test]
fn plain_calls_allocate_nothing_once_places_are_there() {
    let mut calls = Calls::new(2, 4, 2, 1000);
    let first = run(&mut calls, false, "1", &[]);
    calls.end(first);
    let invocation = invocation("1", &[]);
    // A shared string is counted from its first clone on.
    let shared = invocation.clone();
    let heap = allocation_counter::measure(|| {
        for _ in 0..100 {
            let Begun::Run(call) = calls.begin(false, &invocation) else {
                panic!("refused");
            };
            calls.end(call);
        }
    });
    drop(shared);
    assert_eq!(heap.count_total, 0);
}

#[test]
fn items_go_out_while_there_is_credit_and_then_wait_in_order() {
    let mut calls = calls();
    let call = run(&mut calls, false, "1", &["a"]);
    for text in ["1", "2"] {
        let event = given(call, 0, text);
        assert_eq!(calls.item("a", item(text)), Routed::Now(event));
    }
    assert!(!calls.blocks_reading(false));
    assert_eq!(calls.item("a", item("3")), Routed::Later);
    assert!(calls.blocks_reading(false));
    assert_eq!(calls.item("a", item("4")), Routed::Later);
    assert_eq!(calls.next_upload_event(), None);
    calls.credit(call, 0, 1);
    assert_eq!(calls.item("a", item("5")), Routed::Later);
    assert_eq!(calls.next_upload_event(), Some(given(call, 0, "3")));
    assert_eq!(calls.next_upload_event(), None);
    calls.credit(call, 0, 2);
    assert_eq!(calls.next_upload_event(), Some(given(call, 0, "4")));
    assert_eq!(calls.next_upload_event(), Some(given(call, 0, "5")));
    assert!(!calls.blocks_reading(false));
    calls.credit(call, 0, 1);
    assert_eq!(calls.item("a", item("6")), Routed::Now(given(call, 0, "6")));
    assert_eq!(calls.next_upload_event(), None);
}

#[test]
fn credit_never_exceeds_the_capacity() {
    let mut calls = calls();
    let call = run(&mut calls, false, "1", &["a"]);
    calls.credit(call, 0, usize::MAX);
    for _ in 0..2 {
        assert!(matches!(calls.item("a", item("1")), Routed::Now(_)));
    }
    assert_eq!(calls.item("a", item("1")), Routed::Later);
}

#[test]
fn the_end_of_an_upload_stays_behind_its_items() {
    let mut calls = calls();
    let call = run(&mut calls, false, "1", &["a", "b"]);
    for text in ["1", "2", "3"] {
        calls.item("a", item(text));
    }
    assert_eq!(calls.upload_ended("a", Some("no".into())), Routed::Later);
    assert_eq!(calls.item("a", item("4")), Routed::Nobody);
    assert_eq!(calls.upload_ended("a", None), Routed::Nobody);
    let ended = over(call, 1, None);
    assert_eq!(calls.upload_ended("b", None), Routed::Now(ended));
    calls.credit(call, 0, 1);
    assert_eq!(calls.next_upload_event(), Some(given(call, 0, "3")));
    // The end needs no credit.
    assert_eq!(calls.next_upload_event(), Some(over(call, 0, Some("no"))));
    assert_eq!(calls.next_upload_event(), None);
}

#[test]
fn the_uploads_of_a_call_end_with_it() {
    let mut calls = calls();
    let call = run(&mut calls, false, "1", &["a"]);
    for text in ["1", "2", "3"] {
        calls.item("a", item(text));
    }
    calls.credit(call, 0, 1);
    calls.end(call);
    assert!(!calls.blocks_reading(false));
    assert_eq!(calls.next_upload_event(), None);
    assert_eq!(calls.item("a", item("4")), Routed::Nobody);
    assert_eq!(calls.upload_ended("a", None), Routed::Nobody);
    let again = run(&mut calls, false, "1", &["a"]);
    calls.credit(call, 0, 1);
    assert_eq!(
        calls.item("a", item("5")),
        Routed::Now(given(again, 0, "5"))
    );
}

#[test]
fn the_client_is_read_on_while_a_method_is_hungry_for_another_upload() {
    let mut calls = calls();
    let call = run(&mut calls, false, "1", &["a", "b"]);
    for text in ["1", "2", "3"] {
        calls.item("a", item(text));
    }
    assert!(calls.blocks_reading(false));
    calls.hungry(call, 1);
    assert!(!calls.blocks_reading(false));
    assert_eq!(calls.item("b", item("9")), Routed::Now(given(call, 1, "9")));
    assert!(calls.blocks_reading(false), "it is not hungry any more");
    calls.hungry(call, 1);
    assert_eq!(
        calls.upload_ended("b", None),
        Routed::Now(over(call, 1, None))
    );
    assert!(calls.blocks_reading(false));
    calls.hungry(call, 1);
    assert!(calls.blocks_reading(false), "nothing more comes for it");
}

#[test]
fn the_client_is_read_on_while_its_answer_is_awaited() {
    let mut calls = calls();
    run(&mut calls, false, "1", &["a"]);
    for text in ["1", "2", "3"] {
        calls.item("a", item(text));
    }
    assert!(calls.blocks_reading(false) && !calls.blocks_reading(true));
}

#[test]
fn an_upload_that_waits_with_too_much_fails_behind_what_it_has() {
    let mut calls = Calls::new(1, 4, 1, 200);
    let call = run(&mut calls, false, "1", &["a", "b"]);
    calls.hungry(call, 1);
    for text in ["1", "2", "3", "4"] {
        calls.item("a", item(text));
    }
    // Sixty-five bytes for each of three, and the fifth is too much.
    assert_eq!(calls.item("a", item("5")), Routed::Later);
    assert_eq!(calls.item("a", item("6")), Routed::Nobody);
    for text in ["2", "3", "4"] {
        calls.credit(call, 0, 1);
        assert_eq!(calls.next_upload_event(), Some(given(call, 0, text)));
    }
    let error = "Items that wait for their turn exceed the limit of 200 bytes.";
    assert_eq!(calls.next_upload_event(), Some(over(call, 0, Some(error))));
    assert!(!calls.blocks_reading(false));
}

#[test]
fn one_item_of_any_size_may_wait() {
    let mut calls = Calls::new(1, 4, 1, 2);
    run(&mut calls, false, "1", &["a"]);
    calls.item("a", item("1"));
    assert_eq!(calls.item("a", item("\"long\"")), Routed::Later);
    assert_eq!(calls.upload_ended("a", None), Routed::Later);
}

#[test]
fn a_stream_id_that_is_used_again_belongs_to_the_newer_upload() {
    let mut calls = calls();
    let old = run(&mut calls, false, "1", &["a"]);
    let new = run(&mut calls, false, "2", &["a", "a"]);
    let replaced = "The client began another stream with the same id.";
    assert_eq!(
        calls.next_upload_event(),
        Some(over(old, 0, Some(replaced)))
    );
    assert_eq!(
        calls.next_upload_event(),
        Some(over(new, 0, Some(replaced)))
    );
    assert_eq!(calls.item("a", item("1")), Routed::Now(given(new, 1, "1")));
    calls.end(old);
    assert_eq!(calls.item("a", item("2")), Routed::Now(given(new, 1, "2")));
}
