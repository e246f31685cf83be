//! Recordings as text.

use core::fmt;
use core::str::FromStr;
use std::path::Path;

use bytes::Bytes;
use signalr_proto::Protocol;
use signalr_proto::codec::Role;

use crate::describe;

/// The first line, of which the number is the version of the format.
const HEADER: &str = "signalr-recording 1";

const NOT_HEX: &str = "a message of MessagePack is in hexadecimal digits, two for each byte";

/// What a client and a hub said to each other, as it can be kept in a file, read, and played again.
///
/// The file is UTF-8 text. Its first line is `signalr-recording 1`, with the version of the format; every further line is one of:
///
/// | line | |
/// |---|---|
/// | `connect json`, `connect messagepack` | a client connected and shook hands |
/// | `refuse "text"` | a client's handshake was refused with this error |
/// | `> message` | the client said this |
/// | `< message` | the hub said this |
/// | `close 1000` | the hub closed the connection, with this code of WebSockets |
/// | `lost` | the connection broke |
/// | `left` | the client went without waiting for the hub |
/// | `# text` | a remark; so is an empty line |
///
/// A message of the JSON protocol stands there as it is, without its separator. One of MessagePack is in hexadecimal digits, two for
/// each byte, without its length; a remark before it says what it is. Pings are left out, and so is what stateful reconnect adds
/// (Ack and Sequence): they come when time has passed, and no test means them. What belongs to HTTP is not there, neither addresses
/// nor headers nor negotiation.
///
/// A token is never there. Each byte of the access token, of the connection's own token or of a cookie that occurs in a message is
/// written as `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    pub(super) lines: Vec<Line>,
    /// The file's name, for errors.
    pub(super) name: String,
}

/// A line that means something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) entry: Entry,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Connect(Protocol),
    Refuse(String),
    Client(Protocol, Bytes),
    Server(Protocol, Bytes),
    Close(u16),
    Lost,
    Left,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// A line is not as it must be.
    #[error("{name}:{line}: {detail}")]
    Line {
        /// The file.
        name: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
    /// The file cannot be read or written.
    #[error("{name} cannot be {attempt}")]
    File {
        /// The file.
        name: String,
        /// `read` or `written`.
        attempt: &'static str,
        /// Why.
        #[source]
        error: std::io::Error,
    },
}

impl Recording {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut number = 1;
        let lines = entries.iter().map(|entry| {
            number += if entry.remark().is_some() { 2 } else { 1 };
            Line {
                number,
                entry: entry.clone(),
            }
        });
        Self {
            lines: lines.collect(),
            name: "recording".to_owned(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or a line of it is wrong.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, RecordingError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => parse(&name, &text),
                Err(error) => {
                    let read = error.utf8_error().valid_up_to();
                    let before = error.as_bytes().get(..read).unwrap_or_default();
                    let line = before.split(|byte| *byte == b'\n').count();
                    Err(wrong(&name, line, "is not UTF-8"))
                }
            },
            Err(error) => Err(RecordingError::File {
                name,
                attempt: "read",
                error,
            }),
        }
    }

    /// Writes a file, over one that may be there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), RecordingError> {
        let path = path.as_ref();
        std::fs::write(path, self.to_string()).map_err(|error| RecordingError::File {
            name: path.display().to_string(),
            attempt: "written",
            error,
        })
    }
}

/// The file's text.
impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        for Line { entry, .. } in &self.lines {
            if let Some(remark) = entry.remark() {
                writeln!(f, "# {remark}")?;
            }
            writeln!(f, "{entry}")?;
        }
        Ok(())
    }
}

impl FromStr for Recording {
    type Err = RecordingError;

    fn from_str(text: &str) -> Result<Self, RecordingError> {
        parse("recording", text)
    }
}

impl Entry {
    /// What a message says, where its line cannot be read.
    fn remark(&self) -> Option<String> {
        match self {
            Self::Client(Protocol::MessagePack, _) | Self::Server(Protocol::MessagePack, _) => {
                // A text may hold what ends a line.
                Some(self.words().replace(['\n', '\r'], " "))
            }
            Self::Client(..) | Self::Server(..) | Self::Connect(_) | Self::Refuse(_) => None,
            Self::Close(_) | Self::Lost | Self::Left => None,
        }
    }

    /// For errors: who says what.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Client(protocol, message) => {
                format!("> {}", told(*protocol, Role::Server, message))
            }
            Self::Server(protocol, message) => {
                format!("< {}", told(*protocol, Role::Client, message))
            }
            Self::Connect(_) | Self::Refuse(_) | Self::Close(_) | Self::Lost | Self::Left => {
                self.to_string()
            }
        }
    }
}

/// A message in words.
pub(super) fn told(protocol: Protocol, role: Role, message: &Bytes) -> String {
    match protocol.decode(role, message) {
        Ok(Some(message)) => describe::message(&message),
        Ok(None) => "a message of an unknown type".to_owned(),
        Err(error) => format!("no message: {error}"),
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(protocol) => write!(f, "connect {}", protocol.name()),
            Self::Refuse(error) => write!(f, "refuse {}", serde_json::Value::from(error.as_str())),
            Self::Client(protocol, message) => write!(f, "> {}", Written(*protocol, message)),
            Self::Server(protocol, message) => write!(f, "< {}", Written(*protocol, message)),
            Self::Close(code) => write!(f, "close {code}"),
            Self::Lost => f.write_str("lost"),
            Self::Left => f.write_str("left"),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Written<'a>(Protocol, &'a [u8]);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 != Protocol::Json {
            return f.write_str(&describe::hex(self.1));
        }
        // Between the values of JSON a line's end is as good as a space, and within them there is none.
        let text = String::from_utf8_lossy(self.1).replace(['\n', '\r'], " ");
        f.write_str(text.trim())
    }
}

fn wrong(name: &str, line: usize, detail: impl Into<String>) -> RecordingError {
    RecordingError::Line {
        name: name.to_owned(),
        line,
        detail: detail.into(),
    }
}

fn parse(name: &str, text: &str) -> Result<Recording, RecordingError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().zip(1..);
    let header = lines.next().map_or("", |(line, _)| line.trim_end());
    match header.strip_prefix("signalr-recording ") {
        Some(_) if header == HEADER => {}
        Some(version) => {
            return Err(wrong(
                name,
                1,
                format!("version {version:?} of recordings is not known: version 1 is"),
            ));
        }
        None => {
            return Err(wrong(
                name,
                1,
                format!("a recording begins with the line `{HEADER}`"),
            ));
        }
    }
    let mut protocol = None;
    let mut recording = Recording {
        lines: Vec::new(),
        name: name.to_owned(),
    };
    for (line, number) in lines {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = entry(line, protocol).map_err(|detail| wrong(name, number, detail))?;
        match entry {
            Entry::Connect(of) => protocol = Some(of),
            Entry::Refuse(_) | Entry::Close(_) | Entry::Lost | Entry::Left => protocol = None,
            Entry::Client(..) | Entry::Server(..) => {}
        }
        recording.lines.push(Line { number, entry });
    }
    Ok(recording)
}

/// Reads a line. The protocol is that of the connection, if there is one.
fn entry(line: &str, protocol: Option<Protocol>) -> Result<Entry, String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim();
    let connected = || protocol.ok_or_else(|| format!("`{word}` without a `connect` before it"));
    let bare = |entry: Entry| match rest {
        "" => Ok(entry),
        _ => Err(format!("`{word}` stands alone in its line")),
    };
    match word {
        "connect" | "refuse" if protocol.is_some() => {
            Err("a connection is open: `close`, `lost` or `left` ends it".to_owned())
        }
        "connect" => match rest {
            "json" => Ok(Entry::Connect(Protocol::Json)),
            "messagepack" => Ok(Entry::Connect(Protocol::MessagePack)),
            other => Err(format!(
                "{other:?} is no protocol: json and messagepack are"
            )),
        },
        "refuse" => match serde_json::from_str(rest) {
            Ok(error) => Ok(Entry::Refuse(error)),
            Err(_) => Err("`refuse` is followed by a text in quotes, as JSON has it".to_owned()),
        },
        ">" => {
            let protocol = connected()?;
            Ok(Entry::Client(
                protocol,
                message(protocol, Role::Server, rest)?,
            ))
        }
        "<" => {
            let protocol = connected()?;
            Ok(Entry::Server(
                protocol,
                message(protocol, Role::Client, rest)?,
            ))
        }
        "close" => {
            connected()?;
            let code = rest
                .parse()
                .map_err(|_| "`close` is followed by a code, as 1000".to_owned())?;
            Ok(Entry::Close(code))
        }
        "lost" => connected().and_then(|_| bare(Entry::Lost)),
        "left" => connected().and_then(|_| bare(Entry::Left)),
        other => Err(format!(
            "{other:?} begins no line: connect, refuse, >, <, close, lost, left and # do"
        )),
    }
}

fn message(protocol: Protocol, role: Role, text: &str) -> Result<Bytes, String> {
    let bytes = if protocol == Protocol::Json {
        Bytes::copy_from_slice(text.as_bytes())
    } else {
        let bytes = describe::from_hex(text).ok_or(NOT_HEX)?;
        bytes.into()
    };
    let read = protocol.decode(role, &bytes);
    read.map_err(|error| format!("no message of {}: {error}", protocol.name()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "signalr-recording 1\n\n# a remark\nconnect json\n> {\"type\":1,\"target\":\"A\",\"arguments\":[]}\n\
                        < {\"type\":6}\nclose 1000\nrefuse \"no \\\"way\\\"\"\nconnect messagepack\n< 9106\nlost\nconnect json\nleft\n";

    fn error(text: &str) -> String {
        text.parse::<Recording>().unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let recording: Recording = GOOD.parse().unwrap();
        let numbers: Vec<_> = recording.lines.iter().map(|line| line.number).collect();
        assert_eq!(numbers, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        let text = recording.to_string();
        assert!(text.contains("\n# < ping\n< 9106\n"), "{text}");
        let again: Recording = text.parse().unwrap();
        assert_eq!(again.to_string(), text);
        // Windows' line ends and byte order marks are none of its business.
        let foreign = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
        assert_eq!(foreign.parse::<Recording>().unwrap(), recording);
    }

    #[test]
    fn the_numbers_of_a_new_recording_are_those_of_its_text() {
        let recording: Recording = GOOD.parse().unwrap();
        let entries: Vec<_> = recording.lines.into_iter().map(|line| line.entry).collect();
        let new = Recording::of(&entries);
        assert_eq!(new.to_string().parse::<Recording>().unwrap(), new);
    }

    #[test]
    fn errors_name_the_line_and_what_is_wrong_with_it() {
        for (lines, words) in [
            ("connect yaml", "recording:2: \"yaml\" is no protocol"),
            ("> {\"type\":6}", "recording:2: `>` without a `connect`"),
            ("close 1000", "recording:2: `close` without a `connect`"),
            (
                "connect json\n> {\"type\":",
                "recording:3: no message of json: ",
            ),
            (
                "connect json\n\n< nonsense",
                "recording:4: no message of json: ",
            ),
            (
                "connect messagepack\n< 91 06",
                "recording:3: a message of MessagePack is in hexadecimal",
            ),
            (
                "connect messagepack\n< 9",
                "recording:3: a message of MessagePack is in hexadecimal",
            ),
            (
                "connect messagepack\n< 93",
                "recording:3: no message of messagepack: ",
            ),
            (
                "connect json\nclose now",
                "recording:3: `close` is followed by a code",
            ),
            (
                "connect json\nclose 70000",
                "recording:3: `close` is followed by a code",
            ),
            ("connect json\nlost it", "recording:3: `lost` stands alone"),
            (
                "connect json\nconnect json",
                "recording:3: a connection is open",
            ),
            (
                "connect json\nrefuse \"no\"",
                "recording:3: a connection is open",
            ),
            (
                "refuse no",
                "recording:2: `refuse` is followed by a text in quotes",
            ),
            ("hello there", "recording:2: \"hello\" begins no line"),
        ] {
            let error = error(&format!("signalr-recording 1\n{lines}\n"));
            assert!(error.starts_with(words), "{error}");
        }
        assert!(
            error("")
                .contains("recording:1: a recording begins with the line `signalr-recording 1`")
        );
        assert!(error("signalr-recording 2\n").contains("recording:1: version \"2\""));
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let error = Recording::load("/nowhere/at-all.txt").unwrap_err();
        assert_eq!(error.to_string(), "/nowhere/at-all.txt cannot be read");
    }
}
