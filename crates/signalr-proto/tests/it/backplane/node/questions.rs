use super::*;
use signalr_proto::Payload;
use signalr_proto::backplane::ResultRequest;
use signalr_proto::codec::{CompletionOutcome, Outcome};

const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

fn ask(farm: &mut Farm, server: usize, connection: &str) -> OperationId {
    let now = farm.now;
    let invocation = Invocation {
        payloads: vec![("json".into(), Some(Bytes::from_static(b"{}\x1e")))],
        result_request: Some(farm.node(server).result_request(ID)),
        ..Invocation::default()
    };
    let mut out = BytesMut::new();
    invocation.encode(&mut out);
    farm.node(server)
        .ask(now, connection, ID, out.freeze(), seconds(60))
}

/// The question that a server was told to ask.
fn asked(farm: &mut Farm, server: usize) -> Option<(String, ResultRequest)> {
    let events = std::mem::take(&mut farm.servers[server].events);
    events.into_iter().find_map(|event| match event {
        BackplaneEvent::Ask {
            connection_id,
            result_request,
            ..
        } => Some((connection_id.to_string(), result_request)),
        _ => None,
    })
}

fn answers(farm: &Farm, server: usize) -> Vec<(OperationId, Outcome)> {
    let events = farm.servers[server].events.iter();
    let answers = events.filter_map(|event| match event {
        BackplaneEvent::Answered { operation, outcome } => Some((*operation, outcome.clone())),
        _ => None,
    });
    answers.collect()
}

#[test]
fn a_client_of_another_server_answers_once() {
    for protocol in Protocol::ALL {
        let mut farm = Farm::of(2);
        farm.client(1, "1", None);
        let operation = ask(&mut farm, 0, "1");
        farm.settle();
        let (connection, question) = asked(&mut farm, 1).unwrap();
        assert_eq!((&*connection, &*question.id), ("1", ID));
        assert_eq!(question.return_address, "My.Hub:internal:return:a");
        let result = Payload::from_value(protocol, &42).unwrap();
        let now = farm.now;
        for _ in 0..2 {
            let outcome = CompletionOutcome::Result(&result);
            farm.node(1)
                .answer(now, &question, protocol, outcome)
                .unwrap();
        }
        farm.settle();
        let answers = answers(&farm, 0);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].0, operation);
        match &answers[0].1 {
            Outcome::Result(payload) => assert_eq!(payload.decode::<i32>(), Ok(42)),
            other => panic!("{other:?}"),
        }
        farm.pass(seconds(100));
        assert_eq!(farm.result(0, operation), None);
    }
}

#[test]
fn nobody_listens_for_a_connection_that_does_not_exist() {
    let mut farm = Farm::of(2);
    let operation = ask(&mut farm, 0, "nobody");
    farm.settle();
    assert_eq!(
        farm.result(0, operation),
        Some(Err(BackplaneError::NoReceiver))
    );
}

#[test]
fn while_the_broker_is_away_nobody_is_probed_for() {
    let mut farm = Farm::of(2);
    farm.client(1, "1", None);
    let operation = ask(&mut farm, 0, "1");
    farm.settle();
    farm.up = false;
    farm.cut();
    farm.pass(seconds(40));
    assert_eq!(farm.node(0).counters().waiting_bytes, 0);
    farm.up = true;
    farm.pass(seconds(10));
    assert_eq!(farm.result(0, operation), None);
    farm.servers.truncate(1);
    farm.pass(seconds(6));
    let gone = Some(Err(BackplaneError::OwnerGone));
    assert_eq!(farm.result(0, operation), gone);
}

#[test]
fn a_question_ends_soon_after_its_server_does() {
    let mut farm = Farm::of(2);
    farm.client(1, "1", None);
    let operation = ask(&mut farm, 0, "1");
    farm.pass(seconds(12));
    assert!(asked(&mut farm, 1).is_some());
    assert_eq!(farm.result(0, operation), None);
    assert!(
        farm.delivered(1).is_empty(),
        "probes say nothing to clients"
    );
    farm.servers.truncate(1);
    farm.pass(seconds(6));
    assert_eq!(
        farm.result(0, operation),
        Some(Err(BackplaneError::OwnerGone))
    );
}

#[test]
fn a_question_is_waited_for_as_long_as_it_says() {
    let mut farm = Farm::of(2);
    farm.client(1, "1", None);
    let operation = ask(&mut farm, 0, "1");
    farm.pass(Duration::from_millis(59_999));
    assert_eq!(farm.result(0, operation), None);
    farm.pass(Duration::from_millis(1));
    assert_eq!(
        farm.result(0, operation),
        Some(Err(BackplaneError::NotAnswered))
    );
}

#[test]
fn an_answer_that_nobody_waits_for_is_ignored() {
    let mut farm = Farm::of(2);
    farm.client(1, "1", None);
    let operation = ask(&mut farm, 0, "1");
    farm.settle();
    let (_, question) = asked(&mut farm, 1).unwrap();
    let now = farm.now;
    farm.node(0).forget(now, operation);
    let error = CompletionOutcome::Error("no");
    farm.node(1)
        .answer(now, &question, Protocol::Json, error)
        .unwrap();
    farm.pass(seconds(100));
    assert!(answers(&farm, 0).is_empty());
    assert_eq!(farm.result(0, operation), None);
}

#[test]
fn a_question_outlives_a_lost_link_once_it_is_out() {
    let mut farm = Farm::of(2);
    farm.client(1, "1", None);
    let operation = ask(&mut farm, 0, "1");
    farm.settle();
    farm.cut();
    farm.pass(seconds(1));
    let (_, question) = asked(&mut farm, 1).unwrap();
    let now = farm.now;
    let error = CompletionOutcome::Error("no");
    farm.node(1)
        .answer(now, &question, Protocol::Json, error)
        .unwrap();
    farm.settle();
    assert_eq!(
        answers(&farm, 0),
        [(operation, Outcome::Error("no".into()))]
    );
}
