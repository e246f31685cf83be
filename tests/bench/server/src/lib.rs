//! Loads servers of SignalR and compares them.
//!
//! Everything here runs on one thread over raw sockets, writes requests that were encoded beforehand and looks at answers no
//! further than it must to believe them, so that the server is the slow side. `tests/bench/server.sh` is the way to run it.

pub mod broadcast;
pub mod compare;
pub mod connect;
pub mod contest;
pub mod dialect;
pub mod echo;
pub mod farm;
pub mod frames;
pub mod http;
pub mod idle;
pub mod instructions;
pub mod options;
pub mod process;
pub mod report;
pub mod spell;
pub mod swarm;
pub mod table;

/// What went wrong, for whoever started the program.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
