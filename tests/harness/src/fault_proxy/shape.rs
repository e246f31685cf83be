//! Writes bytes of one direction, as slowly as is wanted and up to where they are cut.

use core::sync::atomic::Ordering;
use std::sync::Arc;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::Shared;
use super::fault::{At, Cut, End, Fault, Pace, Side};

/// Why a connection is not served any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The plan says so.
    Cut(End),
    /// The client or the server is gone.
    Gone,
}

/// One direction of one exchange.
pub(super) struct Shape {
    pub(super) shared: Arc<Shared>,
    pace: Option<Pace>,
    cut: Option<Cut>,
    written: usize,
    body_at: Option<usize>,
}

impl Shape {
    pub(super) fn new(shared: &Arc<Shared>, fault: &Fault, side: Side) -> Self {
        Self {
            shared: Arc::clone(shared),
            pace: fault.pace.filter(|_| side == Side::Answer),
            cut: fault.cut.filter(|cut| cut.side == side),
            written: 0,
            body_at: None,
        }
    }

    /// What is written from now on is the body.
    pub(super) const fn body(&mut self) {
        self.body_at = Some(self.written);
    }

    /// Writes a head and what follows it in one piece, as far as it may pass.
    pub(super) async fn pass_whole<W: AsyncWrite + Unpin>(
        &mut self,
        to: &mut W,
        head: &[u8],
        rest: &[u8],
    ) -> Result<(), Stop> {
        self.body_at = Some(self.written + head.len());
        self.pass(to, &[head, rest].concat()).await
    }

    /// The direction is whole.
    pub(super) fn over(&self) -> Result<(), Stop> {
        match self.cut {
            Some(Cut {
                at: At::End, end, ..
            }) => Err(self.stop(end)),
            Some(_) | None => Ok(()),
        }
    }

    fn stop(&self, end: End) -> Stop {
        self.shared.cuts.fetch_add(1, Ordering::Relaxed);
        Stop::Cut(end)
    }

    /// Writes as much as may pass.
    pub(super) async fn pass<W: AsyncWrite + Unpin>(
        &mut self,
        to: &mut W,
        bytes: &[u8],
    ) -> Result<(), Stop> {
        let mut rest = bytes;
        loop {
            if let Some(end) = self.cut_here() {
                return Err(self.stop(end));
            }
            if rest.is_empty() {
                return Ok(());
            }
            let count = rest.len().min(self.step());
            let (now, later) = rest.split_at(count);
            to.write_all(now).await.map_err(|_| Stop::Gone)?;
            self.written += count;
            rest = later;
            self.breathe().await;
        }
    }

    /// Bytes that may pass before something happens.
    fn step(&self) -> usize {
        let room = self.room().unwrap_or(usize::MAX);
        self.paced().map_or(room, |pace| room.min(pace.bytes))
    }

    fn room(&self) -> Option<usize> {
        let end = match self.cut?.at {
            At::Byte(place) => place,
            At::Body(place) => self.body_at? + place,
            At::End => return None,
        };
        Some(end.saturating_sub(self.written))
    }

    fn cut_here(&self) -> Option<End> {
        (self.room()? == 0).then_some(self.cut?.end)
    }

    fn paced(&self) -> Option<Pace> {
        self.pace.filter(|pace| pace.body || self.body_at.is_none())
    }

    async fn breathe(&self) {
        if let Some(pace) = self.paced() {
            if pace.pause.is_zero() {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(pace.pause).await;
            }
        }
    }
}
