//! Servers of one farm, and what they tell each other over a broker (`server-behaviour`, section 15).

mod channel;
mod message;

pub use channel::{Channel, Channels};
pub use message::{Ack, Completion, GroupAction, GroupCommand, Invocation, Question};
