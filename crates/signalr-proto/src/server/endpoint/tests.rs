//! What only a look inside shows.

use http::{HeaderMap, Method};

use super::*;

#[test]
fn the_room_of_a_flood_of_negotiations_is_given_back() {
    let mut endpoint = Endpoint::new(EndpointConfig::default(), ServerConfig::default());
    let headers = HeaderMap::new();
    let head = RequestHead {
        method: &Method::POST,
        resource: Resource::of("/hub/negotiate"),
        query: "negotiateVersion=1",
        upgrade: false,
        headers: &headers,
        identity: None,
    };
    for number in 0..10_000 {
        let ids = || FreshIds {
            connection_id: format!("id{number}").into(),
            connection_token: format!("token{number}").into(),
        };
        let verdict = endpoint.handle(Instant::ZERO, ids, &head);
        assert!(matches!(verdict, Verdict::Respond(_)));
    }
    assert!(endpoint.table.room() >= 10_000);
    endpoint.handle_timeout(Instant::ZERO.after(Duration::from_secs(15)));
    assert_eq!(endpoint.waiting(), 0);
    let room = endpoint.table.room();
    assert!(room < 2_000, "room for {room} is kept");
}
