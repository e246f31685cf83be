//! Messages that one client has sent to everybody.

use std::net::SocketAddr;

use crate::Failure;
use crate::dialect::{Dialect, Language, Purpose};
use crate::spell::{Outcome, Plan, Watch};
use crate::swarm::Swarm;

/// What is sent, to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// Connections that receive, one of which is the sender's.
    pub members: usize,
    /// Calls that are written together. The next ones follow when everybody has received everything.
    pub burst: usize,
    /// The length of the argument.
    pub bytes: usize,
    /// The encoding.
    pub language: Language,
}

/// Sends for one spell; deliveries are what is counted.
///
/// # Errors
/// When the server does not play along.
pub fn run(address: SocketAddr, broadcast: Broadcast, plan: Plan) -> Result<Outcome, Failure> {
    let dialect = Dialect::new(broadcast.language, Purpose::Broadcast, broadcast.bytes);
    let calls: Vec<u8> = (0..broadcast.burst)
        .flat_map(|id| dialect.call(id))
        .collect();
    let answers = if broadcast.language == Language::Raw {
        0
    } else {
        broadcast.burst
    };
    let each = broadcast.burst * broadcast.members;
    let mut swarm = Swarm::connect(address, &dialect, broadcast.members)?;
    let (mut sent, mut delivered) = (0, 0);
    let mut watch = Watch::start(plan);
    while watch.allowance(sent) >= broadcast.burst {
        swarm.member(0)?.write(&calls)?;
        sent += broadcast.burst;
        let (mut came, mut answered) = (0, 0);
        while came < each || answered < answers {
            let (now, busy) = swarm.look(plan.nap, &dialect, |_, _, tally| {
                came += tally.deliveries;
                answered += tally.answers;
                Ok(())
            })?;
            watch.note(now, busy, delivered + came, &swarm)?;
        }
        if came > each || swarm.closed() > 0 {
            return Err(format!(
                "{came} deliveries instead of {each}, {} closed",
                swarm.closed()
            )
            .into());
        }
        delivered += came;
    }
    let outcome = watch.outcome(delivered, &swarm);
    swarm.close(&dialect)?;
    Ok(outcome)
}
