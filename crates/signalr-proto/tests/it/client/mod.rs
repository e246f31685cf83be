//! The client's machine.

mod calls;
mod fallback;
mod faults;
mod http;
mod http_orders;
mod lifetime;
mod misuse;
mod more;
mod parked;
mod properties;
mod refresh;
mod start;
mod stateful;
mod stateful_rules;
mod transcripts;
