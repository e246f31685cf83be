//! Why there is no Redis, for whoever reads the log: the client's own words do not say what to do.

use std::time::Duration;

use redis::{ErrorKind, RedisError};
use signalr_server::BackplaneFault;

/// What an error of a connection means that has not answered yet. `tls` says whether there is TLS, where there might be.
pub(crate) fn of_connecting(
    error: RedisError,
    tls: Option<bool>,
    timeout: Duration,
) -> BackplaneFault {
    if error.is_timeout() {
        return silent(tls, timeout);
    }
    if error.kind() == ErrorKind::Parse {
        return "what answers there is no Redis".into();
    }
    if wants_password(&error) {
        return "Redis wants a password (NOAUTH), as in redis://:password@host".into();
    }
    let hung_up = error.is_connection_dropped() && !error.is_connection_refusal();
    if hung_up && tls == Some(false) {
        return format!("{error}: Redis may want TLS, rediss:// instead of redis://").into();
    }
    error.into()
}

/// Nobody has said anything on a fresh connection. A Redis without TLS waits for the end of a line that it takes for a command.
pub(crate) fn silent(tls: Option<bool>, timeout: Duration) -> BackplaneFault {
    let late = late(timeout);
    if tls == Some(true) {
        return format!("{late}: Redis may be without TLS, redis:// instead of rediss://").into();
    }
    late.into()
}

/// What an error of a connection means that has answered before.
pub(crate) fn of_working(error: RedisError, timeout: Duration) -> BackplaneFault {
    if error.is_timeout() {
        return late(timeout).into();
    }
    // Redis has answered every message of a batch, and the first refusal says it all.
    let refusals = error.clone().into_server_errors().unwrap_or_default();
    match refusals.first() {
        Some((_, refusal)) => format!("Redis refuses: {refusal}").into(),
        None => error.into(),
    }
}

/// What takes too long.
pub(crate) fn late(timeout: Duration) -> String {
    format!("Redis did not answer within {timeout:?}")
}

/// Whether Redis does nothing for us until it is told a password.
pub(crate) fn wants_password(error: &RedisError) -> bool {
    error.code() == Some("NOAUTH")
}
