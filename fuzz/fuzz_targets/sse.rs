//! Event streams.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| signalr_testkit::fuzz::sse(data));
