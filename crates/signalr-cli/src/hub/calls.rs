//! `signalr invoke`, `send` and `stream`.

use signalr::Arguments;

use super::events::{Event, Printer};
use super::explain::Explain;
use super::session::{self, Session};
use super::shown::{Shown, or_null};
use super::token::TokenSource;
use super::{arguments, connect};
use crate::cli::CallArgs;
use crate::failure::Failure;

/// Runs `signalr invoke`.
pub(crate) fn invoke(options: &CallArgs) -> Result<(), Failure> {
    run(options, async |session, arguments| {
        let method = &options.method;
        match session.hub.invoke::<Option<Shown>>(method, arguments).await {
            Ok(result) => session.printer.print(&Event::Result(or_null(result))),
            Err(error) => Err(session.call_failure(error).await),
        }
    })
}

/// Runs `signalr send`.
pub(crate) fn send(options: &CallArgs) -> Result<(), Failure> {
    run(options, async |session, arguments| {
        match session.hub.send(&options.method, arguments).await {
            Ok(()) => Ok(()),
            Err(error) => Err(session.call_failure(error).await),
        }
    })
}

/// Runs `signalr stream`.
pub(crate) fn stream(options: &CallArgs) -> Result<(), Failure> {
    run(options, async |session, arguments| {
        let method = &options.method;
        let mut items = match session.hub.stream::<Option<Shown>>(method, arguments).await {
            Ok(items) => items,
            Err(error) => return Err(session.call_failure(error).await),
        };
        while let Some(item) = items.next().await {
            match item {
                Ok(item) => session.printer.print(&Event::Item(or_null(item)))?,
                Err(error) => return Err(session.call_failure(error).await),
            }
        }
        Ok(())
    })
}

fn run(
    options: &CallArgs,
    call: impl AsyncFnOnce(&Session, Arguments) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let token = TokenSource::of(&options.server)?;
    let builder = connect::builder(&options.url, &options.server, &options.connection, &token)?;
    let bound = connect::timeout(&options.server)?;
    if options.method.is_empty() {
        return Err(Failure::usage("a method needs a name"));
    }
    let arguments = arguments::read(&options.args, options.connection.protocol.into())?;
    let hub = builder.build().map_err(connect::build_failure)?;
    session::block_on(async {
        let (sender, news) = session::channel();
        let printer = Printer::new(options.server.output, false);
        let explain = Explain::of(&options.connection, &token);
        let session = Session::new(hub, printer, explain, token, (&sender, news));
        let work = async {
            session.connect().await?;
            call(&session, arguments).await
        };
        session.run(bound, session.with_news(work)).await
    })
}
