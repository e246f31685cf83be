//! Serves the test hubs: `test-hubs [--urls http://HOST:PORT] [--redis HOST:PORT [--prefix NAME]] [--runtime tokio|smol]`, by default
//! on a free port of 127.0.0.1, by themselves and on tokio. With a Redis they are one server of a farm, whose channels have this prefix (default: `reference`).
//!
//! Prints `READY http://HOST:PORT` once it listens, and shuts down and exits when its standard input closes: it begins and ends as the
//! README starts and ends a server.
#![expect(
    clippy::print_stdout,
    reason = "whoever starts this program waits for its one line"
)]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::join_all;
use signalr_harness::hubs;
use signalr_harness::hubs::on_smol::{self, OnSmol};
use signalr_redis::RedisBackplane;
use tokio::net::TcpListener;

const USAGE: &str = "usage: test-hubs [--urls http://HOST:PORT] [--redis HOST:PORT [--prefix NAME]] [--runtime tokio|smol]";

/// How long requests that are no hub's may take to be answered once the hubs are shut down.
const GRACE: Duration = Duration::from_secs(2);

/// How long hyper has on smol to write what the shutdown said.
const LAST_WORDS: Duration = Duration::from_millis(100);

struct Options {
    /// Where to listen, as `HOST:PORT`.
    address: String,
    redis: Option<String>,
    prefix: String,
    on_smol: bool,
}

fn options(arguments: impl IntoIterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        address: "127.0.0.1:0".to_owned(),
        redis: None,
        prefix: "reference".to_owned(),
        on_smol: false,
    };
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (argument, arguments.next().ok_or(USAGE)?),
        };
        match name.as_str() {
            "--urls" => {
                let authority = value
                    .strip_prefix("http://")
                    .ok_or_else(|| format!("{value} is no http address; {USAGE}"))?;
                authority
                    .trim_end_matches('/')
                    .clone_into(&mut options.address);
            }
            "--redis" => options.redis = Some(value),
            "--prefix" => options.prefix = value,
            "--runtime" => match value.as_str() {
                "tokio" => options.on_smol = false,
                "smol" => options.on_smol = true,
                _ => return Err(USAGE.to_owned()),
            },
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options(std::env::args().skip(1))?;
    if options.on_smol {
        return smol::block_on(run_on_smol(options));
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(run(options))
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let Options {
        address,
        redis,
        prefix,
        ..
    } = options;
    let (router, world) = match redis {
        None => hubs::test_hubs()?,
        Some(redis) => {
            let redis = RedisBackplane::open(&format!("redis://{redis}"))?;
            hubs::test_hubs_in_farm(Arc::new(redis), &prefix)?
        }
    };
    // A Redis that is not there yet shall not keep anybody from listening.
    let ready = world
        .backplanes()
        .into_iter()
        .map(|backplane| backplane.ready());
    let _ = tokio::time::timeout(Duration::from_secs(5), join_all(ready)).await;
    let listener = TcpListener::bind(&address)
        .await
        .map_err(|error| format!("{address}: {error}"))?;
    println!("READY http://{}", listener.local_addr()?);
    let (shut_down, is_shut_down) = oneshot::channel();
    let serving = signalr_server::serve(listener, router).with_graceful_shutdown(async move {
        let _ = tokio::task::spawn_blocking(input_closed).await;
        world.shutdown().await;
        // Nobody waits for it when nothing is served any more.
        let _ = shut_down.send(());
    });
    let overdue = async {
        let _ = is_shut_down.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = serving.into_future() => ended?,
        () = overdue => {}
    }
    Ok(())
}

async fn run_on_smol(options: Options) -> Result<(), Box<dyn Error>> {
    if options.redis.is_some() {
        return Err("Redis is for tokio only".into());
    }
    let (router, world) = hubs::test_hubs_on(OnSmol)?;
    let address = options.address;
    let listener = smol::net::TcpListener::bind(&address)
        .await
        .map_err(|error| format!("{address}: {error}"))?;
    println!("READY http://{}", listener.local_addr()?);
    let serving = smol::spawn(on_smol::serve(listener, router));
    smol::unblock(input_closed).await;
    drop(serving);
    world.shutdown().await;
    // The answers that it brought about are still to be written.
    smol::Timer::after(LAST_WORDS).await;
    Ok(())
}

/// Waits for the end of the standard input; one that cannot be read has ended.
fn input_closed() {
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
}
