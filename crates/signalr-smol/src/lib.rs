//! The sockets, timers and tasks of [smol](https://docs.rs/smol) for SignalR connections.
//!
//! `signalr` has it as `signalr::Smol` where its feature `smol` is on: `HubConnection::builder(url).build_on(Smol)`. Connections run
//! on smol's global executor.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use signalr_net::{Runtime, Spawn, Task};
use smol::Timer;
use smol::net::TcpStream;

/// smol.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to configure")]
pub struct Smol;

impl Runtime for Smol {
    type Stream = TcpStream;
    type Connect = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;
    type Sleep = Sleep;

    fn connect(&self, host: &str, port: u16) -> Self::Connect {
        let host = host.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect((host, port)).await?;
            // Messages are small and gathered already: waiting for more would only delay them.
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep(Timer::after(duration))
    }
}

impl Spawn for Smol {
    fn spawn(&self, task: Task) {
        smol::spawn(task).detach();
    }
}

/// Is done after a time.
#[derive(Debug)]
pub struct Sleep(Timer);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}
