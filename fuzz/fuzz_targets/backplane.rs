//! Commands, time, answers and messages in any order on a node of a farm, and any bytes as its payloads.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| signalr_harness::backplane_property::rules(data));
