//! Messages that another server of the farm has sent: published straight to Redis, so that only the receiving server works.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::Failure;
use crate::connect::{self, Opened};
use crate::dialect::{Dialect, Language, Purpose};
use crate::frames::{self, Opcode};
use crate::spell::{Outcome, Plan, Watch};
use crate::swarm::{PATIENCE, Swarm};

/// Members of one group.
const GROUP: usize = 10;

/// Whom the messages are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody: one message reaches all.
    All,
    /// Groups of ten: one message for each group.
    Groups,
    /// Users with one connection each: one message for each of them.
    Users,
}

impl Audience {
    /// The audience of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self, Failure> {
        match name {
            "all" => Ok(Self::All),
            "groups" => Ok(Self::Groups),
            "users" => Ok(Self::Users),
            other => Err(format!("no audience is called {other}").into()),
        }
    }
}

/// What is sent, to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Farm {
    /// Connections that receive, all of one server.
    pub members: usize,
    /// Who is meant.
    pub audience: Audience,
    /// How many messages each audience gets in a row. The next ones follow when everybody has received everything.
    pub burst: usize,
    /// The length of the argument.
    pub bytes: usize,
    /// Before the names of the server's channels.
    pub prefix: &'static str,
}

impl Farm {
    /// Its name.
    #[must_use]
    pub fn name(self) -> String {
        let audience = match self.audience {
            Audience::All => format!("all {}", self.members),
            Audience::Groups => format!("{} groups of {GROUP}", self.members / GROUP),
            Audience::Users => format!("{} users", self.members),
        };
        format!("farm {audience} burst {}", self.burst)
    }

    /// The names of the channels that reach everybody once.
    fn channels(self) -> Vec<String> {
        let prefix = self.prefix;
        match self.audience {
            Audience::All => vec![format!("{prefix}TestHub:all")],
            Audience::Groups => (0..self.members.div_ceil(GROUP))
                .map(|group| format!("{prefix}TestHub:group:g{group}"))
                .collect(),
            Audience::Users => (0..self.members)
                .map(|user| format!("{prefix}AuthHub:user:u{user}"))
                .collect(),
        }
    }

    fn connect(self, address: SocketAddr, dialect: &Dialect) -> Result<Vec<Opened>, Failure> {
        let connect = |member: usize| match self.audience {
            Audience::All | Audience::Groups => connect::web_socket(address, dialect),
            Audience::Users => {
                let path = format!("/auth?access_token=u{member}");
                connect::web_socket_at(address, dialect, &path)
            }
        };
        (0..self.members).map(connect).collect()
    }
}

/// Publishes for one spell; deliveries are what is counted.
///
/// # Errors
/// When the server or Redis does not play along.
pub fn run(
    address: SocketAddr,
    redis: SocketAddr,
    farm: Farm,
    plan: Plan,
) -> Result<Outcome, Failure> {
    let dialect = Dialect::new(Language::Json, Purpose::Broadcast, farm.bytes);
    let mut swarm = Swarm::new(farm.connect(address, &dialect)?)?;
    if farm.audience == Audience::Groups {
        join(&mut swarm, &dialect, plan)?;
    }
    let mut publisher = Publisher::new(redis, farm)?;
    let each = farm.members * farm.burst;
    let mut delivered = 0;
    let mut sent = 0;
    let mut watch = Watch::start(plan);
    while watch.allowance(sent) >= publisher.messages {
        publisher.publish()?;
        sent += publisher.messages;
        let mut came = 0;
        while came < each {
            let (now, busy) = swarm.look(plan.nap, &dialect, |_, _, tally| {
                came += tally.deliveries;
                Ok(())
            })?;
            watch.note(now, busy, delivered + came, &swarm)?;
        }
        if came > each || swarm.closed() > 0 {
            let closed = swarm.closed();
            return Err(format!("{came} deliveries instead of {each}, {closed} closed").into());
        }
        publisher.heard()?;
        delivered += came;
    }
    let outcome = watch.outcome(delivered, &swarm);
    swarm.close(&dialect)?;
    Ok(outcome)
}

/// Ten members in each group, all of which have been confirmed.
fn join(swarm: &mut Swarm, dialect: &Dialect, plan: Plan) -> Result<(), Failure> {
    for (index, member) in swarm.members().enumerate() {
        let group = index / GROUP;
        let call = format!(
            "{{\"type\":1,\"invocationId\":\"0\",\"target\":\"JoinGroup\",\"arguments\":[\"g{group}\"]}}\u{1e}"
        );
        let mut frame = Vec::new();
        frames::write_masked(&mut frame, Opcode::Text, call.as_bytes());
        member.write(&frame)?;
    }
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut joined = 0;
    while joined < swarm.len() {
        let (now, _) = swarm.look(plan.nap, dialect, |_, _, tally| {
            joined += tally.answers;
            Ok(())
        })?;
        if now > deadline {
            return Err(format!("only {joined} of {} have joined", swarm.len()).into());
        }
    }
    Ok(())
}

/// A connection to Redis, and the commands of one burst.
struct Publisher {
    stream: TcpStream,
    commands: Vec<u8>,
    /// How many they are.
    messages: usize,
    /// Answers that are still to come.
    awaited: usize,
}

impl Publisher {
    fn new(redis: SocketAddr, farm: Farm) -> Result<Self, Failure> {
        let stream = TcpStream::connect(redis)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (payload, channels) = (payload(farm.bytes), farm.channels());
        let mut commands = Vec::new();
        for channel in &channels {
            for _ in 0..farm.burst {
                write_command(&mut commands, &[b"PUBLISH", channel.as_bytes(), &payload]);
            }
        }
        let messages = channels.len() * farm.burst;
        Ok(Self {
            stream,
            commands,
            messages,
            awaited: 0,
        })
    }

    fn publish(&mut self) -> Result<(), Failure> {
        self.awaited += self.messages;
        Ok(self.stream.write_all(&self.commands)?)
    }

    /// Reads the answers: each of the messages was heard. By one server, perhaps through several of its hubs.
    fn heard(&mut self) -> Result<(), Failure> {
        let mut bytes = [0; 4096];
        while self.awaited > 0 {
            let count = self.stream.read(&mut bytes)?;
            if count == 0 {
                return Err("Redis hung up".into());
            }
            let answers = bytes.get(..count).unwrap_or_default();
            if answers.contains(&b'-') {
                return Err("Redis refused a message".into());
            }
            self.awaited -= memchr::memchr_iter(b'\n', answers).count();
        }
        Ok(())
    }
}

fn write_command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// What a server of the farm publishes: nobody is left out, and the message is there in both protocols.
fn payload(bytes: usize) -> Vec<u8> {
    let mut out = vec![0x92, 0x90, 0x82];
    for language in [Language::Json, Language::MessagePack] {
        let name = language.name();
        out.push(0xa0 | u8::try_from(name.len()).unwrap_or_default());
        out.extend_from_slice(name.as_bytes());
        let frame = Dialect::new(language, Purpose::Broadcast, bytes).told();
        out.push(0xc5);
        out.extend_from_slice(&u16::try_from(frame.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(&frame);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn farm(audience: Audience) -> Farm {
        Farm {
            members: 20,
            audience,
            burst: 2,
            bytes: 3,
            prefix: "pre",
        }
    }

    #[test]
    fn a_payload_is_what_servers_publish() {
        let json =
            b"\xa4json\xc5\x00\x32{\"type\":1,\"target\":\"Receive\",\"arguments\":[\"abc\"]}\x1e";
        let packed = b"\xabmessagepack\xc5\x00\x13\x12\x96\x01\x80\xc0\xa7Receive\x91\xa3abc\x90";
        assert_eq!(
            payload(3),
            [b"\x92\x90\x82", &json[..], &packed[..]].concat()
        );
    }

    #[test]
    fn channels_reach_everybody_once() {
        assert_eq!(farm(Audience::All).channels(), ["preTestHub:all"]);
        let groups = farm(Audience::Groups).channels();
        assert_eq!(groups, ["preTestHub:group:g0", "preTestHub:group:g1"]);
        assert_eq!(farm(Audience::Users).channels().len(), 20);
    }

    #[test]
    fn a_command_is_an_array_of_texts() {
        let mut out = Vec::new();
        write_command(&mut out, &[b"PUBLISH", b"c", b"ab"]);
        assert_eq!(out, b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$2\r\nab\r\n");
    }
}
