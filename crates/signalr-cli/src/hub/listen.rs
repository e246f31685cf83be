//! `signalr listen`.

use signalr::{Arguments, HubConnection};

use super::connect;
use super::events::{Event, Printer};
use super::explain::Explain;
use super::session::{self, CLOSED_BY_SERVER, News, Session, tell};
use super::shown::arguments_text;
use super::token::TokenSource;
use crate::cli::ListenArgs;
use crate::failure::Failure;

/// Runs the command.
pub(crate) fn run(options: &ListenArgs) -> Result<(), Failure> {
    let bound = connect::timeout(&options.server)?;
    let token = TokenSource::of(&options.server)?;
    let explain = Explain::of(&options.connection, &token);
    session::block_on(async {
        let (sender, news) = session::channel();
        let hub = hub(options, &sender, &token)?;
        let printer = Printer::new(options.server.output, true);
        let session = Session::new(hub, printer, explain, token, (&sender, news));
        session
            .run(None, async {
                match bound {
                    None => session.connect().await?,
                    Some(bound) => tokio::time::timeout(bound, session.connect())
                        .await
                        .unwrap_or_else(|_| Err(session.out_of_time(bound)))?,
                }
                follow(&session, options.count).await
            })
            .await
    })
}

fn hub(options: &ListenArgs, news: &News, token: &TokenSource) -> Result<HubConnection, Failure> {
    let builder = connect::builder(&options.url, &options.server, &options.connection, token)?;
    let hub = builder.build().map_err(connect::build_failure)?;
    if options.methods.is_empty() {
        let news = news.clone();
        hub.on_any(move |target, arguments| tell(&news, invocation(target, arguments)));
    }
    for method in &options.methods {
        let (news, target) = (news.clone(), method.clone());
        hub.on(method, move |arguments: Arguments| {
            tell(&news, invocation(&target, &arguments))
        });
    }
    Ok(hub)
}

/// A call as an event, or what is wrong with it.
pub(crate) fn invocation(target: &str, arguments: &Arguments) -> Event {
    match arguments_text(arguments) {
        Ok(arguments) => Event::Invocation {
            target: target.to_owned(),
            arguments,
        },
        Err(fault) => Event::Error(format!(
            "the arguments of '{target}' cannot be read: {fault}"
        )),
    }
}

/// Prints until enough was printed or the connection is over.
async fn follow(session: &Session, count: Option<u64>) -> Result<(), Failure> {
    let mut left = count;
    loop {
        let event = session.next_news().await;
        session.printer.print(&event)?;
        match event {
            Event::Invocation { .. } => {
                left = left.map(|left| left.saturating_sub(1));
                if left == Some(0) {
                    return Ok(());
                }
            }
            Event::Closed { error } => {
                let why = error.unwrap_or_else(|| CLOSED_BY_SERVER.to_owned());
                return Err(Failure::failed(why));
            }
            Event::Connected { .. }
            | Event::Item(_)
            | Event::Result(_)
            | Event::StreamEnded { .. }
            | Event::State { .. }
            | Event::Resuming { .. }
            | Event::Resumed
            | Event::Retrying { .. }
            | Event::Fallback { .. }
            | Event::Error(_)
            | Event::Reconnecting { .. }
            | Event::Reconnected { .. } => {}
        }
    }
}
