//! What was said so far, for whoever reads why a test failed.

use core::fmt;
use std::collections::VecDeque;

use crate::runtime::words;

/// Lines that are kept.
const KEPT: usize = 40;

/// The last that happened, in words.
#[derive(Default)]
pub(crate) struct Transcript {
    lines: VecDeque<String>,
    forgotten: usize,
}

impl Transcript {
    pub(crate) fn tell(&mut self, since: core::time::Duration, line: impl fmt::Display) {
        if self.lines.len() >= KEPT {
            self.lines.pop_front();
            self.forgotten += 1;
        }
        self.lines.push_back(format!("[{}] {line}", words(since)));
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.lines.is_empty() {
            return f.write_str("nothing was seen so far: no client has connected");
        }
        f.write_str("seen so far:")?;
        if self.forgotten > 0 {
            write!(f, "\n  … {} before", self.forgotten)?;
        }
        for line in &self.lines {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_the_others_counted() {
        let mut transcript = Transcript::default();
        assert!(transcript.to_string().contains("no client has connected"));
        for number in 0..KEPT + 2 {
            transcript.tell(Duration::from_secs(number as u64), number);
        }
        let text = transcript.to_string();
        assert!(
            text.starts_with("seen so far:\n  … 2 before\n  [2 s] 2\n"),
            "{text}"
        );
        assert!(text.ends_with("[41 s] 41"), "{text}");
    }
}
