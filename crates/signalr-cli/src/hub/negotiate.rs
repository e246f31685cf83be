//! `signalr negotiate`.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use signalr::Limits;
use signalr::Tokio;
use signalr::client::{NetTransport, Transport, ascii_address};
use signalr_proto::client::{Action, ClientConfig, ClientConnection, Input, Output};
use signalr_proto::transport::negotiate::{AccessToken, NegotiateResponse, Offer};
use signalr_proto::{Instant, NegotiateError, UsageError};

use super::events::{Event, Printer, print_members};
use super::explain::Explain;
use super::token::TokenSource;
use super::{connect, session};
use crate::cli::{self, NegotiateArgs};
use crate::decode::put_negotiate_members;
use crate::failure::Failure;
use crate::style::{Style, printable};

/// Without --timeout.
const DEFAULT_BOUND: Duration = Duration::from_secs(30);

/// Runs the command.
pub(crate) fn run(options: &NegotiateArgs) -> Result<(), Failure> {
    let token = TokenSource::of(&options.server)?;
    let explain = Explain {
        has_token: token.is_some(),
        negotiates: true,
    };
    let bound = connect::timeout(&options.server)?.unwrap_or(DEFAULT_BOUND);
    let first = request(options, &token)?;
    let transport = connect::transport(&options.server)?;
    let outcome = session::block_on(async {
        let exchange = async {
            let mut response = exchange(&transport, first, explain).await?;
            // Somebody may have renewed the token just when the old one was read.
            if response.status() == http::StatusCode::UNAUTHORIZED && token.is_renewed() {
                response = exchange(&transport, request(options, &token)?, explain).await?;
            }
            show(options, &response, explain)
        };
        tokio::select! {
            biased;
            () = session::interrupted() => Err(Failure::Interrupted),
            outcome = exchange => outcome,
            () = tokio::time::sleep(bound) => Err(Failure::failed(format!("timed out: no answer within {} seconds", bound.as_secs_f64()))),
        }
    });
    if let (Err(failure), cli::Output::Json) = (&outcome, options.server.output)
        && let Some(message) = failure.message()
    {
        Printer::new(cli::Output::Json, false).print(&Event::Error(message.to_owned()))?;
    }
    outcome
}

/// The very request that a connection would begin with.
fn request(options: &NegotiateArgs, token: &TokenSource) -> Result<http::Request<Bytes>, Failure> {
    let usage = |error: UsageError| Failure::usage(error.to_string());
    let token = token.now().map_err(Failure::usage)?;
    let token = token.and_then(AccessToken::new);
    let mut config = ClientConfig::new(&ascii_address(&options.url)).map_err(usage)?;
    config.headers = connect::header_map(&options.server)?;
    config.has_access_token = token.is_some();
    let now = Instant::ZERO;
    let mut machine = ClientConnection::new(config, 0);
    machine.start(now).map_err(usage)?;
    loop {
        match machine.poll_output() {
            Output::Action(Action::GetAccessToken { op }) => machine.handle_input(
                now,
                Input::AccessToken {
                    op,
                    token: Ok(token.clone()),
                },
            ),
            Output::Action(Action::Request { request, .. }) => return Ok(*request),
            Output::Action(_) | Output::Event(_) => {}
            Output::Wait(_) => return Err(Failure::usage("this address cannot be asked")),
        }
    }
}

/// Sends the request and gives the answer, with its body if it is one to be read.
async fn exchange(
    transport: &NetTransport<Tokio>,
    request: http::Request<Bytes>,
    explain: Explain,
) -> Result<http::Response<Bytes>, Failure> {
    let failed = |error: <NetTransport<Tokio> as Transport>::Error| {
        Failure::failed(format!(
            "cannot negotiate: {}",
            explain.transport(&error.to_string())
        ))
    };
    let (head, mut chunks) = transport
        .request(request)
        .await
        .map_err(failed)?
        .into_parts();
    let mut body = BytesMut::new();
    if head.status != http::StatusCode::OK {
        return Ok(http::Response::from_parts(head, Bytes::new()));
    }
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk.map_err(failed)?);
        if body.len() > Limits::CLIENT.max_response_size {
            return Err(Failure::failed(
                "the answer is too long for a negotiate response: this is not a SignalR hub",
            ));
        }
    }
    Ok(http::Response::from_parts(head, body.freeze()))
}

fn show(
    options: &NegotiateArgs,
    answer: &http::Response<Bytes>,
    explain: Explain,
) -> Result<(), Failure> {
    let response = NegotiateResponse::read(answer)
        .map_err(|error| Failure::failed(explain.negotiate(&error)))?;
    match options.server.output {
        cli::Output::Json => {
            let mut members = b"\"event\":\"negotiated\",".to_vec();
            put_negotiate_members(&mut members, &response);
            print_members(&members)?;
        }
        cli::Output::Pretty => print_lines(&lines(&response, options.show_secrets))?,
    }
    if let NegotiateResponse::Refused { error } = response {
        return Err(Failure::failed(
            explain.negotiate(&NegotiateError::Refused { error }),
        ));
    }
    Ok(())
}

fn print_lines(lines: &[(&str, String)]) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let style = Style::of_stdout();
    for (name, value) in lines {
        let name = style.bold(&format!("{name:<20}"));
        writeln!(out, "{name}{}", printable(value))?;
    }
    out.flush()?;
    Ok(())
}

fn lines(response: &NegotiateResponse, show_secrets: bool) -> Vec<(&'static str, String)> {
    let secret = |text: Option<&str>| match text {
        None => "none".to_owned(),
        Some(text) if show_secrets => text.to_owned(),
        Some(_) => "******** (--show-secrets shows it)".to_owned(),
    };
    match response {
        NegotiateResponse::Connect(offer) => {
            offered(offer, secret(offer.connection_token.as_deref()))
        }
        NegotiateResponse::Redirect { url, access_token } => {
            vec![
                ("redirected to", url.to_string()),
                (
                    "access token",
                    secret(access_token.as_ref().map(AccessToken::expose)),
                ),
            ]
        }
        NegotiateResponse::Refused { error } => vec![("refused", error.to_string())],
        _ => vec![(
            "answer",
            "of a kind that this program does not know".to_owned(),
        )],
    }
}

fn offered(offer: &Offer, token: String) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("connection id", offer.connection_id.to_string()),
        ("connection token", token),
        ("version", offer.version.to_string()),
    ];
    for transport in &offer.transports {
        lines.push((
            "transport",
            format!(
                "{} ({})",
                transport.transport,
                transport.transfer_formats.join(", ")
            ),
        ));
    }
    lines.push((
        "stateful reconnect",
        if offer.stateful_reconnect {
            "yes"
        } else {
            "no"
        }
        .to_owned(),
    ));
    lines
}
