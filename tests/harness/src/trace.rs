//! What happened in a run of a property, line by line.

use core::fmt;
use std::fmt::Write as _;

/// The lines, unless nobody is to compare them: to write them takes longer than all the rest of a run.
#[derive(Debug)]
pub(crate) struct Trace(Option<String>);

impl Trace {
    pub(crate) const KEPT: Self = Self(Some(String::new()));
    /// What breaks a rule without lines breaks it with them, too: the tests that replay a corpus keep them.
    pub(crate) const OFF: Self = Self(None);

    pub(crate) fn line(&mut self, line: fmt::Arguments<'_>) {
        if let Some(text) = &mut self.0 {
            let _ = writeln!(text, "{line}");
        }
    }

    /// All lines; none where they are not kept.
    pub(crate) fn take(&mut self) -> String {
        core::mem::take(self.0.as_mut().unwrap_or(&mut String::new()))
    }
}

/// Tells how it came to a broken rule.
impl Drop for Trace {
    fn drop(&mut self) {
        let Some(text) = self.0.as_ref().filter(|_| std::thread::panicking()) else {
            return;
        };
        let lines: Vec<_> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(60)..);
        eprintln!("{}", last.unwrap_or_default().join("\n"));
    }
}
