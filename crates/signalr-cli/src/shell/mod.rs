//! `signalr connect`: one connection and any number of commands.

mod command;
mod editor;
mod input;
mod methods;
mod words;

use std::cell::{Cell, RefCell};
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use signalr::{Arguments, CallError, CallErrorKind, ConnectionState, Protocol};

use self::command::{CallKind, Command, MethodCall};
use self::input::{Commands, Input};
use self::methods::{Seen, Watch};
use crate::cli::{CONNECT_HELP, ConnectArgs, paragraphs};
use crate::failure::Failure;
use crate::hub::events::{Event, Printer};
use crate::hub::explain::Explain;
use crate::hub::listen::invocation;
use crate::hub::session::{self, Session, tell};
use crate::hub::shown::{Shown, or_null};
use crate::hub::token::TokenSource;
use crate::hub::{arguments, connect};

/// What fits into the narrowest usual terminal.
const HELP_WIDTH: usize = 80;

/// Runs the command.
pub(crate) fn run(options: &ConnectArgs) -> Result<(), Failure> {
    let token = TokenSource::of(&options.server)?;
    let builder = connect::builder(&options.url, &options.server, &options.connection, &token)?;
    let bound = connect::timeout(&options.server)?;
    let explain = Explain::of(&options.connection, &token);
    let hub = builder.build().map_err(connect::build_failure)?;
    session::block_on(async {
        let (sender, news) = session::channel();
        let calls = sender.clone();
        hub.on_any(move |target, arguments| tell(&calls, invocation(target, arguments)));
        let printer = Printer::new(options.server.output, true);
        let session = Session::new(hub, printer, explain, token.clone(), (&sender, news));
        let shell = Shell {
            session: &session,
            protocol: options.connection.protocol.into(),
            bound,
            seen: Arc::default(),
            watch: RefCell::default(),
            commands: Cell::new(0),
            failures: Cell::new(0),
            lost: RefCell::new(None),
        };
        let work = async {
            shell.within(session.connect()).await?;
            let commands = shell.run(token);
            session
                .showing_news(commands, |event| shell.show(&event))
                .await
        };
        session.run(None, work).await
    })
}

/// A session that takes commands.
struct Shell<'a> {
    session: &'a Session,
    protocol: Protocol,
    /// On connecting and on each command.
    bound: Option<Duration>,
    seen: Arc<Mutex<Seen>>,
    watch: RefCell<Watch>,
    /// How many commands there were.
    commands: Cell<u64>,
    /// How many of them failed.
    failures: Cell<u64>,
    /// Why the connection was lost, the last time that it was.
    lost: RefCell<Option<String>>,
}

/// Whether the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Leave,
}

impl Shell<'_> {
    /// Carries commands out until there are no more.
    async fn run(&self, token: TokenSource) -> Result<(), Failure> {
        let mut commands = self.commands(token)?;
        let outcome = self.carry_out(&mut commands).await;
        self.session.printer.set_prompt(None);
        outcome?;
        if !commands.is_piped() {
            return Ok(());
        }
        match (self.failures.get(), self.lost.take()) {
            (0, None) => Ok(()),
            (0, Some(why)) => Err(Failure::failed(format!("the connection was lost: {why}"))),
            (failures, _) => Err(Failure::failed(format!(
                "{failures} of {} commands failed",
                self.commands.get()
            ))),
        }
    }

    /// From a prompt, if there is somebody to see it.
    fn commands(&self, token: TokenSource) -> Result<Commands, Failure> {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if dumb || !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
            return Ok(Commands::piped());
        }
        self.session
            .printer
            .note("help lists the commands; Ctrl-D leaves")?;
        let (prompt, inputs) = editor::start(&self.seen, token)?;
        self.session.printer.set_prompt(Some(prompt));
        // From now on it cancels commands.
        self.session.heeds_interrupts.set(false);
        Ok(Commands::typed(inputs))
    }

    async fn carry_out(&self, commands: &mut Commands) -> Result<(), Failure> {
        while let Some(input) = commands.next().await {
            let flow = match input {
                Input::Line(line) => self.carry_out_line(&line, commands).await?,
                Input::Interrupt => {
                    self.session.printer.note("Ctrl-C again or Ctrl-D leaves")?;
                    Flow::On
                }
                Input::Leave => Flow::Leave,
                Input::Broken(why) => return Err(Failure::failed(why)),
            };
            if flow == Flow::Leave {
                break;
            }
        }
        Ok(())
    }

    async fn carry_out_line(&self, line: &str, commands: &mut Commands) -> Result<Flow, Failure> {
        let command = match Command::parse(line) {
            Ok(None) => return Ok(Flow::On),
            Ok(Some(Command::Quit)) => return Ok(Flow::Leave),
            Ok(Some(command)) => Ok(command),
            Err(mistake) => Err(Failure::usage(mistake)),
        };
        add_one(&self.commands);
        let done = match command {
            Err(mistake) => Err(mistake),
            Ok(command) => tokio::select! {
                biased;
                leave = commands.cancelled() => {
                    self.session.printer.note("cancelled")?;
                    return Ok(if leave { Flow::Leave } else { Flow::On });
                }
                done = self.perform(command) => done,
            },
        };
        match done {
            Ok(()) => Ok(Flow::On),
            Err(Failure::Failed(why) | Failure::Usage(why)) => {
                add_one(&self.failures);
                self.complain(&why, commands.is_piped())?;
                Ok(Flow::On)
            }
            Err(end @ (Failure::Interrupted | Failure::BrokenPipe)) => Err(end),
        }
    }

    /// Says what is wrong; with the number of the command where nobody sees which one it was.
    fn complain(&self, why: &str, piped: bool) -> Result<(), Failure> {
        let printer = &self.session.printer;
        if piped {
            return printer.complain(&format!("command {}: {why}", self.commands.get()));
        }
        printer.complain(why)
    }

    async fn perform(&self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Call(kind, call) => self.within(self.call(kind, call)).await,
            Command::On(methods) => {
                self.watch.borrow_mut().on(methods);
                Ok(())
            }
            Command::Off(methods) => {
                self.watch.borrow_mut().off(methods);
                Ok(())
            }
            Command::State => self.print_state(),
            Command::Start => self.within(self.session.connect()).await,
            Command::Stop => {
                self.session.hub.stop().await;
                Ok(())
            }
            Command::Wait(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Command::Help => self
                .session
                .printer
                .help(&wrapped(&paragraphs(help()), HELP_WIDTH)),
            // Was seen to before.
            Command::Quit => Ok(()),
        }
    }

    async fn call(&self, kind: CallKind, call: MethodCall) -> Result<(), Failure> {
        let arguments = arguments::read(&call.arguments, self.protocol)?;
        let method = call.method.as_str();
        self.learn(|seen| seen.called.add(method));
        match kind {
            CallKind::Invoke => self.invoke(method, arguments).await,
            CallKind::Send => {
                let sent = self.session.hub.send(method, arguments).await;
                sent.map_err(|error| self.explained(&error))
            }
            CallKind::Stream => self.stream(method, arguments).await,
        }
    }

    async fn invoke(&self, method: &str, arguments: Arguments) -> Result<(), Failure> {
        let called = self.session.hub.invoke::<Option<Shown>>(method, arguments);
        let result = called.await.map_err(|error| self.explained(&error))?;
        self.session.printer.print(&Event::Result(or_null(result)))
    }

    async fn stream(&self, method: &str, arguments: Arguments) -> Result<(), Failure> {
        let opened = self.session.hub.stream::<Option<Shown>>(method, arguments);
        let mut items = opened.await.map_err(|error| self.explained(&error))?;
        let mut count = 0_u64;
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| self.explained(&error))?;
            self.session.printer.print(&Event::Item(or_null(item)))?;
            count = count.saturating_add(1);
        }
        self.session
            .printer
            .print(&Event::StreamEnded { items: count })
    }

    fn explained(&self, error: &CallError) -> Failure {
        let mut text = self.session.explain.call(error);
        if matches!(error.kind(), CallErrorKind::NotConnected) {
            text.push_str("; start makes a new one");
        }
        Failure::failed(text)
    }

    fn print_state(&self) -> Result<(), Failure> {
        let hub = &self.session.hub;
        self.session.printer.print(&Event::State {
            state: state_name(hub.state()),
            id: hub.connection_id(),
            transport: self.session.transport(),
        })
    }

    /// Prints what the connection tells.
    fn show(&self, event: &Event) -> Result<(), Failure> {
        if let Event::Invocation { target, .. } = event {
            self.learn(|seen| seen.calling.add(target));
            if !self.watch.borrow().shows(target) {
                return Ok(());
            }
        }
        self.session.printer.print(event)?;
        if let Event::Closed { error: Some(error) } = event {
            self.lost.replace(Some(error.clone()));
            self.session.printer.lost(error)?;
        }
        Ok(())
    }

    fn learn(&self, learn: impl FnOnce(&mut Seen)) {
        learn(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn within(&self, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
        let Some(bound) = self.bound else {
            return work.await;
        };
        let done = tokio::time::timeout(bound, work).await;
        done.unwrap_or_else(|_| Err(self.session.out_of_time(bound)))
    }
}

fn add_one(count: &Cell<u64>) {
    count.set(count.get().saturating_add(1));
}

fn state_name(state: ConnectionState) -> &'static str {
    match state {
        ConnectionState::Disconnected => "disconnected",
        ConnectionState::Connecting => "connecting",
        ConnectionState::Connected => "connected",
        ConnectionState::Reconnecting => "reconnecting",
        ConnectionState::Disconnecting => "disconnecting",
    }
}

/// The text with its lines broken at words. What follows a line that was indented is indented as far.
fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    for (index, line) in text.lines().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        wrap_line(&mut out, line, width);
    }
    out
}

fn wrap_line(out: &mut String, line: &str, width: usize) {
    let mut rest = line;
    let mut indent = 0;
    while rest.chars().count().saturating_add(indent) > width {
        let room = width.saturating_sub(indent);
        let fits = rest
            .char_indices()
            .nth(room)
            .map_or(rest.len(), |(at, _)| at);
        // A space right behind what fits will do, and one within the indentation will not.
        let start = rest.len().saturating_sub(rest.trim_start().len());
        let found = rest.get(..=fits).unwrap_or(rest).rfind(' ');
        let Some(at) = found.filter(|at| *at > start) else {
            break;
        };
        let (head, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(&" ".repeat(indent));
        out.push_str(head.trim_end());
        out.push('\n');
        if indent == 0 {
            indent = hanging(line);
        }
        rest = tail.trim_start();
    }
    out.push_str(&" ".repeat(indent));
    out.push_str(rest);
}

/// Where what belongs to a line goes on below it: under its second column, if it has one.
fn hanging(line: &str) -> usize {
    let start = line.len().saturating_sub(line.trim_start().len());
    let body = line.get(start..).unwrap_or_default();
    let gap = body.find("  ").filter(|_| start > 0);
    gap.map_or(start, |gap| {
        let column = body.get(gap..).unwrap_or_default();
        let spaces = column.len().saturating_sub(column.trim_start().len());
        start.saturating_add(gap).saturating_add(spaces)
    })
}

/// The commands, as the help of the program has them.
fn help() -> &'static str {
    let after = CONNECT_HELP.split_once("Commands").map(|(_, rest)| rest);
    let commands = after.and_then(|rest| rest.split_once('\n'));
    commands.map_or(CONNECT_HELP, |(_, rest)| {
        rest.split_once("\n\nAt a terminal")
            .map_or(rest, |(list, _)| list)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_of_help_are_broken_at_words() {
        for (text, expected) in [
            ("one two three", "one two\nthree"),
            ("onetwothree four", "onetwothree four"),
            (
                "  a    one two three",
                "  a    one\n       two\n       three",
            ),
            ("short\nlines", "short\nlines"),
        ] {
            assert_eq!(wrapped(text, 10), expected, "{text}");
        }
        let help = wrapped(&paragraphs(help()), HELP_WIDTH);
        assert!(help.lines().all(|line| line.len() <= HELP_WIDTH), "{help}");
    }

    #[test]
    fn the_help_of_the_prompt_lists_every_command() {
        for name in command::NAMES {
            assert!(
                help().contains(&format!("  {name}")) || help().contains(&format!(", {name}")),
                "{name}"
            );
        }
        assert!(!help().contains("Example") && !help().contains("terminal"));
    }
}
