//! Streams that the client sends to a method.

use super::*;

fn upload(ids: &str) -> String {
    format!(r#"{{"type":1,"invocationId":"c","target":"U","arguments":[],"streamIds":[{ids}]}}"#)
}

fn item(id: &str, item: usize) -> String {
    format!(r#"{{"type":2,"invocationId":"{id}","item":{item}}}"#)
}

fn end(id: &str) -> String {
    format!(r#"{{"type":3,"invocationId":"{id}"}}"#)
}

/// With a method that reads these uploads.
fn reading(ids: &str, config: ServerConfig) -> (Test, CallId) {
    let mut test = Test::open_with(config);
    test.receive_json(&[&upload(ids)]);
    let call = test.last_call();
    test.events.clear();
    (test, call)
}

impl Test {
    fn items(&mut self, id: &str, numbers: core::ops::Range<usize>) {
        let items: Vec<String> = numbers.map(|number| item(id, number)).collect();
        self.receive_json(&items.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// The items that were told since the last time, as upload and number.
    fn told(&mut self) -> Vec<(usize, usize)> {
        let told = self.events.iter().filter_map(|event| {
            if let Event::StreamItem { upload, item, .. } = event {
                Some((*upload, item.decode().unwrap()))
            } else {
                None
            }
        });
        let told = told.collect();
        self.events
            .retain(|event| !matches!(event, Event::StreamItem { .. }));
        told
    }

    fn credit(&mut self, call: CallId, upload: usize, items: usize) {
        self.machine.credit(self.now, call, upload, items);
        self.poll();
    }
}

fn numbers(upload: usize, numbers: core::ops::Range<usize>) -> Vec<(usize, usize)> {
    numbers.map(|number| (upload, number)).collect()
}

#[test]
fn items_come_in_order_as_far_as_the_method_takes_them() {
    let (mut test, call) = reading("\"u\"", config());
    test.items("u", 0..25);
    test.receive_json(&[&end("u")]);
    assert_eq!(test.told(), numbers(0, 0..10));
    // Nothing behind the item that waits is read.
    test.receive_json(&[CALL]);
    assert_eq!(test.targets(), [""; 0]);
    test.credit(call, 0, 3);
    assert_eq!(test.told(), numbers(0, 10..13));
    test.credit(call, 0, 10);
    assert_eq!(test.told(), numbers(0, 13..23));
    test.credit(call, 0, 10);
    assert_eq!(test.told(), numbers(0, 23..25));
    assert_eq!(
        test.events[0],
        Event::UploadEnded {
            call,
            upload: 0,
            error: None
        }
    );
    assert_eq!((test.targets(), test.events.len()), (vec!["Add"], 2));
}

#[test]
fn an_upload_that_fails_tells_why() {
    let (mut test, call) = reading("\"u\"", config());
    test.receive_json(&[r#"{"type":3,"invocationId":"u","error":"Stream canceled by client."}"#]);
    let error = Some("Stream canceled by client.".into());
    let upload = 0;
    assert_eq!(
        test.events,
        [Event::UploadEnded {
            call,
            upload,
            error
        }]
    );
    // A result means nothing at the end of an upload.
    let (mut test, call) = reading("\"u\"", config());
    test.receive_json(&[r#"{"type":3,"invocationId":"u","result":1}"#]);
    let error = None;
    assert_eq!(
        test.events,
        [Event::UploadEnded {
            call,
            upload,
            error
        }]
    );
}

#[test]
fn items_for_no_upload_mean_nothing() {
    let (mut test, call) = reading("\"u\"", config());
    test.items("x", 0..3);
    test.receive_json(&[&end("u")]);
    test.items("u", 0..3);
    test.finish(call);
    assert_eq!(test.told(), []);
    assert_eq!(test.events.len(), 1);

    let (mut test, call) = reading("\"u\"", config());
    test.items("u", 0..20);
    test.finish(call);
    test.told();
    test.items("u", 20..40);
    assert_eq!(test.told(), []);
    assert!(test.machine.reading().is_some() && test.unread() == 0);
}

#[test]
fn a_method_that_waits_for_another_upload_is_not_waited_for() {
    let (mut test, call) = reading("\"a\",\"b\"", config());
    test.items("a", 0..30);
    assert_eq!(test.told(), numbers(0, 0..10));
    test.items("b", 0..1);
    assert_eq!(test.told(), []);
    test.machine.hungry(test.now, call, 1);
    test.poll();
    assert_eq!(test.told(), numbers(1, 0..1));
    test.credit(call, 0, 10);
    assert_eq!(test.told(), numbers(0, 10..20));
}

#[test]
fn an_upload_that_piles_up_behind_a_hungry_one_fails() {
    let mut small = config();
    small.limits.max_incoming_bytes = 2_000;
    let (mut test, call) = reading("\"a\",\"b\"", small);
    test.machine.hungry(test.now, call, 1);
    test.items("a", 0..1000);
    assert_eq!(test.told(), numbers(0, 0..10));
    test.items("b", 0..1);
    test.credit(call, 0, 1000);
    while !test.told().is_empty() {
        test.credit(call, 0, 10);
    }
    let Some(Event::UploadEnded {
        upload: 0,
        error: Some(error),
        ..
    }) = test.events.last()
    else {
        panic!("{:?}", test.events);
    };
    assert!(error.contains("2000 bytes"), "{error}");
    assert_eq!(test.reason(), None);
}

#[test]
fn the_answer_to_a_question_is_read_past_items_that_wait() {
    let (mut test, _) = reading("\"u\"", config());
    test.machine.invoke(test.now, "q", "Ask", &()).unwrap();
    test.items("u", 0..20);
    test.receive_json(&[r#"{"type":3,"invocationId":"q","result":1}"#]);
    test.told();
    assert!(matches!(&*test.events, [Event::Completion { .. }]));
    test.receive_json(&[CALL]);
    assert_eq!(test.targets(), [""; 0]);
}
