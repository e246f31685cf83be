//! What servers of other kinds, or strangers, put into the channels.

use signalr_proto::backplane::Invocation;

use super::*;
use crate::clients::PATIENCE;

/// A message with payloads for these protocols.
fn payload(
    protocols: &[(&'static str, Option<&'static [u8]>)],
    excluded: &[&str],
) -> bytes::BytesMut {
    let invocation = Invocation {
        payloads: protocols
            .iter()
            .map(|(name, frame)| ((*name).into(), frame.map(bytes::Bytes::from_static)))
            .collect(),
        excluded: excluded.iter().map(|id| (*id).into()).collect(),
        result_request: None,
    };
    let mut out = bytes::BytesMut::new();
    invocation.encode(&mut out);
    out
}

const JSON: &[u8] = b"{\"type\":1,\"target\":\"Hear\",\"arguments\":[\"json\"]}\x1e";
const MESSAGEPACK: &[u8] = b"\x17\x96\x01\x80\xc0\xa4Hear\x91\xabmessagepack\x90";

#[tokio::test(flavor = "multi_thread")]
async fn messages_with_more_or_fewer_protocols_and_none_at_all_harm_nobody() {
    let Some(farm) = Farm::start(&[Kind::Ours]).await else {
        return;
    };
    let (text, binary) = (WAYS[0], WAYS[1]);
    let url = &farm.servers[0].url;
    let mut json = Client::connect(url, "/detailed", text, "").await;
    let mut packed = Client::connect(url, "/detailed", binary, "").await;
    let all = "preDetailedHub:all";
    let both = [
        ("blazorpack", Some(&b"?"[..])),
        ("json", Some(JSON)),
        ("messagepack", Some(MESSAGEPACK)),
    ];
    for message in [
        payload(&both, &[]),
        payload(&both[..2], &[]),
        payload(&both[..1], &[]),
        payload(&[("messagepack", Some(MESSAGEPACK)), ("json", None)], &[]),
        payload(&both, &[&json.id]),
        payload(&[], &[]),
        (&b"\x92\x90"[..]).into(),
        (&b"not msgpack"[..]).into(),
        bytes::BytesMut::new(),
        // What comes next would be taken for the rest of these.
        payload(&[("json", Some(b"{}"))], &[]),
        payload(
            &[("json", Some(JSON)), ("messagepack", Some(b"\x17\x96"))],
            &[],
        ),
        payload(&both, &[]),
    ] {
        assert_eq!(farm.redis.publish(all, &message).await, 1);
    }
    json.hears_exactly(&["json"; 3]).await;
    packed.hears_exactly(&["messagepack"; 4]).await;
    for channel in ["internal:groups", "connection:"] {
        let channel = format!("preDetailedHub:{channel}");
        farm.redis.publish(&channel, b"\x95\xff").await;
    }
    // Single connections and users are never left out.
    let one = format!("preDetailedHub:connection:{}", json.id);
    farm.redis.publish(&one, &payload(&both, &[&json.id])).await;
    json.hears_exactly(&["json"]).await;
    assert_eq!(json.connection.invoke::<i32>("Add", (1, 2)).await, Ok(3));
    let world = farm.servers[0].world.as_ref().unwrap();
    let backplanes = world.backplanes();
    let sum = |count: fn(&signalr_server::BackplaneHealth) -> u64| -> u64 {
        backplanes
            .iter()
            .map(|backplane| count(&backplane.health()))
            .sum()
    };
    assert_eq!(sum(|health| health.counters.malformed), 6);
    assert_eq!(sum(|health| health.missing_protocol), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_much_for_redis_is_lost_with_the_link_and_the_fault_says_so() {
    let Some(farm) = Farm::start(&[Kind::Ours]).await else {
        return;
    };
    let server = &farm.servers[0];
    let mut client = Client::connect(&server.url, "/detailed", WAYS[0], "").await;
    let all = "preDetailedHub:all";
    farm.redis.publish(all, &vec![0; 40 << 20]).await;
    let world = server.world.as_ref().unwrap();
    let hub = world.server("/detailed").unwrap();
    let backplane = hub.backplane().unwrap();
    let told = async {
        loop {
            if let Some(fault) = backplane.health().last_fault {
                return fault;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let fault = tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert!(fault.contains("client-output-buffer-limit"), "{fault}");
    backplane.ready().await;
    let small = payload(&[("json", Some(JSON))], &[]);
    farm.redis.publish(all, &small).await;
    assert_eq!(client.hears().await, "json");
}
