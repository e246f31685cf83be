//! The ways in which a Redis may stand there: with users, over TLS, behind sentinels, as a cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use signalr_redis::RedisBackplane;
use signalr_redis::rustls::crypto::ring;
use signalr_redis::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use signalr_redis::rustls::{ClientConfig, RootCertStore};
use signalr_server::{BackplaneHealth, BackplaneState};

use super::*;
use crate::clients::PATIENCE;
use crate::redis::free_port;
use crate::servers::PREFIX;

/// Two servers at these addresses, with a client each, the second of which is in the group.
async fn pair(places: [RedisBackplane; 2]) -> (Vec<Server>, Vec<Client>) {
    let (mut servers, mut clients) = (Vec::new(), Vec::new());
    for place in places {
        let server = Server::around(place);
        let ready = tokio::time::timeout(PATIENCE, server.ready()).await;
        ready.expect("the server is part of the farm");
        clients.push(Client::connect(&server.url, "/parallel", WAYS[0], "").await);
        servers.push(server);
    }
    clients[1].call("JoinGroup", &["room"]).await;
    (servers, clients)
}

async fn at(url: &str) -> (Vec<Server>, Vec<Client>) {
    let place = RedisBackplane::open(url).unwrap();
    pair([place.clone(), place]).await
}

/// What is said on one server is heard on the other.
async fn passes_on(clients: &mut [Client], text: &str) {
    clients[0]
        .call("SendToGroup", &["room", "Hear", text])
        .await;
    clients[1].hears_exactly(&[text]).await;
}

/// Says something to the group until it is taken.
async fn says(clients: &[Client], text: &str) -> Duration {
    let began = Instant::now();
    let words = ["room", "Hear", text];
    while clients[0].try_call("SendToGroup", &words).await.is_err() {
        let still = "the farm does not come back";
        assert!(began.elapsed() < 2 * PATIENCE, "{still}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

/// What is the matter with a place, in the words of a health check.
async fn fault(place: Result<RedisBackplane, signalr_redis::redis::RedisError>) -> String {
    let server = Server::around(place.unwrap());
    let world = server.world.as_ref().unwrap();
    let backplane = world.server("/hub").unwrap().backplane().unwrap();
    let began = Instant::now();
    loop {
        let BackplaneHealth {
            state, last_fault, ..
        } = backplane.health();
        assert_ne!(state, BackplaneState::Up, "nothing is the matter");
        if let Some(fault) = last_fault {
            return fault.into();
        }
        assert!(began.elapsed() < PATIENCE, "nothing is the matter");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_with_passwords_reach_the_channels_that_their_acl_allows() {
    let channels = format!("&{PREFIX}*");
    let commands = "+publish +subscribe +unsubscribe +ping +client +hello +select";
    let mut options = vec![
        "--requirepass",
        "other",
        "--user",
        "farm",
        "on",
        ">p@ss",
        &channels,
    ];
    options.extend(commands.split(' '));
    options.extend(["--user", "stranger", "on", ">p@ss", "&else*", "+@all"]);
    options.extend(["--user", "mute", "on", ">p@ss", &channels, "+@all"]);
    options.push("-publish");
    options.extend(["--user", "deaf", "on", ">p@ss", &channels, "+@all"]);
    options.push("-subscribe");
    let Some(redis) = Redis::start_with(&options).await else {
        return;
    };
    let address = redis.address();
    let (_servers, mut clients) = at(&format!("redis://farm:p%40ss@{address}/7")).await;
    passes_on(&mut clients, "with a name").await;
    let (_servers, mut clients) = at(&format!("redis://:other@{address}")).await;
    passes_on(&mut clients, "without").await;

    let wrong = format!("redis://farm:secret@{address}");
    let wrong = fault(RedisBackplane::open(&wrong)).await;
    assert!(wrong.contains("authentication failed"), "{wrong}");
    assert!(!wrong.contains("secret"), "{wrong}");
    let nobody = fault(RedisBackplane::open(&format!("redis://{address}"))).await;
    assert!(nobody.contains("wants a password"), "{nobody}");
    for (user, words) in [
        ("stranger", "Redis refuses: NoPerm"),
        ("mute", "Redis refuses: NoPerm"),
        ("deaf", "has to be allowed to subscribe"),
    ] {
        let began = Instant::now();
        let url = format!("redis://{user}:p%40ss@{address}");
        let fault = fault(RedisBackplane::open(&url)).await;
        println!("{user}: {fault}");
        assert!(fault.contains(words), "{user}: {fault}");
        assert!(began.elapsed() < Duration::from_secs(4), "{user}");
    }
}

/// TLS that trusts this certificate alone, and shows it when there is a key to it.
fn trusting(root: &CertificateDer<'static>, own: Option<PrivateKeyDer<'static>>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match own {
        Some(key) => config
            .with_client_auth_cert(vec![root.clone()], key)
            .unwrap(),
        None => config.with_no_client_auth(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_certificates_on_both_sides() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let port = free_port();
    let folder = std::env::temp_dir().join(format!("signalr-redis-tls-{port}"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    let key = made.signing_key.serialize_pem();
    std::fs::write(folder.join("key.pem"), key).unwrap();
    let file = |name: &str| folder.join(name).display().to_string();
    let (certificate_file, key_file) = (file("cert.pem"), file("key.pem"));
    let redis = Redis::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &certificate_file,
        "--tls-key-file",
        &key_file,
        "--tls-ca-cert-file",
        &certificate_file,
    ])
    .await;
    // Read when it started.
    std::fs::remove_dir_all(&folder).unwrap();
    let Some(redis) = redis else { return };
    let url = format!("rediss://127.0.0.1:{port}");
    let root = made.cert.der().clone();
    let own = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let trusted = trusting(&root, Some(own));
    let place = RedisBackplane::open_with_tls(&url, trusted).unwrap();
    let (_servers, mut clients) = pair([place.clone(), place]).await;
    passes_on(&mut clients, "in secret").await;

    let untrusted = fault(RedisBackplane::open(&url)).await;
    println!("a certificate that nobody knows: {untrusted}");
    assert!(untrusted.contains("UnknownIssuer"), "{untrusted}");
    let anonymous = trusting(&root, None);
    let anonymous = fault(RedisBackplane::open_with_tls(&url, anonymous)).await;
    println!("a client without a certificate: {anonymous}");
    let plain = format!("rediss://{}", redis.address());
    let plain = fault(RedisBackplane::open(&plain)).await;
    assert!(plain.contains("without TLS"), "{plain}");
}

/// A sentinel that watches this Redis, with a password of its own.
async fn sentinel(master: &Redis) -> Option<Redis> {
    let port = master.address().port();
    let configuration = format!(
        "requirepass guard\n\
         sentinel monitor main 127.0.0.1 {port} 1\n\
         sentinel down-after-milliseconds main 1000\n\
         sentinel failover-timeout main 10000\n"
    );
    Redis::start_in("signalr-sentinel", &configuration, &["--sentinel"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_outlive_a_failover_and_hear_what_is_sent_afterwards() {
    let Some(mut master) = Redis::start().await else {
        return;
    };
    let master_port = master.address().port().to_string();
    let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &master_port]).await;
    let replica = replica.unwrap();
    let guard = sentinel(&master).await.unwrap();
    let hosts = format!("127.0.0.1:{},{}", free_port(), guard.address());
    let url = format!("redis-sentinel://{hosts}/main?sentinel_password=guard");
    let (servers, mut clients) = at(&url).await;
    passes_on(&mut clients, "before").await;
    assert!(
        master
            .has_listeners(&format!("{PREFIX}ParallelHub:group:room"))
            .await
    );
    // The sentinel asks the master for its replicas every ten seconds.
    knows_replica(&guard).await;

    master.kill();
    let began = Instant::now();
    says(&clients, "after").await;
    println!(
        "master killed: messages are taken again after {:?}",
        began.elapsed()
    );
    for server in &servers {
        let ready = tokio::time::timeout(PATIENCE, server.ready()).await;
        ready.expect("the server is part of the farm");
    }
    println!(
        "master killed: everybody is back after {:?}",
        began.elapsed()
    );
    // The first one may have been said before the other server was back.
    while !replica
        .has_listeners(&format!("{PREFIX}ParallelHub:group:room"))
        .await
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    says(&clients, "at last").await;
    while clients[1].hears().await != "at last" {}
    // The connections are those of before.
    for client in &clients {
        let id: String = client.connection.invoke("ConnectionId", ()).await.unwrap();
        assert_eq!(id, client.id);
    }
    let unknown = format!("redis-sentinel://{hosts}/other?sentinel_password=guard");
    let unknown = fault(RedisBackplane::open(&unknown)).await;
    assert!(unknown.contains("no master named other"), "{unknown}");
    let sentinel = format!("redis://:guard@{}", guard.address());
    let sentinel = fault(RedisBackplane::open(&sentinel)).await;
    assert!(sentinel.contains("redis-sentinel://"), "{sentinel}");
}

async fn knows_replica(guard: &Redis) {
    for _ in 0..600 {
        let words: [&[u8]; 3] = [b"SENTINEL", b"REPLICAS", b"main"];
        let known = guard.ask_as("guard", &words).await.unwrap();
        if known.contains("slave") && known.contains("master-link-status\r\n$2\r\nok") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the sentinel does not find the replica");
}

/// Two nodes of a cluster, the first of which has all the slots.
async fn cluster() -> Option<[Redis; 2]> {
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let bus = free_port().to_string();
        let options = ["--cluster-enabled", "yes", "--cluster-port", &bus];
        let node = Redis::start_in("signalr-cluster", "", &options).await?;
        nodes.push((node, bus));
    }
    let [(first, _), (second, bus)] = <[_; 2]>::try_from(nodes).ok()?;
    let slots: [&[u8]; 4] = [b"CLUSTER", b"ADDSLOTSRANGE", b"0", b"16383"];
    assert_eq!(first.ask(&slots).await.unwrap(), "+OK\r\n");
    let port = second.address().port().to_string();
    let meet: [&[u8]; 5] = [
        b"CLUSTER",
        b"MEET",
        b"127.0.0.1",
        port.as_bytes(),
        bus.as_bytes(),
    ];
    assert_eq!(first.ask(&meet).await.unwrap(), "+OK\r\n");
    for node in [&first, &second] {
        let know = async {
            while !node
                .ask(&[b"CLUSTER", b"INFO"])
                .await
                .unwrap()
                .contains("cluster_state:ok")
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, know)
            .await
            .expect("a cluster");
    }
    Some([first, second])
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_at_different_nodes_of_a_cluster_are_one_farm() {
    let Some([first, mut second]) = cluster().await else {
        return;
    };
    let open = |url: String| RedisBackplane::open(&url).unwrap();
    let places = [
        open(format!("redis://{}", first.address())),
        open(format!("redis://{},{}", second.address(), first.address())),
    ];
    let (servers, mut clients) = pair(places).await;
    passes_on(&mut clients, "across nodes").await;
    // The first node knows of no listener of the second, and yet there is one.
    let sum = clients[0]
        .connection
        .invoke::<i32>("AskClient", (clients[1].id.as_str(), 20, 22));
    assert_eq!(sum.await, Ok(42));
    let hub = servers[0]
        .world
        .as_ref()
        .unwrap()
        .server("/parallel")
        .unwrap();
    assert_eq!(hub.backplane().unwrap().count().await, Ok(2));

    second.kill();
    let began = Instant::now();
    let room = format!("{PREFIX}ParallelHub:group:room");
    while !first.has_listeners(&room).await {
        assert!(began.elapsed() < PATIENCE, "the server finds no other node");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "node killed: the next one is found after {:?}",
        began.elapsed()
    );
    says(&clients, "on one node").await;
    clients[1].hears_exactly(&["on one node"]).await;
}
