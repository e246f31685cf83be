//! What travels below the messages.

mod event_stream;
