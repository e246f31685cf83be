//! Messages and their two encodings.

mod frames;
mod leniency;
mod payloads;
mod properties;
mod transcripts;
mod vectors;
