//! What the log tells of calls that went wrong. Never what clients said, beside the names of what they called.

use std::any::Any;

use crate::error::{HubError, panic_words};
use crate::method::NotRun;

/// So many characters of a name that a client made up.
const NAME: usize = 100;

/// A method failed. What its client is not told, the log tells to the operator: at error, with the causes.
pub(crate) fn failed(connection: &str, method: &str, error: &HubError) {
    tracing::Span::current().record("error.type", error.failure().kind);
    if error.refusal().is_some() {
        return tracing::info!(connection, method, reason = %error, "a call was refused");
    }
    if error.is_visible() {
        return tracing::debug!(connection, method, ?error, "a hub method failed");
    }
    tracing::error!(connection, method, ?error, "a hub method failed");
}

/// A call was not run.
pub(crate) fn refused(connection: &str, target: &str, refusal: &NotRun) {
    let target = shown(target);
    match refusal {
        NotRun::Failed(error) => failed(connection, target, error),
        NotRun::Unauthorized => {
            tracing::info!(connection, target, "a call was not authorized");
        }
        reason @ (NotRun::NoSuchMethod
        | NotRun::ArgumentCount { .. }
        | NotRun::ArgumentTypes(_)
        | NotRun::Streaming
        | NotRun::NotStreaming
        | NotRun::UploadCount { .. }) => {
            tracing::info!(connection, target, %reason, "a call was refused");
        }
    }
}

/// A client was not welcomed.
pub(crate) fn turned_away(connection: &str, error: &HubError) {
    if error.is_visible() {
        tracing::debug!(connection, ?error, "the hub turned a client away");
    } else {
        tracing::error!(connection, ?error, "a client could not be welcomed");
    }
}

/// Code of the application panicked that a request had to pass.
pub(crate) fn not_judged(path: &str, panic: &(dyn Any + Send)) {
    let panic = panic_words(panic);
    tracing::error!(path, panic, "a request could not be judged");
}

/// The application failed to judge a newer token.
pub(crate) fn refresh_failed(connection: &str, error: &HubError) {
    tracing::error!(connection, ?error, "a newer token could not be judged");
}

/// The application failed to say farewell.
pub(crate) fn farewell_failed(connection: &str, error: &HubError) {
    tracing::error!(connection, ?error, "the farewell of a client failed");
}

fn shown(name: &str) -> &str {
    let end = name.char_indices().nth(NAME).map(|(end, _)| end);
    end.and_then(|end| name.get(..end)).unwrap_or(name)
}
