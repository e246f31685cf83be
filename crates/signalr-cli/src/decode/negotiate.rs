//! Negotiate responses.

use std::io::{Read, Write};

use serde::Deserialize;
use signalr_proto::NegotiateError;
use signalr_proto::transport::negotiate::{NegotiateResponse, TransportOffer};

use super::describe::put_optional;
use super::from_decode_error;
use crate::failure::Failure;
use crate::input;

/// Larger ones are not what they claim to be.
const MAX_RESPONSE: u64 = 16 << 20;

/// The members of a response that [`NegotiateResponse::decode`] accepted.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Members {
    connection_id: Option<String>,
    connection_token: Option<String>,
    negotiate_version: Option<i64>,
    available_transports: Option<Vec<TransportOffer>>,
    url: Option<String>,
    access_token: Option<String>,
    use_stateful_reconnect: Option<bool>,
    error: Option<String>,
}

pub(super) fn run(input: &mut impl Read, out: &mut impl Write) -> Result<(), Failure> {
    let mut body = Vec::new();
    input
        .take(MAX_RESPONSE + 1)
        .read_to_end(&mut body)
        .map_err(|error| input::unreadable(&error))?;
    if body.len() as u64 > MAX_RESPONSE {
        return Err(Failure::failed(format!(
            "a negotiate response of more than {MAX_RESPONSE} bytes"
        )));
    }
    NegotiateResponse::decode(&body).map_err(explained)?;
    let mut line = vec![b'{'];
    put_members(&mut line, &body);
    line.extend(b"}\n");
    out.write_all(&line)?;
    Ok(())
}

fn explained(error: NegotiateError) -> Failure {
    if let NegotiateError::Invalid(error) = error {
        return from_decode_error(error, 0);
    }
    Failure::failed(error.to_string())
}

/// Appends all members of a response, without the braces.
pub(crate) fn put_members(out: &mut Vec<u8>, body: &[u8]) {
    // The body was accepted before, with the same types.
    let members: Members = serde_json::from_slice(body).unwrap_or_default();
    out.extend(b"\"connectionId\":");
    put_optional(out, members.connection_id.as_deref());
    out.extend(b",\"connectionToken\":");
    put_optional(out, members.connection_token.as_deref());
    out.extend(format!(",\"version\":{}", members.negotiate_version.unwrap_or(0)).as_bytes());
    out.extend(b",\"transports\":");
    out.extend(
        serde_json::to_vec(&members.available_transports.unwrap_or_default()).unwrap_or_default(),
    );
    out.extend(b",\"url\":");
    put_optional(out, members.url.as_deref());
    out.extend(b",\"accessToken\":");
    put_optional(out, members.access_token.as_deref());
    out.extend(
        format!(
            ",\"useStatefulReconnect\":{}",
            members.use_stateful_reconnect.unwrap_or(false)
        )
        .as_bytes(),
    );
    out.extend(b",\"error\":");
    put_optional(out, members.error.as_deref());
}
