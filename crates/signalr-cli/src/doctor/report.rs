//! What the steps found, for people or as one JSON object per step.

use std::io::{self, Write as _};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::cli::Output;
use crate::failure::Failure;
use crate::style::{Style, printable};

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    /// It works, but not as it should.
    Warning,
    Failed,
    /// Not done, because of another step or because nobody asked.
    Skipped,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What a step found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) status: Status,
    /// What is the case.
    detail: String,
    /// What to do about it.
    advice: Option<String>,
    facts: Map<String, Value>,
    took: Option<Duration>,
}

impl Finding {
    fn new(status: Status, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            advice: None,
            facts: Map::new(),
            took: None,
        }
    }

    pub(super) fn ok(detail: impl Into<String>) -> Self {
        Self::new(Status::Ok, detail)
    }

    pub(super) fn warning(detail: impl Into<String>) -> Self {
        Self::new(Status::Warning, detail)
    }

    pub(super) fn failed(detail: impl Into<String>) -> Self {
        Self::new(Status::Failed, detail)
    }

    pub(super) fn skipped(detail: impl Into<String>) -> Self {
        Self::new(Status::Skipped, detail)
    }

    pub(super) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    pub(super) fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    pub(super) const fn took(mut self, time: Duration) -> Self {
        self.took = Some(time);
        self
    }
}

/// Prints findings as they come and remembers the failures.
#[derive(Debug)]
pub(super) struct Report {
    output: Output,
    style: Style,
    checks: usize,
    failed: Vec<String>,
}

impl Report {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            style: Style::of_stdout(),
            checks: 0,
            failed: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, step: &str, finding: Finding) -> Result<(), Failure> {
        self.checks = self
            .checks
            .saturating_add(usize::from(finding.status != Status::Skipped));
        if finding.status == Status::Failed {
            self.failed.push(step.to_owned());
        }
        let text = match self.output {
            Output::Json => json(step, &finding),
            Output::Pretty => self.pretty(step, &finding),
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        Ok(())
    }

    fn pretty(&self, step: &str, finding: &Finding) -> String {
        let name = format!("{:<8}", finding.status.name());
        let name = match finding.status {
            Status::Ok => self.style.green(&name),
            Status::Warning => self.style.yellow(&name),
            Status::Failed => self.style.red(&name),
            Status::Skipped => self.style.dim(&name),
        };
        let took = finding.took.map_or_else(String::new, |time| {
            self.style.dim(&format!(" ({})", milliseconds(time)))
        });
        let line = |text: &str| printable(text).replace('\n', " ");
        let detail = line(&finding.detail);
        let mut text = format!("{name}{:<20}{detail}{took}\n", step);
        if let Some(advice) = &finding.advice {
            text.push_str(&format!("{:28}-> {}\n", "", line(advice)));
        }
        text
    }

    /// The end of it all.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        if self.failed.is_empty() {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "{} of {} checks failed: {}",
            self.failed.len(),
            self.checks,
            self.failed.join(", ")
        )))
    }
}

/// A time that people can compare.
pub(super) fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    if milliseconds < 10.0 {
        format!("{milliseconds:.1} ms")
    } else {
        format!("{milliseconds:.0} ms")
    }
}

/// A time as a number of milliseconds, rounded.
pub(super) fn number(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Members in the order in which people read them.
fn json(step: &str, finding: &Finding) -> String {
    let mut members = vec![
        ("step", Value::from(step)),
        ("status", finding.status.name().into()),
        ("detail", finding.detail.as_str().into()),
    ];
    if let Some(advice) = &finding.advice {
        members.push(("advice", advice.as_str().into()));
    }
    if let Some(time) = finding.took {
        members.push(("milliseconds", number(time).into()));
    }
    if !finding.facts.is_empty() {
        members.push(("facts", finding.facts.clone().into()));
    }
    let members: Vec<String> = members
        .into_iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}\n", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_one_object_each() {
        let finding = Finding::failed("no\u{1b}")
            .advice("try")
            .fact("a", 1)
            .took(Duration::from_micros(1250));
        let object: Value = serde_json::from_str(&json("tcp", &finding)).unwrap();
        assert_eq!(
            object,
            serde_json::json!({"step": "tcp", "status": "failed", "detail": "no\u{1b}", "advice": "try", "milliseconds": 1.3, "facts": {"a": 1}})
        );
        let mut report = Report::new(Output::Pretty);
        report.style = Style::PLAIN;
        assert_eq!(
            report.pretty("tcp", &finding),
            "failed  tcp                 no\\u001b (1.2 ms)\n                            -> try\n"
        );
    }
}
