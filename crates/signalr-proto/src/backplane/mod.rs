//! Servers of one farm, and what they tell each other over a broker (`server-behaviour`, section 15).
//!
//! A [`BackplaneNode`] is one server's part in the farm of one hub. It decides which channels are subscribed to, what is
//! published, and who waits for what; its driver connects to a broker and carries out the rest: a handful of actions, with one
//! publication and one subscription under way at a time.
//!
//! ```text
//!               Connect             Connected           all subscribed to, heard itself
//!  (new) ----> Connecting -------------------> Restoring -------------------> Up
//!                 ^  |                             |                           |
//!       the delay |  | failed, late                | failed, lost, late        | failed, lost,
//!       is over   |  v                             |                           | no heartbeat
//!                Away <----------------------------+<--------------------------+
//! ```
//!
//! The first heartbeat shows that this server may publish and subscribe: without it nothing is up. Operations go on in `Up` alone. In `Connecting` and `Restoring` they wait, and in `Away` they fail or wait, as
//! [`WhenAway`] says. `stop` ends every state.

mod api;
mod channel;
mod config;
mod message;
mod node;
mod outgoing;
mod subscriptions;

pub use api::{
    Audience, BackplaneAction, BackplaneCounters, BackplaneError, BackplaneEvent, BackplaneInput,
    BackplaneOutput, BackplaneState, JoinRefusal, Message, OperationId,
};
pub use channel::{Channel, Channels};
pub use config::{BackplaneConfig, WhenAway};
pub use message::{
    Ack, Census, Completion, Count, Counted, GroupAction, GroupCommand, Invocation, ResultRequest,
};
pub use node::BackplaneNode;
