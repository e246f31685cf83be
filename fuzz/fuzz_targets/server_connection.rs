//! Requests, bytes, time and commands in any order on a server connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| signalr_harness::server_property::connection_rules(data));
