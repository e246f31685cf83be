//! The commands that talk to a hub.

pub(crate) mod arguments;
pub(crate) mod calls;
pub(crate) mod connect;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod listen;
pub(crate) mod negotiate;
pub(crate) mod pretty;
pub(crate) mod session;
pub(crate) mod shown;
pub(crate) mod token;
