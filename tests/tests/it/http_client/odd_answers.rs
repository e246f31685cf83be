//! Answers that servers should not give.

use super::*;

/// What must come of an odd first answer: its body, or a part of the error; and how many connections two requests take.
type Odd = (&'static str, Result<&'static str, &'static str>, usize);

/// Answers after which the server waits for the next request.
const ODD_BUT_OPEN: [Odd; 12] = [
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        Ok("hi"),
        1,
    ),
    (
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 None\r\n\r\n",
        Ok(""),
        1,
    ),
    (
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
        Ok("hi"),
        1,
    ),
    (
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        Ok("hi"),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        Ok("hi"),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more",
        Ok("hi"),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        Ok(""),
        2,
    ),
    (
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong",
        Ok(""),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
        Err("does not speak HTTP"),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhi",
        Err("does not speak HTTP"),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n",
        Err("broke off"),
        2,
    ),
    ("SSH-2.0-OpenSSH_9.2\r\n", Err("does not speak HTTP"), 2),
];

/// Answers after which the server closes.
const ODD_AND_CLOSED: [Odd; 7] = [
    ("HTTP/1.0 200 OK\r\n\r\nhi", Ok("hi"), 2),
    ("HTTP/1.1 200 OK\r\n\r\nhi", Ok("hi"), 2),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
        Err("broke off"),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi",
        Err("broke off"),
        2,
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
        Err("broke off"),
        2,
    ),
    ("HTTP/1.1 200 OK\r\nContent-Le", Err(""), 2),
    ("", Err("closed the connection without an answer"), 2),
];

async fn odd((answer, wanted, connections): Odd, stays: bool) {
    let wire = Wire::serve(move |mut peer| {
        peer.request().unwrap();
        if peer.number == 0 {
            peer.write(answer);
            if !stays {
                return;
            }
        } else {
            peer.answer("200 OK", "", "second");
        }
        while peer.request().is_some() {
            peer.answer("200 OK", "", "second");
        }
    })
    .unwrap();
    let client = client();
    let first = ask(&client, Method::POST, wire.url("/")).await;
    match (&first, wanted) {
        (Ok(found), Ok(wanted)) => assert_eq!(found, wanted, "{answer}"),
        (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{answer}: {error}"),
        _ => panic!("{answer}: {first:?}"),
    }
    let second = ask(&client, Method::POST, wire.url("/")).await;
    assert_eq!(second.as_deref(), Ok("second"), "{answer}");
    assert_eq!(wire.accepted(), connections, "{answer}");
}

#[tokio::test]
async fn odd_answers_end_well_or_in_an_error_and_never_mix_with_the_next() {
    for case in ODD_BUT_OPEN {
        odd(case, true).await;
    }
    for case in ODD_AND_CLOSED {
        odd(case, false).await;
    }
}

#[tokio::test]
async fn what_a_server_says_unasked_between_two_requests_answers_neither() {
    let (said, told_said) = channel();
    let wire = Wire::serve(move |mut peer| {
        while peer.request().is_some() {
            peer.answer("200 OK", "", "asked");
            if peer.number == 0 {
                peer.answer("200 OK", "", "unasked");
                said(());
            }
        }
    })
    .unwrap();
    let client = client();
    assert_eq!(
        ask(&client, Method::GET, wire.url("/")).await.unwrap(),
        "asked"
    );
    told(told_said).await;
    assert_eq!(
        ask(&client, Method::GET, wire.url("/")).await.unwrap(),
        "asked"
    );
    assert_eq!(wire.accepted(), 2);
}

#[tokio::test]
async fn an_endless_head_is_an_error() {
    let wire = Wire::serve(|mut peer| {
        peer.request().unwrap();
        peer.write("HTTP/1.1 200 OK\r\n");
        let line = format!("X-Filler: {}\r\n", "x".repeat(1000));
        while std::io::Write::write_all(&mut peer.stream, line.as_bytes()).is_ok() {}
    })
    .unwrap();
    ask(&client(), Method::GET, wire.url("/"))
        .await
        .unwrap_err();
}
