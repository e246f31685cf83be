//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use signalr_proto::Protocol;
use signalr_proto::codec::Role;
use signalr_proto::transport::negotiate::TransportKind;

use crate::failure::Failure;

const EXIT_CODES: &str = "\
Exit codes:
  0    all went well
  1    the call, the connection or the input was at fault
  2    the command line makes no sense
  130  interrupted with Ctrl-C, after a clean stop

Start with `signalr demo`, which needs no server.";

/// The lines of each paragraph as one, so that it is broken at words however wide the terminal is. Lines that are indented stay
/// as they are.
pub(crate) fn paragraphs(text: &str) -> String {
    let mut out = String::new();
    let mut goes_on = false;
    for line in text.lines() {
        let is_prose = !line.is_empty() && !line.starts_with(' ');
        if !out.is_empty() {
            out.push(if goes_on && is_prose { ' ' } else { '\n' });
        }
        out.push_str(line);
        goes_on = is_prose;
    }
    out
}

/// Talks to SignalR hubs: call them, listen to them, look at their bytes.
#[derive(Parser)]
#[command(name = "signalr", version, about, after_help = paragraphs(EXIT_CODES), max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Log the protocol to standard error: -v for connections and requests, -vv for each message (never its contents)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// See it all at work: a hub and a client in this program, in about 10 seconds
    Demo(DemoArgs),
    /// Serve a hub to try clients with, alone or as one server of a farm
    Serve(ServeArgs),
    /// Find out why an address does not work, or that it does
    Doctor(DoctorArgs),
    /// Ask a server for a connection and show its answer
    Negotiate(NegotiateArgs),
    /// Call a method and print its result
    Invoke(CallArgs),
    /// Call a method without waiting for an answer
    Send(CallArgs),
    /// Call a streaming method and print its items as they come
    Stream(CallArgs),
    /// Print what the server calls until Ctrl-C
    Listen(ListenArgs),
    /// Stay connected and take commands, from a prompt or from a pipe
    Connect(ConnectArgs),
    /// Turn bytes of the protocol into JSON, one object per message
    Decode(DecodeArgs),
    /// Turn the objects that `decode` prints back into bytes
    Encode(EncodeArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print a man page
    Man(ManArgs),
}

const DEMO_HELP: &str = "\
Example:
  signalr demo

Starts a hub on a free port of this computer, connects to it, and shows what a SignalR connection can do. Ends with exit
code 0 when every step worked, and names the step that did not.";

#[derive(Args)]
#[command(after_help = paragraphs(DEMO_HELP))]
pub(crate) struct DemoArgs {
    /// One plain line per event, without colours and moving parts: for logs
    #[arg(long)]
    pub(crate) plain: bool,
}

const SERVE_HELP: &str = "\
Examples:
  signalr serve
  signalr serve --listen 0.0.0.0:5000 --token secret --metrics 127.0.0.1:9000 -v
  signalr serve --listen 127.0.0.1:5001 --redis redis://127.0.0.1:6379 --prefix try

Methods: Echo(value), Broadcast(value), JoinGroup(name), LeaveGroup(name), SendToGroup(name, value), SendToUser(id, text), the stream
Count(n, milliseconds), and Sum(stream of numbers). Broadcasts and messages arrive as Receive(connection id, value). Pages of any
origin may connect.

Servers with the same Redis and prefix share their clients. With -v, there is a line for each connection and call. Ctrl-C asks the
clients to come back later, and ends with exit code 0.";

#[derive(Args)]
#[command(after_help = paragraphs(SERVE_HELP))]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 is a free one, which is printed
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
    pub(crate) listen: String,
    /// Path of the hub
    #[arg(long, value_name = "PATH", default_value = "/hub")]
    pub(crate) hub: String,
    /// Share clients with other servers through this Redis: redis://[user:password@]host[:port], rediss:// over TLS, or
    /// redis-sentinel://host[:port],.../service
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,
    /// Stands before the names of all channels in Redis
    #[arg(long, value_name = "NAME", default_value = "", requires = "redis")]
    pub(crate) prefix: String,
    /// Let only those in who have this token; better kept in the variable SIGNALR_TOKEN, because others can see command lines
    #[arg(
        long,
        value_name = "SECRET",
        env = "SIGNALR_TOKEN",
        hide_env_values = true
    )]
    pub(crate) token: Option<String>,
    /// Serve metrics, in the format of Prometheus, and a health check there
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<String>,
}

const DOCTOR_HELP: &str = "\
Examples:
  signalr doctor https://example.com/chat
  signalr doctor https://example.com/chat --token-file token.txt --output json
  signalr doctor http://localhost:5000/chat --probe-size Echo

Looks at the address step by step and says for each what is wrong and what to do: the address, the proxy in use, the name (dns), the
connection (tcp), the certificate (tls), negotiation, each transport, whether event streams come as they are written, MessagePack, the time
of a round trip. With --probe-size, calls a method that takes one text with larger and larger texts, to find the limit.

A step is ok, a warning, failed, or skipped, because one failed that it depends on or nobody asked. JSON output is one object per
step: step, status, detail, and where there are any advice, milliseconds, facts. The exit code is 1 when a step failed.
--timeout bounds each wait, 10 seconds by default. Tokens and ids are not printed.";

#[derive(Args)]
#[command(after_help = paragraphs(DOCTOR_HELP))]
pub(crate) struct DoctorArgs {
    /// Address of the hub, such as http://localhost:5000/chat
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    #[command(flatten)]
    pub(crate) transports: TransportOptions,
    /// Find out how large a message may be, to a factor of two, by calling this method with texts
    #[arg(long, value_name = "METHOD")]
    pub(crate) probe_size: Option<String>,
}

const NEGOTIATE_HELP: &str = "\
Example:
  signalr negotiate http://localhost:5000/chat --token-file token.txt

connectionToken and accessToken are secrets: the pretty output masks them unless --show-secrets is given; JSON output always
shows them.";

#[derive(Args)]
#[command(after_help = paragraphs(NEGOTIATE_HELP))]
pub(crate) struct NegotiateArgs {
    /// Address of the hub, such as http://localhost:5000/chat
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    /// Show connectionToken and accessToken in pretty output
    #[arg(long)]
    pub(crate) show_secrets: bool,
}

const CALL_HELP: &str = r#"Examples:
  signalr invoke http://localhost:5000/chat Add 1 2
  signalr invoke http://localhost:5000/chat Echo '{"name":"Ann"}' plain-word @file.json
  signalr stream http://localhost:5000/chat Counter 10 --transport sse,lp --output json
  echo '[1,2,3]' | signalr send http://localhost:5000/chat Sum -

Each argument is read as JSON; what is no JSON is taken as a string, so quotation marks are rarely needed. `@file` and `-` read
an argument from a file or from standard input: as JSON, else as text without its last line end. A string that looks like
something else is written as JSON: '"42"', '"@home"'. With --protocol messagepack, arguments may hold {"$bin":"00ff"},
{"$timestamp":"2020-01-02T03:04:05Z"}, {"$ext":[5,"00"]}, {"$f32":1.5} and {"$map":[[1,"a"]]}."#;

#[derive(Args)]
#[command(after_help = paragraphs(CALL_HELP))]
pub(crate) struct CallArgs {
    /// Address of the hub, such as http://localhost:5000/chat
    pub(crate) url: String,
    /// Name of the method
    pub(crate) method: String,
    /// Arguments: JSON, bare words, @file, or - for standard input
    #[arg(allow_negative_numbers = true)]
    pub(crate) args: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    #[command(flatten)]
    pub(crate) connection: ConnectionOptions,
}

const LISTEN_HELP: &str = "\
Examples:
  signalr listen http://localhost:5000/chat
  signalr listen http://localhost:5000/chat Receive Joined --reconnect
  signalr listen http://localhost:5000/chat Receive --count 1 --output json

Ends with exit code 130 after Ctrl-C, 0 after --count calls, and 1 when the connection is lost. --timeout bounds connecting.";

#[derive(Args)]
#[command(after_help = paragraphs(LISTEN_HELP))]
pub(crate) struct ListenArgs {
    /// Address of the hub, such as http://localhost:5000/chat
    pub(crate) url: String,
    /// Print calls of these methods only
    pub(crate) methods: Vec<String>,
    /// Stop after so many calls
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    #[command(flatten)]
    pub(crate) connection: ConnectionOptions,
}

pub(crate) const CONNECT_HELP: &str = r#"Examples:
  signalr connect http://localhost:5000/chat
  echo 'invoke Add 1 2' | signalr connect http://localhost:5000/chat --output json

Commands, one per line:
  invoke METHOD [ARGUMENT...]   call a method and print its result
  send METHOD [ARGUMENT...]     call a method without waiting for an answer
  stream METHOD [ARGUMENT...]   call a streaming method and print its items as they come
  on [METHOD...]                print what the server calls: these methods, or all
  off [METHOD...]               do not print calls of these methods, or of any
  state                         print the state of the connection
  stop, start                   close the connection, make a new one
  wait SECONDS                  do nothing but print what the server calls
  help, quit

In the beginning, all that the server calls is printed. Arguments are as in `signalr invoke`, but JSON may hold spaces without quotation marks, and - is not among them. Words with
spaces stand in single quotes: 'two words'. Lines that begin with # are comments.

At a terminal, what the server calls appears above the prompt; the tab key completes commands and the methods seen so far;
Ctrl-C cancels the running command, and a second one or Ctrl-D leaves. The commands of earlier sessions are kept in
~/.local/state/signalr/history, but for lines that begin with a space or hold the token.

From a pipe, commands run one after the other to the end of the input, and the exit code is 1 if any failed. --timeout bounds
connecting and each command."#;

#[derive(Args)]
#[command(after_help = paragraphs(CONNECT_HELP))]
pub(crate) struct ConnectArgs {
    /// Address of the hub, such as http://localhost:5000/chat
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    #[command(flatten)]
    pub(crate) connection: ConnectionOptions,
}

/// How to reach a server.
#[derive(Args)]
pub(crate) struct ServerOptions {
    /// Send this HTTP header with each request (may be repeated)
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,
    /// Access token; better kept in the variable SIGNALR_TOKEN or a file, because others can see command lines
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    pub(crate) token: Option<String>,
    /// Read the access token from this file, again for each new connection and once more when it is refused, so that it may be
    /// renewed meanwhile
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Give up after so many seconds, connecting and calling taken together
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<String>,
    /// Accept any TLS certificate. Only for tests with self-signed ones: anybody could listen in
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Go through this proxy: http://host:port, https://host:port or socks5://host:port, with user:password@ if need be; or `none`.
    /// Without it, the variables https_proxy, http_proxy, all_proxy and no_proxy count, those in capitals too; but not HTTP_PROXY,
    /// which in a CGI program is a header that any client can send (Proxy:)
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Output::Pretty)]
    pub(crate) output: Output,
}

/// How to talk to a hub.
#[derive(Args)]
pub(crate) struct ConnectionOptions {
    /// Encoding of the messages
    #[arg(long, value_enum, default_value_t = WireProtocol::Json)]
    pub(crate) protocol: WireProtocol,
    #[command(flatten)]
    pub(crate) transports: TransportOptions,
    /// Connect again when the connection is lost: at once, then after 2, 10 and 30 seconds
    #[arg(long)]
    pub(crate) reconnect: bool,
    /// Connect again when the first attempt fails, with the same waits; for servers that are just starting
    #[arg(long)]
    pub(crate) retry_start: bool,
    /// Open the WebSocket at once instead of negotiating first, as servers without sticky sessions may need it; no other
    /// transport can do so
    #[arg(long)]
    pub(crate) skip_negotiation: bool,
    /// Send a ping after so many seconds without anything else, 15 by default
    #[arg(long, value_name = "SECONDS")]
    pub(crate) keep_alive: Option<String>,
    /// Give the connection up after so many seconds of silence, 30 by default; at least twice the server's keep-alive interval
    #[arg(long, value_name = "SECONDS")]
    pub(crate) server_timeout: Option<String>,
    /// Ask for stateful reconnect: a WebSocket that breaks is replaced within moments, and nothing is lost
    #[arg(long)]
    pub(crate) stateful: bool,
}

/// Over what to talk.
#[derive(Args)]
pub(crate) struct TransportOptions {
    /// Transports to use, the preferred one first, separated by commas or repeated: auto leaves the choice to the server
    #[arg(
        long = "transport",
        value_name = "TRANSPORT",
        value_enum,
        value_delimiter = ',',
        default_value = "auto",
        hide_default_value = true
    )]
    pub(crate) names: Vec<TransportName>,
}

/// The transports by their short names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportName {
    /// WebSockets
    #[value(alias = "websockets")]
    Ws,
    /// Server-sent events, JSON only
    #[value(alias = "server-sent-events")]
    Sse,
    /// Long polling
    #[value(alias = "long-polling")]
    Lp,
    /// Those that the server offers, in its order
    Auto,
}

impl TransportName {
    const fn kind(self) -> Option<TransportKind> {
        match self {
            Self::Ws => Some(TransportKind::WebSockets),
            Self::Sse => Some(TransportKind::ServerSentEvents),
            Self::Lp => Some(TransportKind::LongPolling),
            Self::Auto => None,
        }
    }
}

impl TransportOptions {
    /// The transports in order; none of them for the server's choice.
    pub(crate) fn kinds(&self) -> Result<Vec<TransportKind>, Failure> {
        let mut kinds = Vec::new();
        for kind in self.names.iter().filter_map(|name| name.kind()) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        if !kinds.is_empty() && self.names.contains(&TransportName::Auto) {
            return Err(Failure::usage(
                "--transport auto leaves the choice to the server: no other transport can be named with it",
            ));
        }
        Ok(kinds)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Pretty,
    /// One JSON object per event and line
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WireProtocol {
    /// JSON texts
    Json,
    /// MessagePack, which is smaller
    Messagepack,
}

impl From<WireProtocol> for Protocol {
    fn from(protocol: WireProtocol) -> Self {
        match protocol {
            WireProtocol::Json => Self::Json,
            WireProtocol::Messagepack => Self::MessagePack,
        }
    }
}

const DECODE_HELP: &str = r#"Examples:
  signalr decode --protocol json capture.bin
  echo 02 91 06 | signalr decode --protocol messagepack --hex
  curl -sN "$STREAM" | signalr decode --protocol sse

Prints one object per message and line, its members always in the same order:
  {"type":"invocation" or "streamInvocation","headers":{},"invocationId":null,"target":"Send","arguments":[],"streamIds":[]}
  {"type":"streamItem","headers":{},"invocationId":"1","item":42}
  {"type":"completion","headers":{},"invocationId":"1","outcome":"result","result":42}    also "error", "void"
  {"type":"cancelInvocation","headers":{},"invocationId":"1"}    {"type":"ping"}
  {"type":"close","error":null,"allowReconnect":false}    {"type":"ack" or "sequence","sequenceId":1}
Messages of unknown type print nothing. A message cut off by the end of the input prints {"type":"incomplete","bytes":N}, where N
counts all its bytes: in JSON those after the last separator, in MessagePack its length prefix too.

With --protocol sse, each event of a stream prints {"data":"its data"}; its lines are joined with \n, and events without data
print nothing. The data of a SignalR stream are messages in JSON, each followed by the byte 1e, as many as came together.

Values of MessagePack that JSON lacks: {"$bin":"hex"}; {"$timestamp":"2020-01-02T03:04:05.678Z"} for extension -1;
{"$ext":[type,"hex"]} for others, and for timestamps outside of the years 0 to 9999; {"$f32":"NaN"} and {"$f64":"-Infinity"} for
floats that are no numbers; {"$map":[[key,value]]} for maps with keys that are not strings, and for objects that have one
member with one of these names. Floats always have a point or an exponent; those of 32 bits show their exact value.

On a protocol error, what came before is printed, the error goes to standard error with the offset of the byte at fault, and
the exit code is 1. With --hex, offsets count the bytes that the digits stand for. Payloads that cannot be read (text that is not
UTF-8, half surrogate pairs, wrong lengths, nesting deeper than 64 in JSON or 256 in MessagePack) are errors here as well,
though a client would only fail the one call."#;

#[derive(Args)]
#[command(after_help = paragraphs(DECODE_HELP))]
pub(crate) struct DecodeArgs {
    /// What the bytes are
    #[arg(long, value_enum)]
    pub(crate) protocol: DecodeFormat,
    /// The input is text: hexadecimal digits, white space ignored
    #[arg(long)]
    pub(crate) hex: bool,
    /// Which side to read as: a server refuses invocations without arguments
    #[arg(long, value_enum, default_value_t = Side::Client)]
    pub(crate) role: Side,
    /// File to read; standard input when it is absent or -
    pub(crate) file: Option<PathBuf>,
}

/// What `decode` can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DecodeFormat {
    /// Hub messages, each followed by the byte 1e
    Json,
    /// Hub messages, each after its length
    Messagepack,
    /// The first message of a client
    HandshakeRequest,
    /// The first message of a server
    HandshakeResponse,
    /// The body of an answer to negotiate
    Negotiate,
    /// A stream of server-sent events
    Sse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// Read as clients do
    Client,
    /// Read as servers do
    Server,
}

impl From<Side> for Role {
    fn from(side: Side) -> Self {
        match side {
            Side::Client => Self::Client,
            Side::Server => Self::Server,
        }
    }
}

const ENCODE_HELP: &str = r#"Examples:
  echo '{"type":"invocation","target":"Send","arguments":[42]}' | signalr encode --protocol messagepack --hex
  signalr decode --protocol json capture.bin | signalr encode --protocol json > copy.bin

Reads objects as `decode` prints them, one per line. headers, streamIds, arguments and a null invocationId may be left out.
Values as `decode` prints them are understood anywhere in arguments, item and result: $bin, $timestamp, $ext, $map, and $f32 and
$f64 with a number, "NaN", "Infinity" or "-Infinity". In JSON, $bin becomes base64, $timestamp text, and $ext is an error.
Numbers without point and exponent are integers, of at most 64 bits in MessagePack; others are floats of 64 bits. An incomplete
message becomes as many meaningless bytes. Errors name the line."#;

#[derive(Args)]
#[command(after_help = paragraphs(ENCODE_HELP))]
pub(crate) struct EncodeArgs {
    /// Encoding to write
    #[arg(long, value_enum)]
    pub(crate) protocol: WireProtocol,
    /// Write hexadecimal digits, one line per message
    #[arg(long)]
    pub(crate) hex: bool,
    /// File to read; standard input when it is absent or -
    pub(crate) file: Option<PathBuf>,
}

const COMPLETIONS_HELP: &str = "\
Example:
  signalr completions bash > ~/.local/share/bash-completion/completions/signalr";

#[derive(Args)]
#[command(after_help = paragraphs(COMPLETIONS_HELP))]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

const MAN_HELP: &str = "\
Examples:
  signalr man > signalr.1
  signalr man invoke | man -l -";

#[derive(Args)]
#[command(after_help = paragraphs(MAN_HELP))]
pub(crate) struct ManArgs {
    /// The command to describe; all of the program without one
    pub(crate) command: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn paragraphs_are_one_line_and_lists_are_not() {
        let text = "Examples:\n  a\n  b\n\nfirst\nsecond\n  indented\nthird\nfourth";
        assert_eq!(
            paragraphs(text),
            "Examples:\n  a\n  b\n\nfirst second\n  indented\nthird fourth"
        );
    }

    /// A line that is broken where the source breaks it leaves a few words alone on the next.
    #[test]
    fn help_is_broken_at_the_width_and_nowhere_else() {
        let mut cli = Cli::command();
        for command in cli.get_subcommands_mut() {
            let name = command.get_name().to_owned();
            let help = command.render_long_help().to_string();
            let lines: Vec<&str> = help.lines().collect();
            for pair in lines.windows(2) {
                let [line, next] = pair else { continue };
                let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
                let word = next.split(' ').next().unwrap_or_default();
                let fits = line.chars().count() + 1 + word.chars().count() <= 100;
                assert!(
                    !(is_prose(line) && is_prose(next) && fits),
                    "{name}: {line}\n{next}"
                );
            }
        }
    }

    #[test]
    fn the_help_says_why_the_proxy_variable_in_capitals_does_not_count() {
        let mut cli = Cli::command();
        let invoke = cli.find_subcommand_mut("invoke").unwrap();
        let help = invoke.render_long_help().to_string();
        assert!(
            help.contains("HTTP_PROXY") && help.contains("CGI"),
            "{help}"
        );
    }
}
