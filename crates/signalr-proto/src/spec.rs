//! The numbered requirements that the documentation of this library cites: nothing but text.
//!
//! Numbers that begin with HP stand in [`hub_protocol`], CB in [`client_behaviour`], TR in [`transports`] and SB in
//! [`server_behaviour`]. The pages are those of `docs/spec` in the repository, where `docs/spec-coverage.md` tells for each
//! number which code meets it and which tests settle it.

#[doc = include_str!("spec/hub-protocol.md")]
pub mod hub_protocol {}

#[doc = include_str!("spec/client-behaviour.md")]
pub mod client_behaviour {}

#[doc = include_str!("spec/transports.md")]
pub mod transports {}

#[doc = include_str!("spec/server-behaviour.md")]
pub mod server_behaviour {}
