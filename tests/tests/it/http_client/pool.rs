//! Connections that are shared, used again, and closed.

use super::*;

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection() {
    let wire = answering(|peer, heard| {
        match heard.method() {
        "POST" => peer.answer("200 OK", "", "posted"),
        "DELETE" => peer.write("HTTP/1.1 204 No Content\r\n\r\n"),
        _ => peer.write(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ngot\r\n2\r\n!!\r\n0\r\nX: y\r\n\r\n",
        ),
    }
    });
    let client = client();
    for _ in 0..3 {
        let other = client.clone();
        assert_eq!(
            ask(&client, Method::POST, wire.url("/a")).await.unwrap(),
            "posted"
        );
        assert_eq!(
            ask(&other, Method::GET, wire.url("/b")).await.unwrap(),
            "got!!"
        );
        assert_eq!(
            ask(&client, Method::DELETE, wire.url("/c")).await.unwrap(),
            ""
        );
    }
    assert_eq!(wire.accepted(), 1);
    assert_eq!(wire.log().len(), 9);
}

#[tokio::test]
async fn a_large_body_arrives_whole_on_a_connection_that_is_used_again() {
    let wire = answering(|peer, heard| {
        let sum: usize = heard.body.bytes().map(usize::from).sum();
        peer.answer("200 OK", "", &format!("{} {sum}", heard.body.len()));
    });
    let client = client();
    let whole: Vec<u8> = (b'a'..=b'z').cycle().take(3_000_000).collect();
    for length in [0, 1, 16_384, 16_385, 100_000, 3_000_000] {
        let mut post = request(Method::POST, wire.url("/"));
        let sum: usize = whole[..length].iter().copied().map(usize::from).sum();
        *post.body_mut() = Bytes::copy_from_slice(&whole[..length]);
        let answer = send(&client, post).await.unwrap();
        assert_eq!(
            text(answer.into_body()).await.unwrap(),
            format!("{length} {sum}")
        );
    }
    assert_eq!(wire.accepted(), 1);
}

#[tokio::test]
async fn two_requests_at_once_take_two_connections_and_both_are_used_again() {
    let gate = std::sync::Barrier::new(2);
    let wire = answering(move |peer, _| {
        // Neither is answered before the other is there.
        gate.wait();
        peer.answer("200 OK", "", "ok");
    });
    let client = client();
    for _ in 0..3 {
        let (poll, post) = tokio::join!(
            ask(&client, Method::GET, wire.url("/poll")),
            ask(&client, Method::POST, wire.url("/send"))
        );
        assert_eq!((poll.unwrap(), post.unwrap()), ("ok".into(), "ok".into()));
    }
    assert_eq!(wire.accepted(), 2);
}

#[tokio::test]
async fn another_server_gets_a_connection_of_its_own() {
    let [one, two] = [(), ()].map(|()| answering(|peer, _| peer.answer("200 OK", "", "ok")));
    let client = client();
    for wire in [&one, &two, &one, &two] {
        ask(&client, Method::GET, wire.url("/")).await.unwrap();
    }
    assert_eq!((one.accepted(), two.accepted()), (1, 1));
}

#[tokio::test]
async fn idle_connections_are_few() {
    let gate = std::sync::Barrier::new(8);
    let (closed, told_closed) = channel();
    let wire = Wire::serve(move |mut peer| {
        peer.request().unwrap();
        gate.wait();
        peer.answer("200 OK", "", "ok");
        if peer.request().is_none() {
            closed(());
        }
    })
    .unwrap();
    let client = client();
    let all = (0..8).map(|_| ask(&client, Method::GET, wire.url("/")));
    assert!(
        futures_util::future::join_all(all)
            .await
            .iter()
            .all(Result::is_ok)
    );
    let (four, receiver) = tokio::task::spawn_blocking(move || {
        let closed = (0..4).map(|_| told_closed.recv_timeout(PATIENCE));
        (closed.filter(Result::is_ok).count(), told_closed)
    })
    .await
    .unwrap();
    assert_eq!(four, 4);
    assert!(
        receiver.try_recv().is_err(),
        "more were closed than had to be"
    );
    assert!(format!("{client:?}").contains("idle: 4"), "{client:?}");
}

#[tokio::test]
async fn a_request_on_a_connection_the_server_closed_meanwhile_goes_to_a_fresh_one() {
    let (closed, told_closed) = channel();
    let wire = Wire::serve(move |mut peer| {
        let heard = peer.request().unwrap();
        peer.note(&heard.body);
        peer.answer("200 OK", "", "ok");
        drop(peer);
        closed(());
    })
    .unwrap();
    let client = client();
    ask(&client, Method::GET, wire.url("/")).await.unwrap();
    told(told_closed).await;
    let mut post = request(Method::POST, wire.url("/"));
    *post.body_mut() = Bytes::from_static(b"once");
    let answer = send(&client, post).await.unwrap();
    assert_eq!(text(answer.into_body()).await.unwrap(), "ok");
    assert_eq!(
        (wire.accepted(), wire.log()),
        (2, vec!["".to_owned(), "once".into()])
    );
}

#[tokio::test]
async fn a_request_that_was_written_is_never_repeated() {
    for method in [Method::POST, Method::GET] {
        let wire = Wire::serve(|mut peer| {
            peer.request().unwrap();
            peer.note("first");
            peer.answer("200 OK", "", "ok");
            if let Some(heard) = peer.request() {
                peer.note(heard.method());
            }
        })
        .unwrap();
        let client = client();
        ask(&client, Method::GET, wire.url("/")).await.unwrap();
        let error = ask(&client, method.clone(), wire.url("/"))
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("closed the connection without an answer"),
            "{error}"
        );
        assert_eq!(wire.log(), ["first", method.as_str()]);
        assert_eq!(wire.accepted(), 1);
    }
}

#[tokio::test]
async fn a_body_dropped_half_way_closes_its_connection() {
    let (closed, told_closed) = channel();
    let wire = Wire::serve(move |mut peer| {
        peer.request().unwrap();
        peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
        peer.linger();
        closed(peer.number);
    })
    .unwrap();
    let client = client();
    let answer = send(&client, request(Method::GET, wire.url("/")))
        .await
        .unwrap();
    let mut body = answer.into_body();
    assert_eq!(body.next().await.unwrap().unwrap(), "one");
    drop(body);
    assert_eq!(told(told_closed).await, 0);
    assert!(format!("{client:?}").contains("idle: 0"), "{client:?}");
}

#[tokio::test]
async fn a_dropped_request_closes_its_connection_and_disturbs_no_other() {
    let (asked, told_asked) = channel();
    let (closed, told_closed) = channel();
    let wire = Wire::serve(move |mut peer| {
        while let Some(heard) = peer.request() {
            if heard.target() == "/hang" {
                asked(());
                peer.linger();
                return closed(());
            }
            peer.answer("200 OK", "", heard.target());
        }
    })
    .unwrap();
    let client = client();
    assert_eq!(
        ask(&client, Method::GET, wire.url("/a")).await.unwrap(),
        "/a"
    );
    {
        let hanging = ask(&client, Method::GET, wire.url("/hang"));
        let both = futures_util::future::select(Box::pin(hanging), Box::pin(told(told_asked)));
        assert!(matches!(both.await, futures_util::future::Either::Right(_)));
    }
    told(told_closed).await;
    assert_eq!(
        ask(&client, Method::GET, wire.url("/b")).await.unwrap(),
        "/b"
    );
    assert_eq!(wire.accepted(), 2);
}

#[tokio::test]
async fn opening_a_web_socket_closes_what_is_idle() {
    let (closed, told_closed) = channel();
    let wire = Wire::serve(move |mut peer| {
        while let Some(heard) = peer.request() {
            if heard.method() == "POST" {
                peer.answer("200 OK", "", OFFER);
            } else {
                accept(&mut peer, &heard, "");
                return hub(&peer);
            }
        }
        closed(peer.number);
    })
    .unwrap();
    let connection = HubConnection::builder(wire.url("/hub"))
        .proxy(Proxy::none())
        .build()
        .unwrap();
    connection.start().await.unwrap();
    assert_eq!(told(told_closed).await, 0);
    connection.stop().await;
}
