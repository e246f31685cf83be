//! What is compared with what, and what is wanted of it.

use crate::broadcast::Broadcast;
use crate::dialect::Language;
use crate::echo::Echo;
use crate::farm::{Audience, Farm};
use crate::idle::Transport;

/// The length of a call's text.
const BYTES: usize = 100;

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rival {
    /// The server under test.
    Ours,
    /// Microsoft's own.
    AspNet,
    /// A server for Socket.IO.
    SocketIoxide,
    /// A bare echo over raw sockets.
    Floor,
}

impl Rival {
    /// All of them, as the table shows them.
    pub const ALL: [Self; 4] = [Self::Ours, Self::AspNet, Self::SocketIoxide, Self::Floor];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::AspNet => "ASP.NET Core",
            Self::SocketIoxide => "socketioxide",
            Self::Floor => "raw floor",
        }
    }

    /// What stands before its channels: servers that shared them would hear each other's messages.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::AspNet => "reference",
            Self::SocketIoxide | Self::Floor => "",
        }
    }

    /// What it speaks instead of this.
    const fn language(self, language: Language) -> Language {
        match self {
            Self::Ours | Self::AspNet => language,
            Self::SocketIoxide => Language::SocketIo,
            Self::Floor => Language::Raw,
        }
    }
}

/// What a server is put to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Calls.
    Echo(Echo),
    /// Messages to everybody.
    Broadcast(Broadcast),
    /// Messages of another server of its farm.
    Farm(Farm),
    /// Nothing.
    Idle(Transport),
}

impl Load {
    /// The same for somebody who speaks something else.
    #[must_use]
    pub const fn for_rival(self, rival: Rival) -> Self {
        match self {
            Self::Echo(mut echo) => {
                echo.language = rival.language(echo.language);
                Self::Echo(echo)
            }
            Self::Broadcast(mut broadcast) => {
                broadcast.language = rival.language(broadcast.language);
                Self::Broadcast(broadcast)
            }
            Self::Farm(mut farm) => {
                farm.prefix = rival.prefix();
                Self::Farm(farm)
            }
            Self::Idle(_) => self,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Echo(echo) => {
                format!(
                    "echo {}x{} {}",
                    echo.connections,
                    echo.in_flight,
                    echo.language.name()
                )
            }
            Self::Broadcast(broadcast) => format!(
                "broadcast {} burst {} {}",
                broadcast.members,
                broadcast.burst,
                broadcast.language.name()
            ),
            Self::Farm(farm) => farm.name(),
            Self::Idle(transport) => format!("idle {}", transport.name()),
        }
    }
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// That many times what the other does.
    AtLeast(f64, Rival),
    /// That share of what the other takes.
    AtMost(f64, Rival),
    /// That many bytes.
    Bytes(f64),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the servers are put to.
    pub load: Load,
    /// Who is.
    pub rivals: Vec<Rival>,
    /// What is wanted of ours.
    pub goals: Vec<Goal>,
}

fn echo(connections: usize, in_flight: usize, language: Language, times: f64) -> Case {
    let mut case = Case {
        load: Load::Echo(Echo {
            connections,
            in_flight,
            bytes: BYTES,
            language,
        }),
        rivals: vec![Rival::Ours, Rival::AspNet],
        goals: vec![Goal::AtLeast(times, Rival::AspNet)],
    };
    if language == Language::Json {
        case.rivals.push(Rival::Floor);
    }
    case
}

fn broadcast(burst: usize) -> Case {
    Case {
        load: Load::Broadcast(Broadcast {
            members: 1000,
            burst,
            bytes: BYTES,
            language: Language::Json,
        }),
        rivals: vec![Rival::Ours, Rival::AspNet, Rival::Floor],
        goals: vec![Goal::AtLeast(2.0, Rival::AspNet)],
    }
}

fn idle(transport: Transport) -> Case {
    Case {
        load: Load::Idle(transport),
        rivals: vec![Rival::Ours, Rival::AspNet],
        goals: vec![Goal::AtMost(0.5, Rival::AspNet)],
    }
}

fn farm(audience: Audience, burst: usize) -> Case {
    Case {
        load: Load::Farm(Farm {
            members: 1000,
            audience,
            burst,
            bytes: BYTES,
            prefix: "",
        }),
        rivals: vec![Rival::Ours, Rival::AspNet],
        goals: vec![Goal::AtLeast(2.0, Rival::AspNet)],
    }
}

/// What is compared of servers in a farm.
#[must_use]
pub fn farm_cases() -> Vec<Case> {
    [Audience::All, Audience::Groups, Audience::Users]
        .into_iter()
        .flat_map(|audience| [farm(audience, 1), farm(audience, 8)])
        .collect()
}

/// All that is compared.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut first = echo(100, 1, Language::Json, 2.5);
    first.rivals.insert(2, Rival::SocketIoxide);
    first.goals.push(Goal::AtLeast(1.2, Rival::SocketIoxide));
    let mut web_sockets = idle(Transport::WebSockets);
    web_sockets.goals.push(Goal::Bytes(12.0 * 1024.0));
    vec![
        first,
        echo(100, 1, Language::MessagePack, 2.5),
        echo(100, 16, Language::Json, 2.5),
        echo(100, 16, Language::MessagePack, 2.5),
        echo(1, 64, Language::Json, 2.0),
        echo(1, 64, Language::MessagePack, 2.0),
        broadcast(1),
        broadcast(8),
        web_sockets,
        idle(Transport::Events),
        idle(Transport::Polls),
    ]
}
