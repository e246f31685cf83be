//! Where the feature is spoken.

use super::*;

#[test]
fn the_feature_is_asked_for_when_it_is_wanted_and_not_twice() {
    let plain = "http://host/hub/negotiate?negotiateVersion=1";
    for (query, wanted, expected) in [
        ("", None, plain.to_owned()),
        ("", Some(1), format!("{plain}&useStatefulReconnect=true")),
        (
            "?useStatefulReconnect=true",
            Some(1),
            "http://host/hub/negotiate?useStatefulReconnect=true&negotiateVersion=1".to_owned(),
        ),
    ] {
        let mut config = ClientConfig::new(&format!("http://host/hub{query}")).unwrap();
        config.stateful_reconnect = wanted;
        let mut script = Script::new(config);
        script.start();
        assert_eq!(script.wish(Wish::Negotiate).uri(), expected);
    }
}

#[test]
fn an_address_that_asks_for_the_feature_turns_it_on() {
    let config = ClientConfig::new("http://host/hub?useStatefulReconnect=true").unwrap();
    let mut script = Script::new(config);
    script.start();
    connect(&mut script);
    script.clear();
    script.cut();
    assert!(matches!(script.events[..], [Event::Resuming { .. }]));
}

#[test]
fn version_2_is_spoken_on_web_sockets_for_which_the_feature_was_granted_and_nowhere_else() {
    for (kind, body, version) in [
        (WebSockets, granted(&[WebSockets]), 2),
        (WebSockets, offer_with(&[WebSockets], |_| {}), 1),
        (ServerSentEvents, granted(&[ServerSentEvents]), 1),
        (LongPolling, granted(&[LongPolling]), 1),
    ] {
        let mut script = Script::with(|config| config.stateful_reconnect = Some(1000));
        script.start();
        script.answer(Wish::Negotiate, 200, &body);
        if kind == WebSockets {
            script.open();
            script.receive(b"{}\x1e");
        } else {
            script.open_http();
        }
        let hello = format!("{{\"protocol\":\"json\",\"version\":{version}}}\u{1e}");
        assert!(script.take_sent().starts_with(&hello), "{kind:?}");
        // Only there a loss is not the end.
        script.clear();
        match kind {
            WebSockets => script.cut(),
            ServerSentEvents => script.break_request(Wish::Events),
            _ => script.break_request(Wish::Poll),
        }
        let resumes = matches!(script.events[..], [Event::Resuming { .. }]);
        assert_eq!(resumes, version == 2, "{kind:?}");
    }
    let mut skipped = Script::with(|config| {
        config.stateful_reconnect = Some(1000);
        config.skip_negotiation = true;
    });
    skipped.start();
    skipped.open();
    assert!(skipped.take_sent().contains("\"version\":1"));
}
