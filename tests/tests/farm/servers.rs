//! The servers of a farm.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use signalr_harness::hubs::{World, test_hubs_in_farm};
use signalr_harness::program::{self, Program};
use signalr_redis::RedisBackplane;
use tokio::runtime::Runtime;

/// Before the names of all channels.
pub const PREFIX: &str = "pre";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ours,
    Official,
}

/// A server until it is dropped.
pub struct Server {
    pub url: String,
    /// Of ours.
    pub world: Option<World>,
    runtime: Option<Runtime>,
    _program: Option<Program>,
}

impl Server {
    /// `None` when it is not there.
    pub async fn start(kind: Kind, redis: SocketAddr) -> Option<Self> {
        match kind {
            Kind::Ours => {
                let server = Self::ours(redis);
                server.ready().await;
                Some(server)
            }
            Kind::Official => Self::official(redis).await,
        }
    }

    /// One of ours, whether or not Redis is there.
    pub fn ours(redis: SocketAddr) -> Self {
        Self::around(RedisBackplane::open(&format!("redis://{redis}")).unwrap())
    }

    /// One of ours at that Redis.
    pub fn around(redis: RedisBackplane) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (url, world) = {
            let _context = runtime.enter();
            let (router, world) = test_hubs_in_farm(Arc::new(redis), PREFIX).unwrap();
            let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            listener.set_nonblocking(true).unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            runtime.spawn(async move { signalr_server::serve(listener, router).await });
            (url, world)
        };
        Self {
            url,
            world: Some(world),
            runtime: Some(runtime),
            _program: None,
        }
    }

    async fn official(redis: SocketAddr) -> Option<Self> {
        let script = program::reference_script();
        if !script.exists() {
            program::missing("the official server");
            return None;
        }
        let arguments = [
            "--redis".to_owned(),
            redis.to_string(),
            "--prefix".to_owned(),
            PREFIX.to_owned(),
        ];
        let started = tokio::task::spawn_blocking(move || Program::start(&script, &arguments));
        let program = started.await.unwrap().unwrap();
        Some(Self {
            url: program.url.clone(),
            world: None,
            runtime: None,
            _program: Some(program),
        })
    }

    /// Waits until all hubs of one of ours are part of the farm.
    pub async fn ready(&self) {
        for backplane in self.world.iter().flat_map(World::backplanes) {
            backplane.ready().await;
        }
    }

    /// Ends it without a word to anybody: its sockets are closed by the system. Of the official one as well as it can be told to.
    pub async fn die(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        // The program's end is waited for.
        tokio::task::spawn_blocking(move || drop(self))
            .await
            .unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
