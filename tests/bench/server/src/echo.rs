//! Calls whose result is their argument, on many connections and several at a time on each.

use std::net::SocketAddr;

use crate::Failure;
use crate::dialect::{Dialect, Language, Purpose};
use crate::spell::{Outcome, Plan, Watch};
use crate::swarm::Swarm;

/// What is done at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Connections.
    pub connections: usize,
    /// Calls in flight on each.
    pub in_flight: usize,
    /// The length of the argument.
    pub bytes: usize,
    /// The encoding.
    pub language: Language,
}

/// Frames of calls. As answers come in the order of the calls, an id may be used again as soon as its turn has come round.
struct Calls {
    frames: Vec<u8>,
    /// Where each begins, for two rounds of ids, so that any number up to one round lies in one piece.
    starts: Vec<usize>,
    round: usize,
}

impl Calls {
    fn new(dialect: &Dialect, round: usize) -> Self {
        let mut frames = Vec::new();
        let mut starts = vec![0];
        for id in 0..2 * round {
            frames.extend_from_slice(&dialect.call(id % round));
            starts.push(frames.len());
        }
        Self {
            frames,
            starts,
            round,
        }
    }

    /// That many of them, the first of which is the `sent`th.
    fn get(&self, sent: usize, count: usize) -> Option<&[u8]> {
        let first = sent % self.round;
        self.frames
            .get(*self.starts.get(first)?..*self.starts.get(first + count)?)
    }
}

/// Makes calls for one spell.
///
/// # Errors
/// When the server does not play along.
pub fn run(address: SocketAddr, echo: Echo, plan: Plan) -> Result<Outcome, Failure> {
    let dialect = Dialect::new(echo.language, Purpose::Echo, echo.bytes);
    let calls = Calls::new(&dialect, echo.in_flight);
    let mut swarm = Swarm::connect(address, &dialect, echo.connections)?;
    let mut sent_by = vec![0; echo.connections];
    let (mut sent, mut answered) = (0, 0);
    let mut watch = Watch::start(plan);
    for (member, sent_by) in swarm.members().zip(&mut sent_by) {
        let count = echo.in_flight.min(watch.allowance(sent));
        member.write(calls.get(*sent_by, count).ok_or("too many calls")?)?;
        *sent_by += count;
        sent += count;
    }
    while answered < sent {
        let (now, busy) = swarm.look(plan.nap, &dialect, |index, member, tally| {
            answered += tally.answers;
            let count = tally.answers.min(watch.allowance(sent));
            if count > 0 {
                let sent_by = sent_by.get_mut(index).ok_or("no such connection")?;
                member.write(
                    calls
                        .get(*sent_by, count)
                        .ok_or("more answers than calls")?,
                )?;
                *sent_by += count;
                sent += count;
            }
            Ok(())
        })?;
        if swarm.closed() > 0 {
            return Err("the server closed a connection".into());
        }
        watch.note(now, busy, answered, &swarm)?;
    }
    let outcome = watch.outcome(answered, &swarm);
    swarm.close(&dialect)?;
    Ok(outcome)
}
