//! The sockets, timers and tasks of [async-std](https://docs.rs/async-std) for SignalR connections.
//!
//! async-std is discontinued (RUSTSEC-2025-0052). This crate is for programs that still use it; new ones are better off with
//! `signalr-smol`, which is the same in use.
//!
//! `signalr` has it as `signalr::AsyncStd` where its feature `async-std` is on: `HubConnection::builder(url).build_on(AsyncStd)`.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::io;

use async_std::net::TcpStream;
use signalr_net::{Runtime, Spawn, Task};

/// async-std.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to configure")]
pub struct AsyncStd;

impl Runtime for AsyncStd {
    type Stream = TcpStream;
    type Connect = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;
    type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn connect(&self, host: &str, port: u16) -> Self::Connect {
        let host = host.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect((&*host, port)).await?;
            // Messages are small and gathered already: waiting for more would only delay them.
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        Box::pin(async_std::task::sleep(duration))
    }
}

impl Spawn for AsyncStd {
    fn spawn(&self, task: Task) {
        drop(async_std::task::spawn(task));
    }
}
