//! The commands that need no server: from bytes to objects and back.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use signalr_proto::codec::Role;

use super::help::paragraphs;
use super::options::WireProtocol;

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
