//! The summary at the end of the demo.

use super::timeline::Timeline;
use crate::failure::Failure;

/// The steps that were made.
#[derive(Debug, Default)]
pub(super) struct Report {
    steps: Vec<(&'static str, String)>,
}

impl Report {
    pub(super) fn next_number(&self) -> usize {
        self.steps.len().saturating_add(1)
    }

    pub(super) fn add(&mut self, name: &'static str, summary: String) {
        self.steps.push((name, summary));
    }

    pub(super) fn print(&self, timeline: &Timeline, numbers: &str) -> Result<(), Failure> {
        let style = timeline.style();
        timeline.text("");
        timeline.text(&style.bold("Summary"));
        for (name, summary) in &self.steps {
            timeline.text(&format!(
                "  {} {name:<22}  {}",
                style.green("ok"),
                style.dim(summary)
            ));
        }
        timeline.text("");
        timeline.text(&format!(
            "{} steps in {:.1} seconds, all well: {numbers}.",
            self.steps.len(),
            timeline.seconds()
        ));
        timeline.text("Next: signalr help, or signalr listen http://your-server/your-hub");
        timeline.check()
    }
}
