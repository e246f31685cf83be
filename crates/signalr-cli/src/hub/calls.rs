//! `signalr invoke`, `send` and `stream`.

use futures_util::StreamExt as _;
use signalr::Arguments;

use super::events::{Event, Printer};
use super::explain::Explain;
use super::session::{self, Session};
use super::shown::{Shown, or_null};
use super::{arguments, connect};
use crate::cli::CallArgs;
use crate::failure::Failure;

/// Runs `signalr invoke`.
pub(crate) fn invoke(options: &CallArgs) -> Result<(), Failure> {
    run(options, async |session, arguments| {
        let method = &options.method;
        let called = session.hub.invoke::<Option<Shown>>(method, arguments).await;
        let result =
            called.map_err(|error| Failure::failed(session.explain.error(&error, method)))?;
        session.printer.print(&Event::Result(or_null(result)))
    })
}

/// Runs `signalr send`.
pub(crate) fn send(options: &CallArgs) -> Result<(), Failure> {
    run(options, async |session, arguments| {
        let sent = session.hub.send(&options.method, arguments).await;
        sent.map_err(|error| Failure::failed(session.explain.error(&error, &options.method)))
    })
}

/// Runs `signalr stream`.
pub(crate) fn stream(options: &CallArgs) -> Result<(), Failure> {
    run(options, async |session, arguments| {
        let explained = |error| Failure::failed(session.explain.error(&error, &options.method));
        let mut items = session
            .hub
            .stream::<Option<Shown>>(&options.method, arguments)
            .await
            .map_err(explained)?;
        while let Some(item) = items.next().await {
            session
                .printer
                .print(&Event::Item(or_null(item.map_err(explained)?)))?;
        }
        Ok(())
    })
}

fn run(
    options: &CallArgs,
    call: impl AsyncFnOnce(&Session, Arguments) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let builder = connect::builder(&options.url, &options.server, &options.connection)?;
    let bound = connect::timeout(&options.server)?;
    let explain = Explain {
        has_token: connect::token(&options.server)?.is_some(),
        insecure: options.server.insecure,
    };
    let arguments = arguments::read(&options.args, options.connection.protocol.into())?;
    let hub = builder.build().map_err(connect::build_failure)?;
    session::block_on(async {
        let (sender, news) = session::channel();
        let printer = Printer::new(options.server.output, false);
        let session = Session::new(hub, printer, explain, (&sender, news));
        let work = async {
            session.connect(&options.method).await?;
            call(&session, arguments).await
        };
        session.run(bound, session.with_news(work)).await
    })
}
