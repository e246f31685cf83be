//! What must not be in a recording: the tokens of the client that is recorded.

use bytes::Bytes;
use http::{Request, header};
use signalr_proto::Protocol;

/// A text that is shorter may be part of what the protocol itself says, and is looked for in values only.
const DISTINCT: usize = 8;

/// Bytes that are shorter may stand for anything in MessagePack.
const LEAST_BINARY: usize = 4;

/// The tokens that a client has shown so far.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Learns the tokens of a request: those of the user and that of the connection.
    pub(super) fn learn<B>(&mut self, request: &Request<B>) {
        for value in request.headers().get_all(header::AUTHORIZATION) {
            let value = String::from_utf8_lossy(value.as_bytes());
            self.add(value.split_once(' ').map_or(&*value, |(_, token)| token));
        }
        for value in request.headers().get_all(header::COOKIE) {
            let value = String::from_utf8_lossy(value.as_bytes());
            for cookie in value.split(';') {
                self.add(cookie.split_once('=').map_or(cookie, |(_, value)| value));
            }
        }
        let query = request.uri().query().unwrap_or_default();
        let parameters = || query.split('&').filter_map(|part| part.split_once('='));
        // The client adds its own behind those of the user, and to everything but negotiation.
        let id = parameters().rfind(|(name, _)| *name == "id");
        let id = id.filter(|_| !request.uri().path().ends_with("/negotiate"));
        for (_, value) in parameters()
            .filter(|(name, _)| *name == "access_token")
            .chain(id)
        {
            self.add(value);
            self.add(&percent_decoded(value));
        }
    }

    fn add(&mut self, secret: &str) {
        let secret = secret.trim();
        if !secret.is_empty() && !self.0.iter().any(|known| known == secret) {
            self.0.push(secret.to_owned());
        }
    }

    /// The message with a `*` for each byte of a token.
    pub(super) fn hide(&self, protocol: Protocol, message: &Bytes) -> Bytes {
        if self.0.is_empty() {
            return message.clone();
        }
        if protocol != Protocol::Json {
            return self.hide_in_bytes(message).into();
        }
        self.hide_in_json(&String::from_utf8_lossy(message)).into()
    }

    /// Looks into the strings only, as they read without their escapes.
    fn hide_in_json(&self, text: &str) -> String {
        let mut hidden = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find('"') {
            let (before, from) = rest.split_at(start);
            hidden.push_str(before);
            let (literal, after) = from.split_at(literal_length(from));
            let is_name = after.trim_start().starts_with(':');
            hidden.push_str(&self.hide_in_literal(literal, is_name));
            rest = after;
        }
        hidden.push_str(rest);
        hidden
    }

    /// A text with a `*` for each byte of a token.
    pub(super) fn hide_in_text(&self, text: &str) -> String {
        let hide = |text: String, secret: &String| text.replace(secret, &"*".repeat(secret.len()));
        self.0.iter().fold(text.to_owned(), hide)
    }

    fn hide_in_literal(&self, literal: &str, is_name: bool) -> String {
        let Ok(text) = serde_json::from_str::<String>(literal) else {
            return literal.to_owned();
        };
        let mut hidden = text.clone();
        for secret in &self.0 {
            if !is_name || secret.len() >= DISTINCT {
                hidden = hidden.replace(secret.as_str(), &"*".repeat(secret.len()));
            }
        }
        if hidden == text {
            return literal.to_owned();
        }
        serde_json::Value::from(hidden).to_string()
    }

    fn hide_in_bytes(&self, message: &[u8]) -> Vec<u8> {
        let mut hidden = message.to_vec();
        for secret in self.0.iter().filter(|secret| secret.len() >= LEAST_BINARY) {
            let mut at = 0;
            while let Some(window) = hidden.get_mut(at..at + secret.len()) {
                if window == secret.as_bytes() {
                    window.fill(b'*');
                }
                at += 1;
            }
        }
        hidden
    }
}

/// How long the string is that this text begins with, both quotes included.
fn literal_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(crate::describe::from_hex) {
            Some(byte) => {
                bytes.extend(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let request = Request::get("http://h/hub?id=to%2Fken-1&access_token=query+secret")
            .header("authorization", "Bearer header/secret")
            .header("cookie", "a=cookie-secret; b=x")
            .body(())
            .unwrap();
        let mut secrets = Secrets::default();
        secrets.learn(&request);
        secrets
    }

    #[test]
    fn tokens_are_hidden_wherever_they_stand_and_however_they_are_escaped() {
        let secrets = secrets();
        for (said, kept) in [
            (r#"{"a":"header/secret"}"#, r#"{"a":"*************"}"#),
            (r#"["<header\u002Fsecret>"]"#, r#"["<*************>"]"#),
            (r#"{"cookie-secret":1}"#, r#"{"*************":1}"#),
            (
                r#"["to/ken-1","to%2Fken-1"]"#,
                r#"["********","**********"]"#,
            ),
            (r#"["query+secret"]"#, r#"["************"]"#),
            // Short ones are no names.
            (r#"{"x":"x","y":"\"x\""}"#, r#"{"x":"*","y":"\"*\""}"#),
            (r#"{"type":6}"#, r#"{"type":6}"#),
        ] {
            let hidden = secrets.hide(Protocol::Json, &Bytes::from_static(said.as_bytes()));
            assert_eq!(hidden, kept);
        }
    }

    #[test]
    fn what_the_user_calls_an_id_is_no_token() {
        let mut secrets = Secrets::default();
        for address in [
            "http://h/hub/negotiate?id=ann&negotiateVersion=1",
            "http://h/hub?id=ann&id=connection-token",
        ] {
            secrets.learn(&Request::get(address).body(()).unwrap());
        }
        assert_eq!(
            secrets.hide_in_text("ann has connection-token"),
            "ann has ****************"
        );
    }

    #[test]
    fn tokens_in_messagepack_keep_their_length() {
        let hidden = secrets().hide(
            Protocol::MessagePack,
            &Bytes::from_static(b"\x92\xadheader/secret\xa1x"),
        );
        assert_eq!(hidden, &b"\x92\xad*************\xa1x"[..]);
    }
}
