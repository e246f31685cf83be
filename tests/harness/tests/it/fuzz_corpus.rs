//! Replays the corpora of the fuzz targets, so that every run of the tests checks them.

use std::path::PathBuf;

use signalr_harness::{backplane_property, client_property, fuzz, server_property};

fn replay(target: &str, property: impl Fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("the corpus is committed") {
        let data = std::fs::read(entry.expect("the folder can be listed").path())
            .expect("the file can be read");
        property(&data);
        // The same bytes cut in other places.
        for size in [1, 2, 7] {
            let mut data = data.clone();
            if let Some(first) = data.first_mut() {
                *first = size;
            }
            property(&data);
        }
        count += 1;
    }
    assert!(count >= 10, "{target} has a corpus of {count}");
}

/// The quick properties of a target, and those that compare.
fn both(quick: fn(&[u8]), compared: fn(&[u8])) -> impl Fn(&[u8]) {
    move |data| {
        quick(data);
        compared(data);
    }
}

#[test]
fn the_corpus_of_decode_json_holds() {
    let properties = both(fuzz::decode_json, fuzz::decode_json_compared);
    replay("decode_json", properties);
}

#[test]
fn the_corpus_of_decode_msgpack_holds() {
    let properties = both(fuzz::decode_msgpack, fuzz::decode_msgpack_compared);
    replay("decode_msgpack", properties);
}

#[test]
fn the_corpus_of_handshake_holds() {
    replay("handshake", fuzz::handshake);
}

#[test]
fn the_corpus_of_negotiate_holds() {
    replay("negotiate", fuzz::negotiate);
}

#[test]
fn the_corpus_of_sse_holds() {
    replay("sse", fuzz::sse);
}

#[cfg(feature = "frames")]
#[test]
fn the_corpus_of_web_socket_frames_holds() {
    replay("web_socket_frames", fuzz::web_socket_frames);
}

#[test]
fn the_corpus_of_client_machine_holds() {
    let properties = both(client_property::rules, client_property::check);
    replay("client_machine", properties);
}

#[test]
fn the_corpus_of_server_endpoint_holds() {
    let properties = both(server_property::endpoint_rules, server_property::endpoint);
    replay("server_endpoint", properties);
}

#[test]
fn the_corpus_of_server_connection_holds() {
    let properties = both(
        server_property::connection_rules,
        server_property::connection,
    );
    replay("server_connection", properties);
}

#[test]
fn the_corpus_of_backplane_holds() {
    let properties = both(backplane_property::rules, backplane_property::check);
    replay("backplane", properties);
}
