//! Operations in any order on a client machine.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| signalr_harness::client_property::rules(data));
