//! What the demo prints while it runs.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::failure::Failure;
use crate::style::Style;

/// Cells of a progress bar.
const BAR: u32 = 30;

/// What is too long for a line goes on in the next, or does not.
const WRAP: &str = "\u{1b}[?7h";
const NO_WRAP: &str = "\u{1b}[?7l";

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Hub,
    Client,
    Heart,
    Network,
}

/// Prints lines with the time since the start. Many may print at the same time.
pub(super) struct Timeline {
    start: Instant,
    style: Style,
    plain: bool,
    /// Whether a line may be drawn over.
    moving: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The progress bar below the last line.
    bar: Option<String>,
    /// The first failure to print; whoever can end the program finds it here.
    failure: Option<Failure>,
}

impl Timeline {
    pub(super) fn new(plain: bool) -> Self {
        let style = if plain {
            Style::PLAIN
        } else {
            Style::of_stdout()
        };
        let moving = !plain
            && io::stdout().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self {
            start: Instant::now(),
            style,
            plain,
            moving,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints a line above the progress bar, if there is one.
    fn print(&self, line: &str) {
        let mut state = self.lock();
        let bar = state.bar.clone();
        let printed = self.put(line, bar.as_deref());
        if let Err(error) = printed {
            state.failure.get_or_insert_with(|| error.into());
        }
    }

    fn put(&self, line: &str, bar: Option<&str>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match bar {
            Some(bar) => write!(out, "\r\u{1b}[K{line}\n{bar}")?,
            None => writeln!(out, "{line}")?,
        }
        out.flush()
    }

    /// Tells whether everything could be printed so far.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.lock().failure.clone().map_or(Ok(()), Err)
    }

    pub(super) fn title(&self, text: &str) -> Result<(), Failure> {
        self.print(&self.style.bold(text));
        self.check()
    }

    pub(super) fn heading(&self, number: usize, name: &str) -> Result<(), Failure> {
        self.print("");
        self.print(&self.style.bold(&format!("{number:>2}. {name}")));
        self.check()
    }

    /// Something happened.
    pub(super) fn line(&self, who: Who, text: &str) {
        let name = match who {
            Who::Hub => self.style.cyan("hub    "),
            Who::Client => self.style.green("client "),
            Who::Heart => self.style.red("beat   "),
            Who::Network => self.style.yellow("network"),
        };
        let time = self
            .style
            .dim(&format!("{:>7.2} s", self.start.elapsed().as_secs_f64()));
        self.print(&format!("{time}  {name}  {text}"));
    }

    /// The hub heard a heartbeat.
    pub(super) fn beat(&self, number: u64) {
        let heart = if self.plain { "heartbeat" } else { "♥" };
        self.line(Who::Heart, &format!("{heart} {number}"));
    }

    pub(super) fn failure(&self, name: &str, why: &str) {
        self.lock().bar = None;
        self.print(&self.style.red(&format!("failed: {name}: {why}")));
    }

    /// A line without a time.
    pub(super) fn text(&self, text: &str) {
        self.print(text);
    }

    pub(super) const fn style(&self) -> Style {
        self.style
    }

    pub(super) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// How far something has come: a bar where lines can be drawn over, a line for each quarter elsewhere.
    pub(super) fn progress(&self, what: &str, done: u32, total: u32) {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        if !self.moving {
            if quarter(done, total) > quarter(done.saturating_sub(1), total) {
                self.line(
                    Who::Client,
                    &format!("{what}: {percent:>3} %, {done} of {total} items"),
                );
            }
            return;
        }
        let full = done.saturating_mul(BAR).checked_div(total).unwrap_or(BAR);
        let bar: String = (0..BAR)
            .map(|cell| if cell < full { '█' } else { '░' })
            .collect();
        // Where the line is too long for the terminal it is cut: the rest of it could not be drawn over.
        let line = format!(
            "{NO_WRAP}           {what} {percent:>3} %  {}{WRAP}",
            self.style.green(&bar)
        );
        self.draw(&line);
    }

    fn draw(&self, line: &str) {
        let mut state = self.lock();
        let mut out = io::stdout().lock();
        let drawn = write!(out, "\r\u{1b}[K{line}").and_then(|()| out.flush());
        state.bar = Some(line.to_owned());
        if let Err(error) = drawn {
            state.failure.get_or_insert_with(|| error.into());
        }
    }

    /// Leaves the bar where it is and goes on below it.
    pub(super) fn end_progress(&self) {
        let bar = self.lock().bar.take();
        if bar.is_some() {
            self.print("");
        }
    }
}

fn quarter(done: u32, total: u32) -> u32 {
    done.saturating_mul(4).checked_div(total).unwrap_or(4)
}
