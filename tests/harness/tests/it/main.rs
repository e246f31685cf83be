//! The tests of the harness itself, and what it proves of the whole: simulated networks and farms, the fuzz corpus, and our codecs,
//! our server and our test hubs beside Microsoft's programs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::unwrap_in_result,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "tests fail by panicking"
)]

#[cfg(feature = "hubs")]
mod browser;
mod differential;
mod farm_simulator;
#[cfg(feature = "fault-proxy")]
mod fault_proxy;
mod fuzz_corpus;
#[cfg(feature = "hubs")]
mod official_clients;
#[cfg(all(feature = "fault-proxy", feature = "hubs"))]
mod replay;
mod simulator;
#[cfg(feature = "hubs")]
mod test_hubs;
