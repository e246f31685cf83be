//! A Redis of the test's own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use signalr_harness::program;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Runs until it is dropped. It stores nothing.
pub struct Redis {
    program: String,
    port: u16,
    options: Vec<String>,
    folder: Option<PathBuf>,
    child: Child,
}

/// A port that was free a moment ago; another program of this machine may be faster, but that is rare.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

impl Redis {
    /// Starts one on a free port. `None` when there is none on this machine.
    pub async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// The same with options.
    pub async fn start_with(options: &[&str]) -> Option<Self> {
        let redis = Self::launch(options, None)?;
        redis.wait().await;
        Some(redis)
    }

    /// The same in a folder of its own, with this in a file of its configuration.
    pub async fn start_in(folder: &str, configuration: &str, options: &[&str]) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("{folder}-{}", free_port()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("redis.conf"), configuration).unwrap();
        let redis = Self::launch(options, Some(folder))?;
        redis.wait().await;
        Some(redis)
    }

    fn launch(options: &[&str], folder: Option<PathBuf>) -> Option<Self> {
        let program = std::env::var("SIGNALR_REDIS").unwrap_or_else(|_| "redis-server".to_owned());
        if !program::is_installed(&program) {
            program::missing("redis-server; set SIGNALR_REDIS to the program");
            return None;
        }
        let port = free_port();
        let options: Vec<String> = options.iter().map(|&word| word.to_owned()).collect();
        let child = spawn(&program, port, folder.as_deref(), &options);
        Some(Self {
            program,
            port,
            options,
            folder,
            child,
        })
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Waits until it answers.
    async fn wait(&self) {
        for _ in 0..500 {
            if let Ok(answer) = self.ask(&[b"PING"]).await {
                if answer.starts_with("+PONG") || answer.starts_with("-NOAUTH") {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("Redis does not answer");
    }

    /// Sends a command, and gives the first of what is answered.
    pub async fn ask(&self, words: &[&[u8]]) -> std::io::Result<String> {
        let mut socket = TcpStream::connect(self.address()).await?;
        ask(&mut socket, words).await
    }

    /// The same with a password.
    pub async fn ask_as(&self, password: &str, words: &[&[u8]]) -> std::io::Result<String> {
        let mut socket = TcpStream::connect(self.address()).await?;
        ask(&mut socket, &[b"AUTH", password.as_bytes()]).await?;
        ask(&mut socket, words).await
    }

    /// Publishes on a channel. Gives how many listened.
    pub async fn publish(&self, channel: &str, payload: &[u8]) -> u64 {
        let answer = self.ask(&[b"PUBLISH", channel.as_bytes(), payload]).await;
        let answer = answer.unwrap();
        answer.trim().trim_start_matches(':').parse().unwrap()
    }

    /// Whether somebody listens on a channel.
    pub async fn has_listeners(&self, channel: &str) -> bool {
        let answer = self.ask(&[b"PUBSUB", b"NUMSUB", channel.as_bytes()]).await;
        !answer.unwrap().ends_with(":0\r\n")
    }

    /// Ends it at once, as the machine would when it has no memory left.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port.
    pub async fn restart(&mut self) {
        self.child = spawn(
            &self.program,
            self.port,
            self.folder.as_deref(),
            &self.options,
        );
        self.wait().await;
    }

    /// `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([signal, id]).status().unwrap();
        assert!(status.success());
    }
}

async fn ask(socket: &mut TcpStream, words: &[&[u8]]) -> std::io::Result<String> {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend(format!("${}\r\n", word.len()).as_bytes());
        command.extend_from_slice(word);
        command.extend(b"\r\n");
    }
    socket.write_all(&command).await?;
    let mut answer = vec![0; 65_536];
    let length = socket.read(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

fn spawn(program: &str, port: u16, folder: Option<&Path>, options: &[String]) -> Child {
    let mut command = Command::new(program);
    if folder.is_some() {
        command.arg("redis.conf");
    }
    let folder = folder.map_or_else(std::env::temp_dir, Path::to_owned);
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .args(options)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Drop for Redis {
    fn drop(&mut self) {
        // What has ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Hears what is published on a channel.
pub struct Listener {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Listener {
    pub async fn subscribe(redis: &Redis, channel: &str) -> Self {
        let mut socket = TcpStream::connect(redis.address()).await.unwrap();
        let command = format!("SUBSCRIBE {channel}\r\n");
        socket.write_all(command.as_bytes()).await.unwrap();
        let mut listener = Self {
            socket,
            buffer: Vec::new(),
        };
        // The confirmation: three elements, of which the last is a number.
        listener.line().await;
        for _ in 0..2 {
            listener.bulk().await;
        }
        listener.line().await;
        listener
    }

    /// The next message.
    pub async fn next(&mut self) -> bytes::Bytes {
        self.line().await;
        for _ in 0..2 {
            self.bulk().await;
        }
        self.bulk().await.into()
    }

    async fn more(&mut self) {
        let mut piece = [0; 4096];
        let read = self.socket.read(&mut piece);
        let length = tokio::time::timeout(Duration::from_secs(20), read).await;
        let length = length.expect("Redis says something").unwrap();
        assert!(length > 0, "Redis has left");
        self.buffer.extend_from_slice(&piece[..length]);
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            self.more().await;
        }
    }

    async fn bulk(&mut self) -> Vec<u8> {
        let length: usize = self.line().await[1..].parse().unwrap();
        while self.buffer.len() < length + 2 {
            self.more().await;
        }
        let mut bulk: Vec<u8> = self.buffer.drain(..length + 2).collect();
        bulk.truncate(length);
        bulk
    }
}
