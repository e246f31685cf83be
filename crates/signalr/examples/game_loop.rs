//! A client in a loop that draws frames and never waits, as of a game or a window:
//! `cargo run -p signalr --example game_loop --features blocking -- http://127.0.0.1:5000/chat`
//!
//! Expects the hub of the example `chat`.

use std::error::Error;
use std::sync::mpsc;
use std::thread::sleep;
use std::time::Duration;

use signalr::client::blocking::Pending;
use signalr::{CallError, HubConnection, ReconnectPolicy, StartError};

const FRAME: Duration = Duration::from_millis(16);
/// Frames before it gives up: half a minute.
const MOST: usize = 2000;

/// What goes on in the background.
enum Network {
    Connecting(Pending<Result<(), StartError>>),
    Saying(Pending<Result<(), CallError>>),
    Idle,
}

/// Plays until the game has heard itself, and gives the frames that took.
pub(crate) fn play(url: &str) -> Result<usize, Box<dyn Error>> {
    let connection = HubConnection::builder(url)
        .automatic_reconnect(ReconnectPolicy::unlimited())
        .build_blocking()?;
    // Handlers run on the connection's thread, and the loop takes what they leave.
    let (heard, hears) = mpsc::channel();
    connection.on("Receive", move |user: String, text: String| {
        drop(heard.send(format!("{user}: {text}")));
    });
    let mut network = Network::Connecting(connection.begin_start());
    for frame in 0..MOST {
        match &mut network {
            Network::Connecting(start) => {
                if let Some(started) = start.poll() {
                    started?;
                    network = Network::Saying(connection.begin("Send", ("game", "hello")));
                }
            }
            Network::Saying(call) => {
                if let Some(said) = call.poll() {
                    said?;
                    network = Network::Idle;
                }
            }
            Network::Idle => {}
        }
        let lines: Vec<_> = hears.try_iter().collect();
        draw(frame, &lines);
        if matches!(network, Network::Idle) && lines.iter().any(|line| line == "game: hello") {
            connection.stop();
            return Ok(frame);
        }
        sleep(FRAME);
    }
    Err("nobody answers".into())
}

/// Whatever a frame is.
fn draw(frame: usize, lines: &[String]) {
    for line in lines {
        eprintln!("frame {frame}: {line}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    play(url.as_deref().unwrap_or("http://127.0.0.1:5000/chat"))?;
    Ok(())
}
