//! The server's machines.

mod properties;
mod transcripts;
