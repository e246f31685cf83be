//! Frames of a client's WebSocket.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| signalr_harness::fuzz::web_socket_frames(data));
