//! What both roles read, and what is read after it was written again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| signalr_harness::fuzz::decode_json_compared(data));
