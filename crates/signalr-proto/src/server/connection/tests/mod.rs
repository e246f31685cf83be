//! What only a look inside shows: the edges of the diagrams, and the memory of a connection to which anything happens.

use core::time::Duration;

use bytes::Bytes;

use super::*;
use crate::limits::Limits;
use crate::server::{CallId, CallOutcome, DisconnectReason, Failure, Refusal};
use crate::transport::EndCause;

mod edges;
mod posts;
mod properties;
