//! What most programs need: `use signalr::prelude::*`.
//!
//! The names of the client with the feature `client`, and those of hubs with the feature `server`. None of them is the name of
//! another crate, and of those of `use signalr::*` none is the name of a crate that programs use beside this one.

#[cfg(feature = "async-std")]
pub use crate::AsyncStd;
#[cfg(feature = "smol")]
pub use crate::Smol;
#[cfg(feature = "tokio")]
pub use crate::Tokio;
#[cfg(feature = "client")]
pub use crate::{
    BuildError, CallError, CloseReason, ConnectionState, HandlerError, HubConnection, ItemStream,
    LifecycleEvent, ReconnectPolicy, StartError, TransportKind, Upload, WeakHubConnection,
};
pub use signalr_proto::{Protocol, Spread};
#[cfg(feature = "server")]
pub use signalr_server::{
    CallContext, CancellationToken, Hub, HubError, HubMethods, HubServer, UploadStream, User,
};
