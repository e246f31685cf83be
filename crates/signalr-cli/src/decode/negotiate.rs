//! Negotiate responses.

use std::io::{Read, Write};

use signalr_proto::NegotiateError;
use signalr_proto::transport::negotiate::{AccessToken, NegotiateResponse, Offer};

use super::describe::put_optional;
use super::pieces::from_decode_error;
use crate::failure::Failure;
use crate::input;

/// Larger ones are not what they claim to be.
const MAX_RESPONSE: u64 = 16 << 20;

/// What there is to print of an answer, whatever kind it is of.
#[derive(Default)]
struct Members<'a> {
    offer: Option<&'a Offer>,
    url: Option<&'a str>,
    access_token: Option<&'a AccessToken>,
    error: Option<&'a str>,
}

impl<'a> Members<'a> {
    fn of(response: &'a NegotiateResponse) -> Self {
        match response {
            NegotiateResponse::Connect(offer) => Self {
                offer: Some(offer),
                access_token: offer.access_token.as_ref(),
                ..Self::default()
            },
            NegotiateResponse::Redirect { url, access_token } => Self {
                url: Some(url),
                access_token: access_token.as_ref(),
                ..Self::default()
            },
            NegotiateResponse::Refused { error } => Self {
                error: Some(error),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
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
    let response = NegotiateResponse::decode(&body).map_err(explained)?;
    let mut line = vec![b'{'];
    put_members(&mut line, &response);
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

/// Appends all members of a response, without the braces: what the library understood, and null for what is not there.
pub(crate) fn put_members(out: &mut Vec<u8>, response: &NegotiateResponse) {
    let members = Members::of(response);
    let offer = members.offer;
    out.extend(b"\"connectionId\":");
    put_optional(out, offer.map(|offer| &*offer.connection_id));
    out.extend(b",\"connectionToken\":");
    put_optional(
        out,
        offer.and_then(|offer| offer.connection_token.as_deref()),
    );
    let version = offer.map_or(0, |offer| offer.version);
    out.extend(format!(",\"version\":{version},\"transports\":").as_bytes());
    let transports = offer.map_or(&[][..], |offer| &offer.transports);
    out.extend(serde_json::to_vec(transports).unwrap_or_default());
    out.extend(b",\"url\":");
    put_optional(out, members.url);
    out.extend(b",\"accessToken\":");
    put_optional(out, members.access_token.map(AccessToken::expose));
    let stateful = offer.is_some_and(|offer| offer.stateful_reconnect);
    out.extend(format!(",\"useStatefulReconnect\":{stateful},\"error\":").as_bytes());
    put_optional(out, members.error);
}
