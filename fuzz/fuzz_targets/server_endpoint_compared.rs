//! The same twice, with equal outcomes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| signalr_harness::server_property::endpoint(data));
