//! `signalr demo`: a hub and a client in one program, and what they can do.

mod hub;
mod report;
mod steps;
mod timeline;

use std::sync::Arc;
use std::time::Duration;

use crate::cli::DemoArgs;
use crate::failure::Failure;
use crate::hub::session;
use hub::DemoServer;
use report::Report;
use steps::Demo;
use timeline::{Timeline, Who};

/// No step takes longer than this unless something is wrong.
const STEP_TIME: Duration = Duration::from_secs(15);
/// Between steps, so that they can be read.
const PAUSE: Duration = Duration::from_millis(350);

/// Runs the command.
pub(crate) fn run(options: &DemoArgs) -> Result<(), Failure> {
    let timeline = Arc::new(Timeline::new(options.plain));
    session::block_on(async {
        tokio::select! {
            biased;
            () = session::interrupted() => Err(Failure::Interrupted),
            outcome = play(&timeline) => outcome,
        }
    })
}

async fn play(timeline: &Arc<Timeline>) -> Result<(), Failure> {
    timeline.title("SignalR: a hub and a client in one program")?;
    let server = DemoServer::start(timeline)
        .await
        .map_err(|error| failed("start the hub", &error))?;
    timeline.line(Who::Hub, &format!("listens on {}", server.url()));
    let mut report = Report::default();
    let mut demo =
        Demo::new(&server, timeline).map_err(|error| failed("build the client", &error))?;
    let outcome = walk(&mut demo, timeline, &mut report).await;
    if outcome.is_err() {
        demo.give_up().await;
    }
    server.stop().await;
    outcome?;
    report.print(timeline, &demo.numbers())?;
    timeline.check()
}

/// Makes each step in turn, and pauses after it.
async fn walk(
    demo: &mut Demo<'_>,
    timeline: &Timeline,
    report: &mut Report,
) -> Result<(), Failure> {
    macro_rules! steps {
        ($($name:literal: $method:ident;)+) => {$(
            step(timeline, report, $name, demo.$method()).await?;
        )+};
    }
    steps! {
        "token": token;
        "connection": connect;
        "heartbeats": heartbeats;
        "a call and its answer": call;
        "an error": error;
        "calls from the server": server_calls;
        "a stream": stream;
        "an upload": upload;
        "a client result": client_result;
        "a cut connection": cut;
        "a clean stop": stop;
    }
    Ok(())
}

async fn step(
    timeline: &Timeline,
    report: &mut Report,
    name: &'static str,
    work: impl Future<Output = Result<String, String>>,
) -> Result<(), Failure> {
    timeline.heading(report.next_number(), name)?;
    let outcome = tokio::time::timeout(STEP_TIME, work).await;
    let outcome = outcome.unwrap_or_else(|_| {
        Err(format!(
            "nothing happened for {} seconds",
            STEP_TIME.as_secs()
        ))
    });
    match outcome {
        Ok(summary) => {
            report.add(name, summary);
            timeline.check()?;
            tokio::time::sleep(PAUSE).await;
            Ok(())
        }
        Err(why) => {
            timeline.failure(name, &why);
            Err(failed(name, &why))
        }
    }
}

fn failed(step: &str, why: &str) -> Failure {
    Failure::failed(format!("the demo failed at the step '{step}': {why}"))
}
