//! The command line.

mod bytes;
mod help;
mod options;

pub(crate) use bytes::{DecodeArgs, DecodeFormat, EncodeArgs};
pub(crate) use help::paragraphs;
pub(crate) use options::{ConnectionOptions, Output, ServerOptions, TransportOptions};

use clap::{Args, Parser, Subcommand};

const EXIT_CODES: &str = "\
Exit codes:
  0    all went well
  1    the call, the connection or the input was at fault
  2    the command line makes no sense
  130  interrupted with Ctrl-C, after a clean stop

Start with `signalr demo`, which needs no server.";

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

Methods: Echo(value), Broadcast(value), JoinGroup(name), LeaveGroup(name), SendToGroup(name, value), SendToUser(id, value), the stream
Count(n, milliseconds), and Sum(stream of numbers). Broadcasts and messages arrive as Receive(connection id, value). A
client with ?user=ID behind the address of the hub is that user. Pages of any origin may connect.

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
