//! Requests in any order on an endpoint.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| signalr_harness::server_property::endpoint_rules(data));
