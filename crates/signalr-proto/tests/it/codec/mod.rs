//! Messages and their two encodings.

mod frames;
mod handshake;
mod leniency;
mod payloads;
mod properties;
mod transcripts;
mod vectors;
